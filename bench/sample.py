"""The event that the benches record, and a log full of such events."""

from __future__ import annotations

import json
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from counterfoil.audit import AuditLog
from counterfoil.audit.scope import scope
from counterfoil.exporters.sql.sqlite import connect
from counterfoil.schemas import (
    Action,
    AssertedBy,
    Basis,
    Binding,
    BindingMethod,
    Check,
    CheckId,
    CheckOutcome,
    CredentialUse,
    CustodyStore,
    Fingerprint,
    FingerprintKey,
    KeyCustody,
    Lifetime,
    Presentation,
    Proof,
    ProofResult,
    Resource,
    Token,
    TokenClass,
    TokenFormat,
    chain_hash,
    leaf_hash,
)
from counterfoil.schemas.values import new_event_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = FingerprintKey(secrets.token_bytes(32))
TOKENS = [Fingerprint.of(secrets.token_urlsafe(32), KEY) for _ in range(100)]
_ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
_NO, _PASS = BindingMethod.NONE, CheckOutcome.PASS
INSERT = "INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)"
_ROWS = 10_000
SURROUNDINGS: dict[str, Any] = {"agent": "mail-agent", "task": "t-42", "tenant": "acme", "tool": "read_mail"}


def event(number: int = 0) -> CredentialUse:
    """Build a use as an instrument does: token facts, binding, two checks, resource, action."""
    return CredentialUse(
        token=Token(
            token_class=TokenClass.BEARER_JWT_AT,
            format=TokenFormat.JWT,
            fingerprint=TOKENS[number % len(TOKENS)],
            issuer="https://as.example",
            subject="user-7",
            audience=("https://api.example",),
            scopes=("mail.read", "mail.list"),
            lifetime=Lifetime(issued_at=_ISSUED, expires_at=_ISSUED + timedelta(hours=1), seconds=3600),
            presentation=Presentation.AUTHORIZATION_HEADER,
            basis=Basis.VERIFIED_JWT,
        ),
        binding=Binding(declared=_NO, presented=_NO, verified=_NO, method=_NO),
        key_custody=KeyCustody(store=CustodyStore.SOFTWARE_PROCESS_MEMORY, source=AssertedBy.SELF_ASSERTED),
        proof=Proof(
            mechanism=_NO,
            result=ProofResult.NOT_APPLICABLE,
            checks=(Check(id=CheckId.TOKEN_SIGNATURE, outcome=_PASS), Check(id=CheckId.TOKEN_AUDIENCE, outcome=_PASS)),
        ),
        resource=Resource(uri="https://api.example/mail?folder=inbox", server="api.example"),
        action=Action(name="read_mail", method="GET", target="https://api.example/mail?folder=inbox", status_code=200),
    )


def full_log(path: Path, entries: int) -> None:
    """Make a log of so many entries by the published rules, many rows a transaction."""
    with AuditLog.open(path, fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        log_id = bytes.fromhex(log.record(event()).log_id)
    connection = connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    seq, head = connection.execute("SELECT seq, chain_hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    (sample,) = connection.execute("SELECT body FROM entry WHERE kind = 'credential_use'").fetchone()
    bodies = _bodies(sample, entries)
    while batch := list(islice(bodies, _ROWS)):
        rows: list[tuple[int, str, bytes, bytes]] = []
        for body in batch:
            leaf = leaf_hash(body.encode())
            seq, head = seq + 1, chain_hash(log_id, seq + 1, head, leaf)
            rows.append((seq, body, leaf, head))
        connection.execute("BEGIN")
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")
    connection.close()


def _bodies(sample: str, entries: int) -> Iterator[str]:
    """Yield bodies like the sample, each of an event and a call of its own, with a hundred tokens by turns."""
    context = json.loads(sample)["context"]
    counted = context["producer"]["seq"]
    for number in range(entries):
        body = sample.replace(context["event_id"], str(new_event_id()), 1)
        body = body.replace(f'"seq":{counted}}}', f'"seq":{counted + 1 + number}}}', 1)
        yield body.replace(TOKENS[0], TOKENS[number % len(TOKENS)], 1)


def rows_like(path: Path) -> Iterator[tuple[int, str, bytes, bytes]]:
    """Yield rows with the bytes that the log at ``path`` has for the event, each with an ``event_id`` of its own."""
    connection = connect(path)
    (body,) = connection.execute("SELECT body FROM entry WHERE kind = 'credential_use'").fetchone()
    connection.close()
    before, _, after = body.partition('"event_id":"')
    for number in count(1):
        yield number, f'{before}"event_id":"{number:036d}{after[36:]}', bytes(32), bytes(32)


def bare_database(path: Path, like: Path) -> sqlite3.Connection:
    """Open a database with the very table and indexes of the log at ``like``, and the same settings."""
    path.touch()
    bare, made = connect(path), sqlite3.connect(like)
    for (statement,) in made.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'entry' AND sql IS NOT NULL"):
        bare.execute(statement)
    made.close()
    return bare
