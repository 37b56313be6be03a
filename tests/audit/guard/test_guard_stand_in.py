"""Stand-ins for exceptions: what they keep, what they leave out, and that nothing stops them."""

from __future__ import annotations

import gc
import secrets
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.guard.reading import Reading
from counterfoil.audit.guard.stand_in import formatted, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ghp_" + secrets.token_hex(18)
READING = Reading()


class Refused(PermissionError):
    """An application's own, which says more than its arguments."""

    def __init__(self, token: str) -> None:
        super().__init__("refused")
        self.token = token

    def __str__(self) -> str:
        return f"refused for {self.token}"


def _raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as raised:
        raise error
    return raised.value


ERRORS: list[BaseException] = [
    Refused(KEY),
    KeyError(KEY),
    OSError(2, KEY),
    UnicodeDecodeError("utf-8", KEY.encode(), 0, 1, KEY),
    SyntaxError(KEY, ("file", 1, 1, f"token = '{KEY}'")),
    ImportError(KEY, name=KEY, path=KEY),
    StopIteration(KEY),
    SystemExit(KEY),
    KeyboardInterrupt(KEY),
    ExceptionGroup(KEY, [ValueError(KEY)]),
    BaseExceptionGroup(KEY, [KeyboardInterrupt(KEY), ExceptionGroup("x", [Refused(KEY)])]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_each_kind_of_exception_has_one(error: BaseException, leaks: Callable[..., list[str]]) -> None:
    """With its name, its builtin base and its text; by no door does it show the secret."""
    standing = stand_in(_raised(error), READING)
    assert type(standing).__name__ == type(error).__name__
    bases = {kind for kind in type(error).__mro__ if kind.__module__ == "builtins"} - {SyntaxError}
    assert bases <= set(type(standing).__mro__)
    shown = [str(standing), repr(standing), repr(standing.args), repr(vars(standing))]
    told = traceback.TracebackException.from_exception(standing, capture_locals=True)
    assert "[redacted:github]" in str(standing)
    assert leaks(KEY, *shown, "".join(told.format())) == []
    assert stand_in(standing, READING) is standing


def test_the_text_is_the_one_that_the_exception_shows() -> None:
    """Also where the class has a ``__str__`` of its own."""
    standing = stand_in(Refused(KEY), READING)
    assert str(standing) == "refused for [redacted:github]"
    assert type(standing).__module__ == Refused.__module__


def test_it_leads_to_nothing_that_it_stands_for() -> None:
    """Whoever keeps it keeps neither the exception nor a frame of it alive."""

    class Held:
        """Can be referred to weakly."""

    def fail() -> None:
        held = Held()
        found.append(weakref.ref(held))
        raise ValueError(KEY) from KeyError(KEY)

    found: list[weakref.ref[Held]] = []
    kept: list[BaseException] = []
    try:
        fail()
    except ValueError as error:
        kept.append(stand_in(error, READING))
    gc.collect()
    assert found[0]() is None
    assert kept[0].__cause__ is not None


def test_causes_contexts_and_notes_are_kept() -> None:
    """And whether the context is shown."""
    error = ValueError("outer")
    error.__context__, error.__suppress_context__ = KeyError("hidden"), True
    error.__cause__ = OSError("cause")
    error.add_note(f"note {KEY}")
    standing = stand_in(error, READING)
    assert (str(standing.__cause__), str(standing.__context__)) == ("cause", "'hidden'")
    assert standing.__suppress_context__
    assert standing.__notes__ == ["note [redacted:github]"]


def test_a_circle_of_causes_ends() -> None:
    """As Python's own traceback does."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    standing = stand_in(first, READING)
    assert standing.__cause__ is not None
    assert standing.__cause__.__cause__ is standing
    assert "second" in formatted(first, READING)


def test_a_long_chain_is_cut() -> None:
    """Beyond 256 exceptions one says that there were more."""
    error = last = ValueError("0")
    for number in range(1, 1000):
        last.__cause__ = ValueError(str(number))
        last = last.__cause__
    told = formatted(error, READING)
    assert "ValueError: 255\n" in told
    assert "ValueError: 256\n" not in told
    assert "[redacted:depth]" in told


def test_groups_within_groups_beyond_measure_are_hidden() -> None:
    """What cannot be followed is shown as a failure, and nothing raises."""
    group = ExceptionGroup("x", [ValueError(KEY)])
    for _ in range(sys.getrecursionlimit()):
        group = ExceptionGroup("x", [group])
    assert KEY not in formatted(group, READING)


class Hostile(ValueError):
    """Fails wherever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError(KEY)

    __repr__ = __str__

    def __getattribute__(self, name: str) -> Any:
        if name == "__notes__":
            raise RuntimeError(KEY)
        return super().__getattribute__(name)


def test_an_exception_that_fails_to_show_itself_is_hidden(leaks: Callable[..., list[str]]) -> None:
    """Neither it nor what it raises meanwhile is shown."""
    told = formatted(_raised(Hostile()), READING)
    assert "[redacted:error]" in told
    assert leaks(KEY, told) == []


def test_a_secret_in_a_source_line_is_hidden_as_well(leaks: Callable[..., list[str]]) -> None:
    """Where the guard writes the traceback, it searches the lines of the source too."""
    import linecache

    source = f"raise ValueError  # {KEY}\n"
    linecache.cache["of a tool"] = (len(source), None, [source], "of a tool")
    with pytest.raises(ValueError, match=r"^$") as raised:
        exec(compile(source, "of a tool", "exec"), {})
    told = formatted(raised.value, READING)
    del linecache.cache["of a tool"]
    assert "raise ValueError  # [redacted:github]" in told
    assert leaks(KEY, told) == []
