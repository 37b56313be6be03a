"""What verification needs to know of a sealed body, without parsing all of it: who wrote it, and with which number.

A body is canonical JSON (RFC 8785): no white space, members in order, every quotation mark within a string escaped. So
the bytes ``"producer":{"host":"`` can only be a member of that name. The rules that keep attributes, the one place
where a caller's own members stand, from passing for it:

1. ``attributes`` stand before ``producer`` in the context, so of several such members the last is the log's own.
2. ``event_id``, which every context has, stands between the two: a member that it follows is one of the attributes.
3. What does not have the exact form is parsed as JSON, to be sure.

An entry about the log itself begins with its member ``change``; whether it is one, JSON decides.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_OPENING: Final = b'{"change":'
"""How the body of an entry about the log begins, and of some others."""

_OPENING: Final = b'"producer":{"host":"'
_LATER: Final = b'"event_id":"'
_PART: Final = re.compile(
    rb'"producer":\{"host":"(?:[^"\\]|\\.)*","id":"([0-9a-f]{1,64})","library":"(?:[^"\\]|\\.)*","pid":(?:0|[1-9]\d{0,15}),'
    rb'"raised":\[((?:[1-9]\d{0,15},)*(?:[1-9]\d{0,15})?)\],"seq":([1-9]\d{0,15})\},"recorded_at":"'
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry says of its producer."""

    producer: bytes
    """Its random id."""
    number: int
    """Its count of this call."""
    raised: tuple[int, ...]
    """Numbers of earlier calls that raised."""
    mark: bytes | None = None
    """The bytes that stand before the number in each entry of this producer that declares none."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that wrote, as an entry of it names it."""

    host: str
    pid: int
    recorded_at: str
    """When the log took that entry, RFC 3339."""


def told(body: bytes) -> Told | None:
    """Return what a body says of its producer, or None if it says nothing that can be read."""
    at = body.rfind(_OPENING)
    if at >= 0 and body.find(_LATER, at) < 0 and (found := _PART.match(body, at)):
        producer, raised, number = found.groups()
        numbers = tuple(int(each) for each in raised.split(b",")) if raised else ()
        if not raised.endswith(b","):
            return Told(producer, int(number), numbers, body[at : found.start(2)] + b'],"seq":')
    return _parsed(body)


def log_event(body: bytes) -> Mapping[str, Any] | None:
    """Return an entry about the log itself as JSON; None for any other."""
    if not (body.startswith(LOG_OPENING) and b'"kind":"log"' in body):
        return None
    event = members(body)
    return event if event.get("kind") == "log" else None


def member(event: Mapping[str, Any], *path: str) -> Any:
    """Return what stands at a path of members, or None."""
    found: Any = event
    for name in path:
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return found


def members(body: bytes) -> Mapping[str, Any]:
    """Return the members of a body; none, if it is no object that can be read."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def process_of(body: bytes) -> Process | None:
    """Return which process wrote an entry, or None where that cannot be read."""
    event = members(body)
    host, pid = (member(event, "context", "producer", name) for name in ("host", "pid"))
    recorded_at = member(event, "context", "recorded_at")
    if isinstance(host, str) and type(pid) is int and isinstance(recorded_at, str):
        return Process(host, pid, recorded_at)
    return None


def _parsed(body: bytes) -> Told | None:
    part = member(members(body), "context", "producer")
    producer, number, raised = (member(part or {}, name) for name in ("id", "seq", "raised"))
    if not isinstance(producer, str) or not _is_number(number) or not isinstance(raised, list | None):
        return None
    numbers = [each for each in cast("list[object]", raised or []) if _is_number(each)]
    return Told(producer.encode("utf-8", "surrogatepass"), number, tuple(numbers))


def _is_number(found: object) -> TypeGuard[int]:
    return type(found) is int and 0 < found < 2**53
