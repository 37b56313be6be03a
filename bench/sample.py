"""The event that the benches record, and a log full of such events."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
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
    from pathlib import Path

KEY = FingerprintKey(secrets.token_bytes(32))
TOKENS = [Fingerprint.of(secrets.token_urlsafe(32), KEY) for _ in range(100)]
_ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
_NO, _PASS = BindingMethod.NONE, CheckOutcome.PASS
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
    seq, head = connection.execute("SELECT seq, chain_hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    (sample,) = connection.execute("SELECT body FROM entry WHERE kind = 'credential_use'").fetchone()
    body = json.loads(sample)
    counted = body["context"]["producer"]["seq"]
    rows: list[tuple[int, str, bytes, bytes]] = []
    for number in range(entries):
        body["context"]["event_id"] = str(new_event_id())
        body["context"]["producer"]["seq"] = counted + 1 + number
        body["token"]["fingerprint"] = TOKENS[number % len(TOKENS)]
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        leaf = leaf_hash(text.encode())
        seq, head = seq + 1, chain_hash(log_id, seq + 1, head, leaf)
        rows.append((seq, text, leaf, head))
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    connection.close()
