"""What goes out in place of an entry that cannot go out itself: where it stands, what kind it is, and how large.

An entry that the destination refuses, or whose body can no longer be read, must not hold up those behind it. Its stub
keeps the sequence number and both hashes, so that the destination is still a witness of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas.values import rfc3339

if TYPE_CHECKING:
    from counterfoil.schemas import Entry

STUB_KIND: Final = "stub"
"""The ``kind`` of a stub, which no event has."""


def stub_of(entry: Entry) -> Entry:
    """Return the stub of ``entry``. Its hashes are still those of the body that it leaves out."""
    original = _members(entry.body)
    recorded_at = _moment(_members(original.get("context")).get("recorded_at"))
    stub = {
        "kind": STUB_KIND,
        "context": {"recorded_at": recorded_at} if recorded_at else {},
        "of": {"kind": _term(original.get("kind")), "size": len(entry.body.encode("utf-8", "replace"))},
    }
    return replace(entry, body=json.dumps(stub))


def _members(found: Any) -> dict[str, Any]:
    """Return the members of an object, given as such or as JSON. What stands in a damaged body may be anything."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _term(found: Any) -> str:
    usable = isinstance(found, str) and len(found) <= 64 and found.isprintable()
    return found if usable else "unreadable"


def _moment(found: Any) -> str | None:
    try:
        moment = datetime.fromisoformat(found)
        return rfc3339(moment) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None
