"""``counterfoil inspect``: what would be recorded of a raw HTTP request, without recording it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, a_digest, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.audit.capture import HttpRequest
    from counterfoil.audit.proof.sent import Known
    from counterfoil.schemas import CredentialUse, Proof

_MAX_INPUT = 1024 * 1024


def inspect(  # noqa: PLR0913, PLR0917 -- the options of the command
    base_url: Annotated[
        str | None, typer.Option(help="Scheme and host of the request, where its target is a path.", show_default=False)
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="When it was sent, RFC 3339. Default: now.", show_default=False)
    ] = None,
    bound_jkt: Annotated[
        str | None,
        typer.Option(
            help="Thumbprint of the key that the token is bound to. Default: what the token says.",
            callback=a_digest("Thumbprint"),
            show_default=False,
        ),
    ] = None,
    nonce: Annotated[
        list[str] | None, typer.Option(help="A nonce that the server had given; may be repeated.", show_default=False)
    ] = None,
    client_cert: Annotated[
        Path | None,
        typer.Option(help="File with the client certificate of the connection, PEM or DER.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what would be recorded of a request, and check its proofs.

    Reads a raw HTTP request on stdin and records nothing. There is one event for each credential, and a line for each
    check of its proof, with the section behind it. Exit code 1 if a check failed.
    """
    from counterfoil.audit.capture import parse_raw_request
    from counterfoil.audit.capture.certificate_file import read_certificate
    from counterfoil.audit.proof.sent import Known
    from counterfoil.audit.redaction import Redactor
    from counterfoil.schemas import ProofResult, Thumbprint, canonical_bytes
    from counterfoil.schemas.events import stated

    occurred_at = datetime.fromisoformat(parse_time(now)) if now else datetime.now(UTC)
    known = Known(
        now=occurred_at,
        certificate=read_certificate(client_cert) if client_cert else None,
        bound_jkt=Thumbprint(bound_jkt) if bound_jkt else None,
        nonces=nonce or (),
    )
    request = parse_raw_request(_read_stdin(), base_url)
    redactor, failed = Redactor(), False
    for event in _events(request, known):
        failed |= event.proof.result is ProofResult.FAIL
        body = stated(event)
        body["context"]["redactions"] = redactor.event(body)
        if as_json:
            typer.echo(canonical_bytes(body))
        else:
            _print_parts(body)
            _print_checks(event.proof)
    if failed:
        raise typer.Exit(1)


def _read_stdin() -> bytes:
    from counterfoil.schemas import InvalidRequest

    raw = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(raw) > _MAX_INPUT:
        raise InvalidRequest(f"the request is longer than {_MAX_INPUT:,} bytes")
    return raw


def _events(request: HttpRequest, known: Known) -> Iterator[CredentialUse]:
    """Yield a use for each credential; for a request that shows none, one of the class ``none``."""
    from counterfoil.audit.capture import action_of, capture_credentials, resource_of
    from counterfoil.audit.fingerprint_key import load_fingerprint_key
    from counterfoil.audit.proof.sent import inspect_sent
    from counterfoil.schemas import Context, CredentialUse, Principal, Token, TokenClass

    resource, action = resource_of(request), action_of(request)
    occurred_at = known.now
    found = capture_credentials(request, load_fingerprint_key(), certificate=known.certificate)
    for each in found:
        credential = inspect_sent(request, each, known, checked_by="counterfoil inspect")
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
        if not path.startswith("proof.checks.") and value != "unknown":
            add_row(shown, part, field, value)
    console = Console()
    console.print(shown)
    console.print()


def _print_checks(proof: Proof) -> None:
    """Print a line for each check, with the section behind it; of a failure also what was expected and found."""
    from .render import plain

    if not proof.checks:
        return
    typer.secho("check, outcome and where it is defined", bold=True)
    for check in proof.checks:
        line = f"{check.id:<29} {check.outcome:<14} {check.id.source}"
        typer.secho(plain(line), fg=_COLOURS.get(check.outcome))
        if check.expected or check.observed:
            told = f"expected {check.expected or 'something else'}, observed {check.observed or 'nothing'}"
            typer.echo(plain(f"    {told}"))
    typer.echo()


_COLOURS = {"pass": typer.colors.GREEN, "fail": typer.colors.RED, "error": typer.colors.RED}
