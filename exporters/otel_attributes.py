"""The attributes of an exported span, as one table: name, type, where the value comes from, what it means.

``docs/opentelemetry.md`` prints this table. Where OpenTelemetry has a convention its name is used, written out here,
since the GenAI constants of the semantic-conventions package are deprecated; our own facts are under ``counterfoil.``.
No name holds a word that the scrubbers in the SDKs of Logfire and Sentry look for (auth, credential, session, jwt …).
Names of people (but for the approver), free text and free-form attributes (but for three of MCP's) stay in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import SplitResult, urlsplit

from counterfoil.schemas import CheckOutcome, CredentialUse, LogEvent, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterfoil.schemas import Check, Entry, Event, UnlistedEvent

_HTTP_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


@dataclass(frozen=True, slots=True)
class Subject:
    """What a span is made from."""

    entry: Entry
    event: Event | UnlistedEvent
    log_id: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table."""

    name: str
    type: Literal["string", "int", "boolean", "string[]"]
    source: str
    """Where the value stands in the event: member names joined with dots, alternatives with `` or ``. With
    ``compute``, the same in words."""
    meaning: str
    compute: Callable[[Subject], object] | None = None
    """How the value is worked out, where it does not simply stand there."""
    says_unknown: bool = False
    """Whether the term ``unknown`` is exported: an answer to the main questions, noise elsewhere."""


def _given(subject: Subject, member: str) -> object:
    """Return a member of the context, but not its default: a stub knows neither its event's id nor its observer."""
    context = subject.event.context
    return getattr(context, member) if member in context.model_fields_set else None


def _use(subject: Subject) -> CredentialUse | None:
    return subject.event if isinstance(subject.event, CredentialUse) else None


def _erased(subject: Subject) -> tuple[str, ...] | None:
    event = subject.event
    return tuple(str(each.seq) for each in event.erased) or None if isinstance(event, LogEvent) else None


def _operation(subject: Subject) -> str | None:
    use = _use(subject)
    return "execute_tool" if use and use.context.tool else None


def _http_method(subject: Subject) -> str | None:
    use = _use(subject)
    return use.action.method if use and use.action.method in _HTTP_METHODS else None


def _status_code(subject: Subject) -> int | None:
    use = _use(subject)
    return use.action.status_code if use else None


def _error_type(subject: Subject) -> str | None:
    use = _use(subject)
    if not use or use.action.outcome not in {Outcome.FAILED, Outcome.REFUSED}:
        return None
    return use.action.error_type or (str(use.action.status_code) if use.action.status_code else "_OTHER")


def _url(subject: Subject) -> SplitResult | None:
    """Return the address that was called, if it is one of the web and can be read."""
    use = _use(subject)
    if not use:
        return None
    try:
        url = urlsplit(use.action.target or use.resource.uri)
        _ = url.port
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.hostname else None


def _url_scheme(subject: Subject) -> str | None:
    url = _url(subject)
    return url.scheme if url else None


def _url_path(subject: Subject) -> str | None:
    url = _url(subject)
    return url.path or "/" if url else None


def _server_address(subject: Subject) -> str | None:
    url = _url(subject)
    return url.hostname if url else None


def _server_port(subject: Subject) -> int | None:
    url = _url(subject)
    return url.port or {"http": 80, "https": 443}[url.scheme] if url else None


def _checks(subject: Subject, wanted: Callable[[Check], bool]) -> tuple[str, ...]:
    use = _use(subject)
    return tuple(check.id for check in use.proof.checks if wanted(check)) if use else ()


def _passed(subject: Subject) -> tuple[str, ...]:
    return _checks(subject, lambda check: check.outcome == CheckOutcome.PASS)


def _failed(subject: Subject) -> tuple[str, ...]:
    return _checks(subject, lambda check: check.outcome in {CheckOutcome.FAIL, CheckOutcome.ERROR})


