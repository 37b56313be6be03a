"""Where the credential went and what was done with it."""

from __future__ import annotations

from pydantic import Field

from .part import Part
from .values import Count, KeyedDigest, Name, Time, Uri
from .vocabulary import Outcome, Phase


class Resource(Part):
    """The protected resource that the credential was sent to."""

    uri: Uri
    """The resource itself: absolute, query values dropped unless allowed."""
    server: Name | None = None
    """The server that answers for it, as host or host:port."""
    accepted_audiences: tuple[Name, ...] = ()
    """The audience identifiers that the server accepts as its own (RFC 9068 §4)."""
    metadata: Uri | None = None
    """Where its protected-resource metadata stands (RFC 9728 §3)."""


class Action(Part):
    """What was done. A proof covers method and URI only; ``arguments_digest`` says what else there was."""

    name: Name
    """What the action is called in the domain, such as ``read_mail``."""
    method: Name | None = None
    """HTTP method (RFC 9110 §9.1), or the RPC method."""
    target: Uri | None = None
    """The URI acted upon."""
    arguments_digest: KeyedDigest | None = None
    """Keyed digest of the canonical arguments, taken before redaction."""
    started_at: Time | None = None
    """When it began."""
    ended_at: Time | None = None
    """When its outcome was known."""
    attempt: Count | None = Field(default=None, ge=1)
    """Which attempt of one use this is, from 1: a refused nonce is answered with a fresh proof (RFC 9449 §8). Absent:
    the only one."""
    redirected_from: Uri | None = None
    """The URI whose answer redirected here (RFC 9110 §15.4)."""
    phase: Phase = Phase.COMPLETE
    """Intent (before), outcome (after), or both in one."""
    outcome: Outcome = Outcome.UNKNOWN
    """How it ended; ``pending`` while it is an intent."""
    status_code: Count | None = Field(default=None, le=999)
    """HTTP status (RFC 9110 §15)."""
    error_type: Name | None = None
    """The class of the error, never its message (OpenTelemetry ``error.type``)."""
