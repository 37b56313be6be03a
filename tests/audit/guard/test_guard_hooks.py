"""The hooks for what nobody caught, in this process and with hooks of others below and above them."""

from __future__ import annotations

import gc
import secrets
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.guard.hooks import HOOKS, install
from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "ghp_" + secrets.token_hex(18)


@pytest.fixture(autouse=True)
def pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with the hooks that Python has, instead of pytest's."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)


@pytest.fixture
def installed(pythons_own: None) -> Iterator[None]:  # noqa: ARG001 -- those go below
    """Guard all hooks for one test."""
    uninstall = install()
    yield
    uninstall()


def _uncaught(error: BaseException) -> None:
    """Do what Python does with an exception that nobody caught."""
    with pytest.raises(type(error)) as raised:
        raise error from KeyError(KEY)
    sys.excepthook(raised.type, raised.value, raised.value.__traceback__)


class _Failing:
    """Fails when it is deleted, and when it is to show itself says a secret."""

    def __del__(self) -> None:
        raise ValueError(KEY)

    def __repr__(self) -> str:
        return f"<{KEY}>"


def _in_thread(error: BaseException) -> None:
    def run() -> None:
        raise error

    thread = threading.Thread(target=run, name=f"with {KEY}")
    thread.start()
    thread.join()


def _delete() -> None:
    _Failing()
    gc.collect()


def _warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"do not use {KEY}", DeprecationWarning, stacklevel=2)


ROUTES: dict[str, tuple[Callable[[], None], str]] = {
    "excepthook": (lambda: _uncaught(ValueError(KEY)), "ValueError: [redacted:github]"),
    "threading": (lambda: _in_thread(ValueError(KEY)), "Exception in thread with [redacted:github]:"),
    "unraisablehook": (_delete, "Exception ignored in: <function _Failing.__del__"),
    "showwarning": (_warn, "DeprecationWarning: do not use [redacted:github]"),
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("hook", ROUTES)
def test_what_python_would_print_is_printed_without_secrets(
    hook: str, capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """The exception, its cause, the name of the thread, the object, the warning."""
    through, shown = ROUTES[hook]
    through()
    told = capsys.readouterr().err
    assert shown in told
    assert leaks(KEY, told) == []


@pytest.mark.parametrize("hook", ["excepthook", "threading", "unraisablehook"])
def test_without_the_guard_each_of_them_leaks(
    hook: str, capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """So that the test above means something; what is installed can be taken away."""
    install()()
    ROUTES[hook][0]()
    assert leaks(KEY, capsys.readouterr().err)


def test_without_the_guard_a_warning_leaks() -> None:
    """Here to pytest, which collects warnings where Python would print them."""
    install()()
    with pytest.warns(DeprecationWarning, match=KEY):
        warnings.warn(f"do not use {KEY}", DeprecationWarning, stacklevel=1)


@pytest.mark.parametrize("hook", ROUTES)
def test_a_hook_that_was_there_before_is_called_with_a_stand_in(
    hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """It gets no secret, neither as text nor as an object, and nothing is printed beside it."""
    owner, name, _ = HOOKS[hook]
    told: list[str] = []

    def before(*arguments: Any) -> None:
        told.append(f"{arguments} {arguments[0]} {arguments[1:]}")

    monkeypatch.setattr(owner, name, before)
    uninstall = install(hook)
    ROUTES[hook][0]()
    uninstall()
    assert "[redacted:github]" in " ".join(told)
    assert leaks(KEY, " ".join(told), capsys.readouterr().err) == []
    assert getattr(owner, name) is before


@pytest.mark.parametrize("hook", ROUTES)
def test_a_hook_that_fails_brings_nothing_out(
    hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """Python would print the exception itself after a hook that raises; here both are told, redacted."""
    owner, name, _ = HOOKS[hook]

    def before(*arguments: Any) -> None:
        raise RuntimeError(f"no hook for {KEY} and {arguments}")

    monkeypatch.setattr(owner, name, before)
    uninstall = install(hook)
    ROUTES[hook][0]()
    uninstall()
    told = capsys.readouterr().err
    assert "Error in a hook:" in told
    assert "[redacted:github]" in told.split("It was called for:")[1]
    assert leaks(KEY, told) == []


def test_a_hook_on_top_stays_when_the_guard_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """What others have put there since then is theirs; below it nothing is guarded any more."""
    uninstall = install("excepthook")
    guarded = sys.excepthook

    def above(*arguments: Any) -> None:
        guarded(*arguments)

    sys.excepthook = above
    uninstall()
    assert sys.excepthook is above
    _uncaught(ValueError(KEY))
    assert KEY in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
def test_a_thread_may_end_by_exiting(capsys: pytest.CaptureFixture[str]) -> None:
    """``SystemExit`` in a thread says nothing, as without the guard."""
    _in_thread(SystemExit(KEY))
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("installed")
def test_interrupts_are_still_interrupts() -> None:
    """A hook that asks what it has got, as many do for ``KeyboardInterrupt``, gets the answer."""
    seen: list[type[BaseException]] = []
    sys.excepthook = lambda kind, _error, _trace: seen.append(kind)
    uninstall = install("excepthook")
    _uncaught(KeyboardInterrupt())
    uninstall()
    assert issubclass(seen[0], KeyboardInterrupt)


@pytest.mark.usefixtures("installed")
def test_a_closed_stderr_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is nothing to tell, and nobody to tell it to."""
    monkeypatch.setattr(sys, "stderr", None)
    _uncaught(ValueError(KEY))


def test_an_unknown_hook_is_refused() -> None:
    """By a sentence that names those there are."""
    with pytest.raises(ConfigurationError, match="excepthook, threading, unraisablehook, showwarning"):
        install("audit")
