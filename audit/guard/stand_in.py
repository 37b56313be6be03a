"""Stand-ins for exceptions: what a handler, a hook or a formatter may see of one.

A stand-in has the name of the class, its module and its builtin base; the text and the notes, redacted; stand-ins for
its cause, its context and the members of a group; and the same frames, by file, line and function, without locals,
globals and callers. It holds no reference to what it stands for. So whoever renders it, with whatever options, shows no
secret that the redactor finds, and none from a local variable.
"""

from __future__ import annotations

import traceback
from functools import lru_cache
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ..redaction.receipt import marker
from .reading import FAILED, Reading

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_MOST = 256
"""How many exceptions are followed, by cause, context and group, before the rest is left out."""


class _Standing:
    """What all stand-ins have in common."""

    args: tuple[Any, ...]

    def __str__(self) -> str:
        return cast("str", self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.args[0]!r})"


class ExcInfo(NamedTuple):
    """An exception as ``sys.exc_info()`` gives it."""

    type: type[BaseException]
    value: BaseException
    traceback: TracebackType | None


def stand_in(error: BaseException, reading: Reading, trace: TracebackType | None = None) -> BaseException:
    """Return the stand-in of an exception; a stand-in stands for itself. Never raises.

    ``trace`` is its traceback, where that is not the exception's own.
    """
    if isinstance(error, _Standing):
        return error
    try:
        return _Troupe(reading).of(error, trace or error.__traceback__)
    except Exception:  # noqa: BLE001 -- whatever went wrong, the exception may hold a secret
        return Exception(FAILED)


def exc_info_of(error: BaseException) -> ExcInfo:
    """Return what ``sys.exc_info()`` would say of an exception."""
    return ExcInfo(type(error), error, error.__traceback__)


def formatted(error: BaseException, reading: Reading) -> str:
    """Return the traceback of an exception as text, redacted, without a newline at its end. Never raises."""
    standing = stand_in(error, reading)
    try:
        text = "".join(traceback.format_exception(standing))
    except Exception:  # noqa: BLE001 -- a traceback must not cost the record
        return FAILED
    return reading.text(text.removesuffix("\n"))  # the source lines, too


class _Troupe:
    """The stand-ins of one exception and of all that it leads to."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._made: dict[int, BaseException] = {}
        self._originals: list[BaseException] = []  # whose identities must stay theirs until the end

    def of(self, error: BaseException, trace: TracebackType | None) -> BaseException:
        """Make the stand-in, then those of its chain, one after the other."""
        first = self._alone(error, trace)
        for original in self._originals:  # which grows meanwhile
            standing = self._made[id(original)]
            standing.__cause__ = self._next(original.__cause__)
            standing.__context__ = self._next(original.__context__)
            standing.__suppress_context__ = original.__suppress_context__
        return first

    def _next(self, error: BaseException | None) -> BaseException | None:
        return None if error is None else self._alone(error, error.__traceback__)

    def _alone(self, error: BaseException, trace: TracebackType | None) -> BaseException:
        if isinstance(error, _Standing):
            return error
        if id(error) in self._made:
            return self._made[id(error)]
        if len(self._originals) >= _MOST:
            return _made(_class("Exception", "builtins", Exception), marker("depth"))
        self._originals.append(error)
        standing = self._made[id(error)] = self._copied(error)
        notes = cast("object", getattr(error, "__notes__", ()))
        for note in cast("list[object]", notes) if isinstance(notes, list | tuple) else []:
            standing.add_note(self._reading.shown(note))
        return standing.with_traceback(_trace(trace, self._reading))

    def _copied(self, error: BaseException) -> BaseException:
        kind = type(error)
        name, module = self._reading.text(kind.__qualname__), self._reading.text(kind.__module__)
        text = self._reading.shown(error)
        if isinstance(error, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", error)
            members = [self._alone(each, each.__traceback__) for each in group.exceptions]
            return _made(_class(name, module, _base(kind)), text, members)
        return _made(_class(name, module, _base(kind)), text)


def _base(kind: type[BaseException]) -> Any:
    """Return the nearest builtin class, so that who asks what it is gets an answer, and no code but Python's runs.

    Not ``SyntaxError``: a traceback shows the source that it holds.
    """
    builtin = cast("type[BaseException]", next(each for each in kind.__mro__ if each.__module__ == "builtins"))
    return Exception if issubclass(builtin, SyntaxError) else builtin


@lru_cache(512)
def _class(name: str, module: str, base: Any) -> type[BaseException]:
    names = {"__module__": module, "__qualname__": name}
    return cast("type[BaseException]", type(name.rpartition(".")[2] or name, (_Standing, base), names))


def _made(kind: type[BaseException], text: str, members: list[BaseException] | None = None) -> BaseException:
    if members is None:
        made = kind.__new__(kind)
        made.args = (text,)
        return made
    group: BaseException = cast("Any", kind)(text, members)
    return group


def _trace(trace: TracebackType | None, reading: Reading) -> TracebackType | None:
    """Return the traceback with frames that only say where they were."""
    steps: list[tuple[FrameType, int]] = list(traceback.walk_tb(trace))
    copy: TracebackType | None = None
    for frame, line in reversed(steps):
        copy = TracebackType(copy, _frame(frame, line, reading), _NO_INSTRUCTION, line)
    return copy


_NO_INSTRUCTION: Final = -1


def _blank() -> Generator[None]:
    yield


def _frame(frame: FrameType, line: int, reading: Reading) -> FrameType:
    """Return a frame for the same place. It is that of a generator that never began: nobody called it."""
    code = frame.f_code
    names = {"co_filename": reading.text(code.co_filename), "co_name": code.co_name, "co_qualname": code.co_qualname}
    blank = _blank.__code__.replace(co_firstlineno=max(line, 1), **cast("dict[str, Any]", names))
    module = frame.f_globals.get("__name__", "")
    begun = FunctionType(blank, {"__name__": module if isinstance(module, str) else ""})()
    made: FrameType = begun.gi_frame
    return made
