"""Signals that end a process without Python's exit: write what is queued and record the end first.

The library installs no handler by itself. ``install_signal_handlers()`` does, in the main thread, where a program wants
it. What the program had installed before is called as ever; where that is the default, the process ends by the signal,
as it would have without this, within five seconds.
"""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from counterfoil.exporters.diagnostics import diagnostics, say
from counterfoil.schemas import CounterfoilError

from .lifetime import after_this_call, leave_all, open_logs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_SOON: Final = 0.01  # seconds until a signal that came in the middle of a call comes again
_LATEST: Final = 1.0  # seconds after which it is not put off any more


def install_signal_handlers(signals: Iterable[int] = (signal.SIGTERM, signal.SIGINT)) -> None:
    """End every log in an orderly way when one of these signals ends the process.

    A signal that is ignored stays ignored. A handler that is there already is called after what is queued was written,
    and Python's own for SIGINT at once, since that leads to an ordinary exit. Raises ``ValueError`` outside the main
    thread.
    """
    diagnostics()  # loaded by now: CPython forgets that SIGINT ended it when something is loaded at exit
    for number in signals:
        before = signal.getsignal(number)
        if before in (signal.SIG_IGN, None) or isinstance(getattr(before, "__self__", None), _Handler):
            continue
        signal.signal(number, _Handler(before).handle)


class _Handler:
    """What is done on one signal. ``before`` is what was done until now."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self._since: float | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):
            if self._before is not signal.default_int_handler:
                _flush_all()
            self._before(number, frame)
            return
        if self._since is None:
            self._since = time.monotonic()
            if _records(frame):
                after_this_call(partial(_end, number))
        if _records(frame) and time.monotonic() - self._since < _LATEST and _again(number):
            return
        _end(number)


def _end(number: int) -> None:
    _leave_all()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _records(frame: FrameType | None) -> bool:
    """Whether the signal came in the middle of a call of a log, which has to get out first, with entry and locks."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "counterfoil.audit.log":
            return True
        frame = frame.f_back
    return False


def _again(number: int) -> bool:
    """Let the signal come again soon. False if that cannot be."""
    thread = threading.Thread(target=partial(_remind, number), name="counterfoil-signal", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is exiting
        return False
    return True


def _remind(number: int) -> None:
    time.sleep(_SOON)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)


def _leave_all() -> None:
    try:
        leave_all(last=True)
    except CounterfoilError as error:
        say(str(error))  # accepted entries are lost


def _flush_all() -> None:
    for log in open_logs():
        try:
            log.flush()
        except CounterfoilError as error:
            diagnostics().warning("not everything was written when a signal came", code=error.code)
