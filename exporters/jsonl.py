"""Entries as lines, through structlog: JSON for programs, one readable line for people.

An entry becomes a structlog event: ``event`` is what was recorded, ``seq`` and ``chain_hash`` stand beside it, and a
processor makes the line. The application's own structlog configuration is neither used nor changed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog

from counterfoil.schemas import ExportFailed

from .stub import stub_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict, FilteringBoundLogger, Processor

    from counterfoil.schemas import Entry


class Stream(Protocol):
    """Where lines go: a binary file, ``sys.stdout.buffer``, a ``LineFile``."""

    def write(self, lines: bytes, /) -> object:
        """Take whole lines."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...


def json_line(_logger: Any, _method: str, entry: EventDict) -> bytes:
    """Render ``{"seq", "chain_hash", "event"}`` as one line of JSON; the event stands there as it was sealed."""
    text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")  # of a lone surrogate, that is the JSON escape


def ascii_json_line(_logger: Any, _method: str, entry: EventDict) -> bytes:
    """Render the same line for a terminal, which might obey what is not ASCII."""
    return json.dumps(entry, separators=(",", ":")).encode()


def readable_line(_logger: Any, _method: str, entry: EventDict) -> bytes:
    """Render the number, the time, the kind and the main facts. What is not plain is quoted as JSON."""
    event = entry["event"]
    moment = _member(event, "context.occurred_at") or _member(event, "context.recorded_at") or "-"
    facts = [(label, _member(event, path)) for label, path in _FACTS]
    shown = [f"{label}={_quoted(value)}" for label, value in facts if isinstance(value, str | int)]
    return " ".join([str(entry["seq"]), _quoted(moment), _quoted(_member(event, "kind")), *shown]).encode()


def last_entry(line: bytes) -> tuple[int, str]:
    """Return ``seq`` and ``chain_hash`` of a line of JSON. Raises ``ValueError`` if it is no such line."""
    try:
        entry = json.loads(line)
        return int(entry["seq"]), str(entry["chain_hash"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("not a line of exported entries") from None


class LineExporter:
    """Writes one line for each entry."""

    def __init__(self, stream: Stream, *, name: str, render: Processor = json_line) -> None:
        """``stream`` stays open when the exporter is closed. ``render`` is a structlog processor that returns bytes."""
        self._stream = stream
        self._name = name
        self._batch = _Batch()
        self._log: FilteringBoundLogger = structlog.wrap_logger(
            self._batch,
            processors=[render],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
            cache_logger_on_first_use=True,
        )

    @property
    def name(self) -> str:
        """The destination."""
        return self._name

    def export(self, entries: Sequence[Entry]) -> None:
        """Write the lines of a batch at once, and flush. Raises ``ExportFailed``."""
        for entry in entries:
            event: Any = _event(entry)
            self._log.info(event, seq=entry.seq, chain_hash=entry.chain_hash.hex())
        try:
            self._stream.write(self._batch.taken())
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ExportFailed(f"{self._name} did not take the batch ({type(error).__name__})") from None

    def close(self) -> None:
        """Do nothing: whoever opened the stream closes it."""


class _Batch:
    """The logger at the end of the pipeline: keeps the lines until the batch is complete."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def info(self, line: bytes) -> None:
        """Take a line."""
        self._lines.append(line)

    def taken(self) -> bytes:
        """Return all lines and begin anew."""
        lines, self._lines = self._lines, []
        return b"".join(line + b"\n" for line in lines)


def _event(entry: Entry) -> dict[str, Any]:
    """Return the recorded event as JSON. A body that is none any more gives its stub."""
    for body in (entry.body, stub_of(entry).body):
        try:
            event = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            break
    return cast("dict[str, Any]", event)


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259 §6), though Python reads them."""
    raise ValueError(name)


_FACTS = (
    ("observer", "context.observer"),
    ("peer", "context.peer"),
    ("agent", "context.agent.id"),
    ("task", "context.task"),
    ("tenant", "context.tenant"),
    ("tool", "context.tool.name"),
    ("method", "action.method"),
    ("action", "action.name"),
    ("resource", "resource.uri"),
    ("token", "token.token_class"),
    ("fingerprint", "token.fingerprint"),
    ("approval", "approval.approval_id"),
    ("phase", "action.phase"),
    ("outcome", "action.outcome"),
    ("status", "action.status_code"),
    ("change", "change"),
    ("state", "state"),
    ("leaked", "leaked"),
)

_PLAIN = re.compile(r"[\w.:/@%~+-]+", re.ASCII)


def _member(event: Any, path: str) -> Any:
    for step in path.split("."):
        event = cast("dict[str, Any]", event).get(step) if isinstance(event, dict) else None
    return event


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
