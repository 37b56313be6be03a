"""`counterfoil inspect`: a raw request on stdin, the events that would be recorded on stdout."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from counterfoil.audit.cli.inspect import inspect
from counterfoil.schemas import CredentialUse, Fingerprint, FingerprintKey, InvalidRequest, parse_event

SECRET = secrets.token_urlsafe(32)
KEY = secrets.token_bytes(32)
NOW = "2026-11-23T12:00:00Z"
PLAIN = f"GET /mail?folder={SECRET} HTTP/1.1\nHost: api.example\nAuthorization: Bearer {SECRET}\n\n".encode()
HOSTILE = "evil\x1b[31m\u202e[red]markup"

app = typer.Typer()
app.command()(inspect)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a fingerprint key of this test, and a terminal wide enough to keep lines whole."""
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", KEY.hex())
    monkeypatch.setenv("COLUMNS", "200")


def _inspect(raw: bytes, *options: str) -> Result:
    return CliRunner().invoke(app, list(options), input=raw)


def _events(raw: bytes, *options: str) -> list[dict[str, Any]]:
    result = _inspect(raw, "--json", *options)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


def _part(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_json_is_an_event_that_can_be_recorded() -> None:
    """Each line of --json is an event as the log would keep it: fingerprinted, redacted, at the given time."""
    (body,) = _events(PLAIN, "--now", NOW)
    event = parse_event(json.dumps(body))
    assert isinstance(event, CredentialUse)
    assert event.token.token_class == "bearer_opaque"
    assert event.token.fingerprint == Fingerprint.of(SECRET, FingerprintKey(KEY))
    assert body["context"]["occurred_at"] == "2026-11-23T12:00:00.000000Z"
    assert event.action.name == "GET /mail"
    assert event.resource.uri.startswith("https://api.example/mail?folder=")
    assert event.context.redactions


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_is_printed(options: tuple[str, ...]) -> None:
    """Neither the credential nor the value of a query parameter is in the output."""
    result = _inspect(PLAIN, *options)
    assert result.exit_code == 0
    assert SECRET not in result.output
    assert "bearer_opaque" in result.output


def test_each_credential_is_an_event() -> None:
    """A request with two credentials gives two events, the Authorization header's first."""
    raw = f"GET / HTTP/1.1\nHost: a.example\nCookie: sid={SECRET}\nAuthorization: Bearer {SECRET}\n\n".encode()
    assert [body["token"]["token_class"] for body in _events(raw)] == ["bearer_opaque", "cookie_session"]


def test_a_request_without_credential_is_told() -> None:
    """A request that shows no credential gives one event of the class none."""
    (body,) = _events(b"GET / HTTP/1.1\nHost: a.example\n\n")
    assert body["token"]["token_class"] == "none"


def test_the_chain_of_actors_is_the_principals() -> None:
    """The actors of a token stand in the context of its event."""
    token = f"{_part({'alg': 'ES256'})}.{_part({'sub': 'alice', 'act': {'sub': 'agent'}})}."
    (body,) = _events(f"GET / HTTP/1.1\nHost: a\nAuthorization: Bearer {token}\n\n".encode())
    assert body["context"]["principal"]["actors"] == ["agent"]


def test_the_base_url_is_taken() -> None:
    """A target that is a path goes after --base-url."""
    (body,) = _events(b"GET /mail HTTP/1.1\n\n", "--base-url", "http://127.0.0.1:8000")
    assert body["resource"] == {
        "server": "127.0.0.1:8000",
        "uri": "http://127.0.0.1:8000/mail",
    }


def test_the_table_shows_what_is_known_by_part() -> None:
    """The table has part, field and value; what is unknown is left out."""
    lines = [line.split() for line in _inspect(PLAIN, "--now", NOW).stdout.splitlines()]
    assert ["token", "token_class", "bearer_opaque"] in lines
    assert ["resource", "server", "api.example"] in lines
    assert ["context", "occurred_at", "2026-11-23T12:00:00.000000Z"] in lines
    assert not [line for line in lines if line[-1:] == ["unknown"]]


def test_hostile_claims_do_not_reach_the_terminal() -> None:
    """Escape sequences, bidi controls and markup in a claim are shown, not obeyed."""
    token = f"{_part({'alg': 'ES256'})}.{_part({'sub': HOSTILE})}."
    printed = _inspect(f"GET / HTTP/1.1\nHost: a\nAuthorization: Bearer {token}\n\n".encode()).stdout
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert r"evil\x1b[31m\u202e[red]markup" in printed


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "there is no request"),
        (f"GET / HTTP/1.1\nHost: a\n{SECRET}\n".encode(), "line 3: this is not a field line, `Name: value`"),
        (b"a" * (1024 * 1024 + 1), "the request is longer than 1,048,576 bytes"),
    ],
)
def test_a_bad_request_is_refused(raw: bytes, sentence: str) -> None:
    """What is no request is our error, with the line and without its content, and nothing is printed."""
    result = _inspect(raw)
    assert isinstance(result.exception, InvalidRequest)
    assert str(result.exception) == sentence
    assert result.stdout == ""


@pytest.mark.parametrize("now", ["yesterday", "2026-11-23T12:00:00"])
def test_a_time_needs_a_zone(now: str) -> None:
    """A --now that is no RFC 3339 time, or has no zone, is wrong use."""
    assert _inspect(PLAIN, "--now", now).exit_code == 2
