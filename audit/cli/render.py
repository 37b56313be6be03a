"""Showing stored strings to a person. Every one of them is hostile: a terminal obeys what it prints."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import (
    ApprovalEvent,
    CheckOutcome,
    Compromise,
    CredentialChange,
    CredentialUse,
    LogEvent,
    Phase,
    Thumbprint,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue
    from rich.table import Table

    from counterfoil.schemas import Entry, Proof


def plain(text: str) -> str:
    """Return ``text`` with everything that is not printable escaped: ANSI, OSC, bidi controls, line breaks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain_json(text: str) -> str:
    """Return JSON with what ``plain`` would escape written as JSON escapes: it says the same, on one line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def table(*columns: str) -> Table:
    """Return a borderless table whose cells wrap rather than hide."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def add_row(to: Table, *cells: Any, style: str | None = None) -> None:
    """Add a row of stored values: escaped, and never read as markup."""
    from rich.text import Text

    to.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in cells), style=style)


def members_of(value: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each member that says something, as a dotted path and text. An empty list or object says nothing."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from members_of(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        if any(isinstance(member, dict | list) for member in value):
            for position, member in enumerate(value):
                yield from members_of(member, f"{path}.{position}")
        elif value:
            yield path, ", ".join(map(str, value))
    else:
        yield path, str(value)


def clock(moment: datetime | None) -> str:
    """Return date and time in UTC to the millisecond."""
    return moment.isoformat(sep=" ", timespec="milliseconds")[:23] if moment else ""


def moment_of(entry: Entry) -> datetime | None:
    """Return when the event happened, or was recorded where nobody said."""
    context = entry.event.context
    return context.occurred_at or context.recorded_at


def short(digest: str | None) -> str:
    """Return a fingerprint or thumbprint, short enough for a column and long enough to tell apart."""
    if not digest:
        return ""
    return f"{digest[:8]}…" if isinstance(digest, Thumbprint) else f"…{digest[-8:]}"


def checks_told(proof: Proof) -> str:
    """Return in one line who checked, what failed, what was never performed, and how many passed."""
    told = [f"{word} {listed}" for outcome, word in _WORDS.items() if (listed := _ids(proof, outcome))]
    passed = sum(check.outcome is CheckOutcome.PASS for check in proof.checks)
    told += [f"{passed} passed"] if passed else []
    by = f"checked by {proof.checked_by}" if proof.checked_by else "checks"
    return f"{by}: {'; '.join(told)}" if told else ""


_WORDS = {
    CheckOutcome.FAIL: "failed",
    CheckOutcome.ERROR: "could not finish",
    CheckOutcome.NOT_PERFORMED: "not performed",
}


def _ids(proof: Proof, outcome: CheckOutcome) -> str:
    """Return the ids of the checks that ended so, each family named once: ``dpop.08_htm, 09_htu; token.scope``."""
    families: dict[str, list[str]] = {}
    for check in proof.checks:
        if check.outcome is outcome:
            family, _, name = check.id.partition(".")
            families.setdefault(family, []).append(name)
    return ", ".join(f"{family}.{', '.join(names)}" for family, names in families.items())


def headline(entry: Entry) -> tuple[str, str, str]:
    """Return what an entry says in three short strings: what was done, with or to what, and how it ended."""
    event = entry.event
    match event:
        case CredentialUse():
            outcome = event.action.phase if event.action.phase is Phase.INTENT else event.action.outcome
            return event.action.name, event.resource.uri, _with_status(outcome, event.action.status_code)
        case CredentialChange():
            return "credential", event.token.token_class, event.change
        case ApprovalEvent():
            return event.action.name, event.approval_id, event.state
        case Compromise():
            return "compromise", event.place, event.leaked
        case LogEvent():
            erased = ", ".join(str(each.seq) for each in event.erased)
            return "log", f"bodies of {erased}" if erased else event.log_id or "", event.change
        case _:
            return event.kind, "", ""


def _with_status(outcome: str, status: int | None) -> str:
    return f"{outcome} {status}" if status else outcome