def _mcp(name: str, meaning: str) -> Attribute:
    """Return the row of a name that the MCP instrument writes into the context, as the conventions of MCP have it."""

    def told(subject: Subject) -> str | None:
        value = subject.event.context.attributes.get(name)
        return value if isinstance(value, str) else None

    return Attribute(name, "string", f"`{name}` in context.attributes", meaning, told)


ATTRIBUTES: Final = (
    # The entry, which makes the destination a witness of the log.
    Attribute("counterfoil.log.id", "string", "the log", "Which log, 32 hex digits.", lambda it: it.log_id),
    Attribute("counterfoil.entry.seq", "int", "the entry", "Position in the log, from 1.", lambda it: it.entry.seq),
    Attribute(
        "counterfoil.entry.chain_hash",
        "string",
        "the entry",
        "Head of the hash chain with this entry, 64 hex digits: whoever keeps it can prove a later change of the log.",
        lambda it: it.entry.chain_hash.hex(),
    ),
    Attribute(
        "counterfoil.entry.leaf_hash",
        "string",
        "the entry",
        "Hash of the sealed body (RFC 9162 §2.1.1), 64 hex digits.",
        lambda it: it.entry.leaf_hash.hex(),
    ),
    Attribute(
        "counterfoil.event.id",
        "string",
        "context.event_id",
        "The event, a UUID: the key to de-duplicate by.",
        lambda it: _given(it, "event_id"),
    ),
    Attribute("counterfoil.event.kind", "string", "kind", "Which of the five kinds of event, or `stub`."),
    Attribute("counterfoil.event.recorded_at", "string", "context.recorded_at", "When the log sealed it (RFC 3339)."),
    Attribute(
        "counterfoil.observer",
        "string",
        "context.observer",
        "From where the event was seen.",
        lambda it: _given(it, "observer"),
    ),
    Attribute("counterfoil.use.id", "string", "context.use_id", "Joins the intent and the outcome of one use."),
    Attribute("counterfoil.producer.id", "string", "context.producer.id", "The process that wrote the entry."),
    Attribute("counterfoil.producer.seq", "int", "context.producer.seq", "Its count of entries; a hole shows a loss."),
    Attribute("counterfoil.stub.kind", "string", "of.kind", "In a stub: the kind of the event it stands for."),
    Attribute("counterfoil.stub.size", "int", "of.size", "In a stub: the size of the body left out, in bytes."),
    # Who, in which task.
    Attribute("gen_ai.operation.name", "string", "`execute_tool` if a tool is known", "GenAI convention.", _operation),
    Attribute("gen_ai.agent.id", "string", "context.agent.id", "The agent."),
    Attribute("gen_ai.agent.name", "string", "context.agent.name", "Its readable name."),
    Attribute("gen_ai.agent.version", "string", "context.agent.version", "Its version."),
    Attribute("gen_ai.conversation.id", "string", "context.conversation", "The conversation."),
    Attribute("gen_ai.tool.name", "string", "context.tool.name", "The tool in whose call it happened."),
    Attribute("gen_ai.tool.call.id", "string", "context.tool.call_id", "That call."),
    _mcp("mcp.method.name", "MCP convention: what a request to an MCP server asked for."),
    _mcp("mcp.protocol.version", "MCP convention: the revision that it spoke."),
    _mcp("jsonrpc.request.id", "MCP convention: the request."),
    Attribute("counterfoil.tool.server", "string", "context.tool.server", "The MCP server that offers the tool."),
    Attribute("counterfoil.agent.instance", "string", "context.agent.instance", "One running instance of the agent."),
    Attribute("counterfoil.task", "string", "context.task", "The task."),
    Attribute("counterfoil.tenant", "string", "context.tenant", "The tenant."),
    Attribute("counterfoil.client.id", "string", "context.principal.client_id", "The OAuth client."),
    Attribute("counterfoil.peer", "string", "context.peer", "Network address of the other side."),
    # Which credential.
    Attribute(
        "counterfoil.token.class", "string", "token.token_class", "What kind of credential it was.", says_unknown=True
    ),
    Attribute("counterfoil.token.format", "string", "token.format", "How it is written down."),
    Attribute(
        "counterfoil.token.fingerprint",
        "string",
        "token.fingerprint or fingerprint",
        "Which credential: equal within a deployment for equal credentials.",
    ),
    Attribute("counterfoil.token.parent", "string", "parent", "Fingerprint of the credential that it came from."),
    Attribute(
        "counterfoil.inbound.fingerprint",
        "string",
        "context.inbound",
        "The credential that was being served meanwhile; equal to the token's, it was passed through.",
    ),
    Attribute("counterfoil.token.issuer", "string", "token.issuer", "Who issued it."),
    Attribute("counterfoil.token.audience", "string[]", "token.audience", "For whom it is meant."),
    Attribute("counterfoil.token.scopes", "string[]", "token.scopes", "What it allows."),
    Attribute("counterfoil.token.expires_at", "string", "token.lifetime.expires_at", "Until when (RFC 3339)."),
    Attribute("counterfoil.token.lifetime", "int", "token.lifetime.seconds", "Seconds from issue to expiry."),
    Attribute("counterfoil.token.basis", "string", "token.basis", "How these facts are known."),
    # What ties it to its sender, and who could sign.
    Attribute(
        "counterfoil.binding.method", "string", "binding.method", "What ties it to its sender.", says_unknown=True
    ),
    Attribute("counterfoil.binding.declared", "string", "binding.declared", "What the token says about that."),
    Attribute("counterfoil.binding.presented", "string", "binding.presented", "How the sender presented it."),
    Attribute("counterfoil.binding.verified", "string", "binding.verified", "What the server checked and found good."),
    Attribute(
        "counterfoil.key.thumbprint",
        "string",
        "binding.key_thumbprint or key_thumbprint",
        "The proof key or certificate.",
    ),
    Attribute("counterfoil.key.custody", "string", "key_custody.store", "Where the key is kept.", says_unknown=True),
    Attribute("counterfoil.key.isolation", "string", "key_custody.isolation", "Who shares it."),
    Attribute("counterfoil.key.exportable", "boolean", "key_custody.exportable", "Whether it can be copied out."),
    Attribute("counterfoil.signer.pid", "int", "signer.pid", "The process that used it."),
    Attribute("counterfoil.signer.executable", "string", "signer.executable", "Its executable."),
    Attribute("counterfoil.signer.host", "string", "signer.host", "Its host."),
    Attribute("counterfoil.signer.container", "string", "signer.container", "Its container."),
    Attribute("counterfoil.signer.workload_id", "string", "signer.workload_id", "Its SPIFFE id."),
    Attribute("counterfoil.signer.is_tool", "boolean", "signer.is_tool_process", "Whether a tool, not the agent, ran."),
    # How possession was proven.
    Attribute("counterfoil.proof.mechanism", "string", "proof.mechanism", "By what means possession was shown."),
    Attribute(
        "counterfoil.proof.result", "string", "proof.result", "How the proof ended as a whole.", says_unknown=True
    ),
    Attribute(
        "counterfoil.proof.failed_checks", "string[]", "proof.checks", "Checks that failed or broke off.", _failed
    ),
    Attribute("counterfoil.proof.passed_checks", "string[]", "proof.checks", "Checks that ran and passed.", _passed),
    Attribute("counterfoil.proof.checked_by", "string", "proof.checked_by", "Who checked."),
    Attribute("counterfoil.proof.id", "string", "proof.proof_id", "The same on both sides; twice means a replay."),
    # Where it went.
    Attribute("counterfoil.resource.uri", "string", "resource.uri", "The protected resource; query values are gone."),
    Attribute("counterfoil.resource.server", "string", "resource.server", "The server that answers for it."),
    Attribute("url.scheme", "string", "action.target, else resource.uri", "HTTP convention.", _url_scheme),
    Attribute("url.path", "string", "action.target, else resource.uri", "HTTP convention.", _url_path),
    Attribute("server.address", "string", "action.target, else resource.uri", "HTTP convention.", _server_address),
    Attribute("server.port", "int", "action.target, else resource.uri", "HTTP convention.", _server_port),
    # Who approved.
    Attribute("counterfoil.approval.state", "string", "state", "What an approval event reports."),
    Attribute(
        "counterfoil.approval.requirement", "string", "approval.requirement or requirement", "Whether one was needed."
    ),
    Attribute("counterfoil.approval.id", "string", "approval.approval_id or approval_id", "Joins request and use."),
    Attribute("counterfoil.approval.decision", "string", "approval.decision", "How it ended."),
    Attribute("counterfoil.approval.approver", "string", "approval.approver or approver", "Who decided."),
    Attribute("counterfoil.approval.decided_at", "string", "approval.decided_at or decided_at", "When (RFC 3339)."),
    Attribute(
        "counterfoil.approval.shown_digest", "string", "approval.shown_digest or shown_digest", "What was shown …"
    ),
    Attribute(
        "counterfoil.approval.executed_digest",
        "string",
        "approval.executed_digest",
        "… and what ran: equal digests mean that what was shown is what ran.",
    ),
    # What was done.
    Attribute("counterfoil.action.name", "string", "action.name", "What the action is called in the domain."),
    Attribute("counterfoil.action.method", "string", "action.method", "HTTP or RPC method."),
    Attribute("counterfoil.action.phase", "string", "action.phase", "Intent, outcome, or both in one."),
    Attribute("counterfoil.action.attempt", "int", "action.attempt", "Which attempt of one use, from 1."),
    Attribute(
        "counterfoil.action.redirected_from",
        "string",
        "action.redirected_from",
        "Whose answer redirected here.",
    ),
    Attribute("counterfoil.action.outcome", "string", "action.outcome", "How it ended.", says_unknown=True),
    Attribute("counterfoil.action.arguments_digest", "string", "action.arguments_digest", "Keyed digest of arguments."),
    Attribute("http.request.method", "string", "action.method, if it is one of HTTP", "HTTP convention.", _http_method),
    Attribute("http.response.status_code", "int", "action.status_code", "HTTP convention.", _status_code),
    Attribute(
        "error.type",
        "string",
        "action.error_type, else the status, else `_OTHER`",
        "Only if the action failed or was refused: the class of the error, never its message.",
        _error_type,
    ),
    # The other kinds of event.
    Attribute("counterfoil.change", "string", "change", "What happened to a credential, or to the log."),
    Attribute("counterfoil.compromise.leaked", "string", "leaked", "What is reported to have leaked."),
    Attribute("counterfoil.compromise.place", "string", "place", "Where it was found."),
    Attribute("counterfoil.compromise.found_at", "string", "found_at", "When it was found (RFC 3339)."),
    Attribute("counterfoil.compromise.leaked_at", "string", "leaked_at", "Since when it may be known to others."),
    Attribute("counterfoil.log.count", "int", "count", "How many entries are concerned, such as those lost in a gap."),
    Attribute("counterfoil.log.first", "int", "first", "First number concerned."),
    Attribute("counterfoil.log.last", "int", "last", "Last number concerned."),
    Attribute(
        "counterfoil.log.erased", "string[]", "erased", "Numbers of the entries whose bodies were erased.", _erased
    ),
    Attribute(
        "counterfoil.log.verification_key", "string", "verification_key", "With which key its checkpoints are verified."
    ),
    Attribute("counterfoil.log.note", "string", "note", "What the log's key says about this change (C2SP note)."),
)
"""The table. A member that is absent makes no attribute."""

TRUNCATED: Final = Attribute(
    "counterfoil.truncated", "string[]", "this export", "Names of attributes whose value was cut at 4 KiB."
)


def markdown_table() -> str:
    """Return the table as it stands in ``docs/opentelemetry.md``."""
    rows = ["| attribute | type | from | meaning |", "|---|---|---|---|"]
    for each in (*ATTRIBUTES, TRUNCATED):
        source = each.source if each.compute or each is TRUNCATED else f"`{each.source.replace(' or ', '` or `')}`"
        rows.append(f"| `{each.name}` | {each.type} | {source} | {each.meaning} |")
    return "\n".join(rows) + "\n"
