"""``counterfoil inspect``: what would be recorded of a raw HTTP request, without recording it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.audit.capture import HttpRequest
    from counterfoil.schemas import CredentialUse

_MAX_INPUT = 1024 * 1024


def inspect(
    base_url: Annotated[
        str | None, typer.Option(help="Scheme and host of the request, where its target is a path.", show_default=False)
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="When it was sent, RFC 3339. Default: now.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what would be recorded of a request.

    Reads a raw HTTP request on stdin and records nothing. There is one event for each credential.
    """
    from counterfoil.audit.capture import parse_raw_request
    from counterfoil.audit.redaction import Redactor
    from counterfoil.schemas import canonical_bytes
    from counterfoil.schemas.events import stated

    occurred_at = datetime.fromisoformat(parse_time(now)) if now else datetime.now(UTC)
    request = parse_raw_request(_read_stdin(), base_url)
    redactor = Redactor()
    for event in _events(request, occurred_at):
        body = stated(event)
        body["context"]["redactions"] = redactor.event(body)
        if as_json:
            typer.echo(canonical_bytes(body))
        else:
            _print_parts(body)


def _read_stdin() -> bytes:
    from counterfoil.schemas import InvalidRequest

    raw = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(raw) > _MAX_INPUT:
        raise InvalidRequest(f"the request is longer than {_MAX_INPUT:,} bytes")
    return raw


def _events(request: HttpRequest, occurred_at: datetime) -> Iterator[CredentialUse]:
    """Yield a use for each credential; for a request that shows none, one of the class ``none``."""
    from counterfoil.audit.capture import action_of, capture_credentials, resource_of
    from counterfoil.audit.fingerprint_key import load_fingerprint_key
    from counterfoil.schemas import Context, CredentialUse, Principal, Token, TokenClass

    resource, action = resource_of(request), action_of(request)
    found = capture_credentials(request, load_fingerprint_key())
    for credential in found:
        principal = Principal(actors=credential.actors) if credential.actors else None
        yield CredentialUse(
            context=Context(occurred_at=occurred_at, principal=principal),
            token=credential.token,
            binding=credential.binding,
            proof=credential.proof,
            resource=resource,
            action=action,
        )
    if not found:
        token = Token(token_class=TokenClass.NONE)
        yield CredentialUse(context=Context(occurred_at=occurred_at), token=token, resource=resource, action=action)


def _print_parts(body: dict[str, Any]) -> None:
    """Print what is known, part by part. What is unknown is left to ``--json``."""
    from rich.console import Console

    from .render import add_row, members_of, table

    shown = table("part", "field", "value")
    for path, value in members_of(body):
        part, _, field = path.partition(".")
        if value != "unknown":
            add_row(shown, part, field, value)
    console = Console()
    console.print(shown)
    console.print()
