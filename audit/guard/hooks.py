"""The redactor for what nobody caught: uncaught exceptions, of threads and of ``__del__`` too, and warnings.

::

    from counterfoil.audit.guard.hooks import install

    install()

Each hook that was there before is called as ever, with a stand-in (``stand_in``) in the place of the exception. Where
that is Python's own, or fails, the traceback is written to stderr here: Python's would quote the source lines as they
are, and after a hook that fails it would show the exception itself.
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from counterfoil.schemas import ConfigurationError

from .reading import Reading, Shown
from .stand_in import exc_info_of, formatted, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..redaction.redactor import Redactor

_Hook: TypeAlias = "Callable[..., object]"


def install(*hooks: str, redactor: Redactor | None = None) -> Callable[[], None]:
    """Guard these hooks; without any all of ``HOOKS``. Returns what puts the ones before back.

    A hook that others have put on top since then stays, and has ours below it no more. Raises ``ConfigurationError``
    for a name that is none of them.
    """
    if unknown := set(hooks) - set(HOOKS):
        raise ConfigurationError(f"{len(unknown)} of the hooks to guard are none of {', '.join(HOOKS)}")
    reading = Reading(redactor)
    undone = [_put(*HOOKS[hook], reading) for hook in hooks or HOOKS]

    def uninstall() -> None:
        for undo in undone:
            undo()

    return uninstall


def _put(owner: Any, name: str, guard: Callable[[_Hook, Reading], _Hook], reading: Reading) -> Callable[[], None]:
    before: _Hook = getattr(owner, name)
    guarding = guard(before, reading)
    installed = True

    def hook(*arguments: Any, **named: Any) -> object:
        return (guarding if installed else before)(*arguments, **named)

    def undo() -> None:
        nonlocal installed
        installed = False
        if getattr(owner, name) is hook:
            setattr(owner, name, before)

    setattr(owner, name, hook)
    return undo


def _excepthook(before: _Hook, reading: Reading) -> _Hook:
    def hook(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        standing = stand_in(kind() if error is None else error, reading, trace)
        if before is sys.__excepthook__ or not _called(before, reading, *exc_info_of(standing)):
            _write(formatted(standing, reading))

    return hook


def _threading(before: _Hook, reading: Reading) -> _Hook:
    def hook(given: Any) -> None:
        thread = given.thread
        if given.exc_value is None or (issubclass(given.exc_type, SystemExit) and before is threading.__excepthook__):
            return  # a thread may end so
        standing = stand_in(given.exc_value, reading, given.exc_traceback)
        name = reading.shown(thread.name) if thread else threading.get_ident()
        clean = thread and name == thread.name  # a thread that has a secret for a name is not told of
        told = type(given)((*exc_info_of(standing), thread if clean else None))
        if before is threading.__excepthook__ or not _called(before, reading, told):
            _write(f"Exception in thread {name}:\n{formatted(standing, reading)}")

    return hook


def _unraisablehook(before: _Hook, reading: Reading) -> _Hook:
    def hook(given: Any) -> None:
        standing = stand_in(given.exc_value or given.exc_type(), reading, given.exc_traceback)
        where = None if given.object is None else Shown.by(given.object, reading)
        said = None if given.err_msg is None else reading.shown(given.err_msg)
        told = type(given)((*exc_info_of(standing), said, where))
        if before is sys.__unraisablehook__ or not _called(before, reading, told):
            head = f"{said or 'Exception ignored in'}{'' if where is None else f': {where!r}'}"
            _write(f"{head}\n{formatted(standing, reading)}")

    return hook


def _showwarning(before: _Hook, reading: Reading) -> _Hook:
    def hook(  # noqa: PLR0913, PLR0917 -- the signature of warnings.showwarning
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        standing: Any = stand_in(message, reading) if isinstance(message, Warning) else reading.shown(message)
        pythons = getattr(before, "__module__", None) == warnings.__name__
        if pythons or not _called(before, reading, standing, category, filename, lineno, file, line):
            text = warnings.formatwarning(standing, category, filename, lineno, line)
            _write(reading.text(text.removesuffix("\n")), file)

    return hook


HOOKS: Final = {
    "excepthook": (sys, "excepthook", _excepthook),
    "threading": (threading, "excepthook", _threading),
    "unraisablehook": (sys, "unraisablehook", _unraisablehook),
    "showwarning": (warnings, "showwarning", _showwarning),
}
"""``sys.excepthook``, ``threading.excepthook``, ``sys.unraisablehook`` and ``warnings.showwarning``."""


def _called(hook: _Hook, reading: Reading, *arguments: Any) -> bool:
    """Call the hook that was there before. If it fails, say so here, since Python would show what it was called for."""
    try:
        hook(*arguments)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 -- whatever a hook raises, it must not bring out the exception itself
        _write(f"Error in a hook:\n{formatted(error, reading)}\n\nIt was called for:")
        return False
    return True


def _write(text: str, file: TextIO | None = None) -> None:
    try:
        print(text, file=file or sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # closed, or none
        return
