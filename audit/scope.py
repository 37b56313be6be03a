"""What surrounds a use: agent, task, tenant, tool, approval. Set once with ``scope()``, taken by every event inside.

A scope is a context variable: each thread and each asyncio task has its own, inner scopes add to outer ones. The HTTP
layer sees the credential but not the tool, the agent framework the tool but not the credential; here they meet.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

from counterfoil.schemas import (
    Agent,
    Approval,
    Context,
    Fingerprint,
    KeyCustody,
    Observer,
    Principal,
    Tool,
    canonical_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping


@dataclass(frozen=True)
class Scope:
    """The surroundings as they are merged into an event: members of ``context`` and whole parts, in JSON form.

    What a member holds is in canonical order, so that it need not be sorted for each event.
    """

    context: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    parts: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    approval: Approval | None = None
    """The approval among ``parts``, as it was given."""
    arguments: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the tool is called with. Never recorded."""

    @property
    def tool(self) -> str | None:
        """The name of the tool."""
        name: str | None = self.context.get("tool", {}).get("name")
        return name

    @cached_property
    def size(self) -> int:
        """How many bytes it adds to an event, about. Raises ``OutOfDomain`` and ``EventTooLarge``."""
        json = to_json([self.context, self.parts])
        if "attributes" in self.context or b"\\u0000" in json:
            return len(canonical_bytes({"context": self.context, **self.parts}))
        return len(json)


_NOWHERE = Scope()
_current: ContextVar[Scope] = ContextVar("counterfoil_scope")
_serving: ContextVar[Callable[[], Fingerprint | None] | None] = ContextVar("counterfoil_serving", default=None)


def current_scope() -> Scope:
    """Return the surroundings of the running code."""
    return _current.get(_NOWHERE)


@contextmanager
def scope(  # noqa: PLR0913 -- one keyword a fact
    *,
    agent: str | Agent | None = None,
    task: str | None = None,
    tenant: str | None = None,
    conversation: str | None = None,
    tool: str | Tool | None = None,
    principal: str | Principal | None = None,
    observer: Observer | None = None,
    inbound: Fingerprint | None = None,
    approval: Approval | None = None,
    key_custody: KeyCustody | None = None,
    attributes: dict[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Generator[None]:
    """Give every event recorded inside these surroundings. A plain string is an id (agent), a name or a subject.

    ``arguments`` are those that ``tool`` is called with: a use inside keeps their keyed digest, and the approval policy
    is asked about them. Raises ``InvalidEvent`` at once when a value is not allowed.
    """
    given = {
        "agent": Agent(id=agent) if isinstance(agent, str) else agent,
        "task": task,
        "tenant": tenant,
        "conversation": conversation,
        "tool": Tool(name=tool) if isinstance(tool, str) else tool,
        "principal": Principal(subject=principal) if isinstance(principal, str) else principal,
        "observer": observer,
        "inbound": inbound,
        "attributes": attributes,
    }
    outer = current_scope()
    inner = Scope(
        context={**outer.context, **_members({name: value for name, value in given.items() if value is not None})},
        parts={**outer.parts, **_parts(approval=approval, key_custody=key_custody)},
        approval=approval or outer.approval,
        arguments=arguments if tool is not None or arguments is not None else outer.arguments,
    )
    token = _current.set(inner)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def serving(credential: Callable[[], Fingerprint | None]) -> Generator[None]:
    """Give every event recorded inside ``context.inbound``: what ``credential`` returns once something is recorded.

    It takes the place of an inbound credential around it; one that is said inside, by ``scope``, counts more.
    """
    outer = current_scope()
    around = None
    if "inbound" in outer.context:
        context = {name: value for name, value in outer.context.items() if name != "inbound"}
        around = _current.set(replace(outer, context=context))
    token = _serving.set(credential)
    try:
        yield
    finally:
        _serving.reset(token)
        if around:
            _current.reset(around)


def current_inbound() -> dict[str, str]:
    """Return the credential that is being served as a ``context`` member; nothing where none is."""
    credential = _serving.get()
    fingerprint = credential() if credential else None
    return {"inbound": fingerprint} if fingerprint else {}


def _members(given: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = _sorted(Context(**given).model_dump(mode="json", exclude_none=True, exclude_unset=True))
    return members


def _parts(**given: Approval | KeyCustody | None) -> dict[str, Any]:
    return {
        name: _sorted(part.model_dump(mode="json", exclude_none=True, exclude_unset=True))
        for name, part in given.items()
        if part is not None
    }


def current_trace() -> dict[str, str]:
    """Return the ids of the current OpenTelemetry span as ``context`` members; nothing where there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:  # never imported in this process, so no span can be open
        return {}
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def _sorted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _sorted(member) for name, member in sorted(cast("dict[str, Any]", value).items())}
