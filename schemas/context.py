"""Who, when, in which task: the part that every event carries, and what the log adds when it seals the entry."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from .part import Part
from .values import Attributes, Count, Fingerprint, Name, Text, Time, Uri, new_event_id
from .vocabulary import LengthClass, Observer, RedactionAction


class Agent(Part):
    """The agent in whose name the credential was used (OpenTelemetry ``gen_ai.agent.*``)."""

    id: Name
    """Stable identifier."""
    name: Name | None = None
    """Readable name."""
    version: Name | None = None
    """Version of the agent."""
    instance: Name | None = None
    """One running instance of it."""


class Tool(Part):
    """The tool in whose call the credential was used (OpenTelemetry ``gen_ai.tool.*``)."""

    name: Name
    """Name of the tool."""
    call_id: Name | None = None
    """Identifier of this call."""
    server: Name | None = None
    """The MCP server that offers it."""


class Principal(Part):
    """On whose behalf. The actor chain is asserted by the issuer and informational (RFC 8693 §4.1)."""

    subject: Name | None = None
    """The person or service behind the agent."""
    client_id: Name | None = None
    """The OAuth client."""
    actors: tuple[Name, ...] = Field(default=(), max_length=16)
    """``act``: the current actor first, earlier ones after it (RFC 8693 §4.1)."""


class Redaction(Part):
    """The receipt of one removed value: where, by which rule, roughly how long. Never the value."""

    path: Text
    """Where in the event: member names joined with dots."""
    rule: Name
    """Which rule removed it."""
    length: LengthClass
    """How long it was, as a class."""
    action: RedactionAction = RedactionAction.MASK
    """What became of it. Absent: a marker stands in its place."""
    fingerprint: Fingerprint | None = None
    """Which credential it was, for one that is long and random. Absent: a text, or a value that could be guessed."""


class Producer(Part):
    """The process that wrote the entry: assigned by the log."""

    id: Name
    """Random, new for every opened log and after every fork."""
    seq: Count = Field(ge=1)
    """Counts calls of ``record``; a missing number shows a loss."""
    raised: tuple[Count, ...] = ()
    """Earlier numbers whose call raised an error, so that their absence is no loss."""
    pid: Count
    """Process id."""
    host: Name
    """Host name."""
    library: Name
    """``counterfoil/<version>``."""


class Context(Part):
    """Who, when and where. The members from ``recorded_at`` on are the log's: what a caller puts there is replaced."""

    event_id: UUID = Field(default_factory=new_event_id)
    """Any RFC 9562 UUID; a UUIDv7 unless given. Repeating one retries the same event."""
    occurred_at: Time | None = None
    """When it happened. Absent: unknown, and the time of recording stands in for it in queries."""
    observer: Observer = Observer.AGENT
    """Seen from where."""
    agent: Agent | None = None
    """Which agent."""
    task: Name | None = None
    """Which task."""
    tenant: Name | None = None
    """Which tenant."""
    conversation: Name | None = None
    """Which conversation (``gen_ai.conversation.id``)."""
    tool: Tool | None = None
    """Which tool."""
    principal: Principal | None = None
    """On whose behalf."""
    trace_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] | None = None
    """W3C trace id, 32 hex digits."""
    span_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")] | None = None
    """W3C span id of the surrounding span, 16 hex digits."""
    use_id: UUID | None = None
    """Joins the intent and the outcome of one use, and its attempts."""
    inbound: Fingerprint | None = None
    """The credential of the request that was being served when this one was sent. Equal to the fingerprint of the token
    sent, it was passed through, which MCP forbids."""
    peer: Name | None = None
    """Network address of the other side, as host or host:port."""
    attributes: Attributes = Field(default_factory=dict)
    """Free-form JSON of the caller's own, redacted by position and by pattern."""
    reference: Uri | None = None
    """A link to where more is known, such as a ticket."""

    recorded_at: Time | None = None
    """When the log took the entry."""
    producer: Producer | None = None
    """Which process wrote it."""
    salt: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] | None = None
    """128 random bits, so that an erased body cannot be guessed from its leaf hash."""
    redactions: tuple[Redaction, ...] = ()
    """What was removed."""
