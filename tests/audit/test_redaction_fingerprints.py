"""The receipt of a credential has its keyed fingerprint, and that of a text or a guessable value has none."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.redaction import Redactor
from counterfoil.schemas import Action, Context, CredentialUse, Fingerprint, FingerprintKey, Redaction, Resource, Token

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

KEY = FingerprintKey(secrets.token_bytes(32))
TOKEN = "ghp_" + secrets.token_hex(18)


@pytest.mark.parametrize(
    "value",
    [
        f"used {TOKEN}",
        {"password": TOKEN},
        {"Authorization": f"Bearer {TOKEN}"},
        {"headers": {"Cookie": f"sid={TOKEN}"}},
        json.dumps({"arguments": json.dumps({"api_key": TOKEN})}),
        f"next=Bearer%20{quote(TOKEN)}",
    ],
)
def test_a_credential_has_the_fingerprint_that_its_uses_have(value: JsonValue) -> None:
    """So a leak joins the uses of the token that leaked; another deployment sees another fingerprint."""
    ours, theirs = (
        [receipt.get("fingerprint") for receipt in Redactor(known=None, fingerprint_key=key).value(value)[1]]
        for key in (KEY, FingerprintKey(secrets.token_bytes(32)))
    )
    assert ours == [str(Fingerprint.of(TOKEN, KEY))]
    assert theirs != ours


def test_many_texts_at_once_have_them_too() -> None:
    """What ``text`` says of one, ``texts`` says of each."""
    redactor, texts = Redactor(known=None, fingerprint_key=KEY), ["nothing", f"used Bearer {TOKEN}"]
    assert redactor.texts(texts) == [redactor.text(text) for text in texts]
    assert redactor.text(texts[1])[1][0]["fingerprint"] == str(Fingerprint.of(TOKEN, KEY))


@pytest.mark.parametrize("secret", ["1234", "correct horse battery staple", "Password1234567", "a1" * 20, "x" * 40])
def test_what_could_be_guessed_has_no_fingerprint(secret: str) -> None:
    """Whoever has the key could try out short, repetitive or likely values."""
    (receipt,) = Redactor(fingerprint_key=KEY).value({"password": secret})[1]
    assert receipt.keys() == {"path", "rule", "length"}


def test_without_a_key_there_is_no_fingerprint() -> None:
    """A redactor keeps the key it was given, and takes one if it had none."""
    redactor = Redactor()
    assert "fingerprint" not in redactor.text(f"used {TOKEN}")[1][0]
    keyed = redactor.keyed(KEY)
    assert keyed.keyed(FingerprintKey(secrets.token_bytes(32))) is keyed
    assert keyed.text(f"used {TOKEN}")[1][0]["fingerprint"] == Fingerprint.of(TOKEN, KEY)
    assert "fingerprint" not in redactor.text(f"used {TOKEN}")[1][0]


@pytest.mark.parametrize("attributes", [{}, {"count": 1}])
def test_a_log_gives_its_key(tmp_path: Path, attributes: dict[str, JsonValue]) -> None:
    """What is recorded about a leak names the credential as its uses do, whoever made the redactor."""
    with AuditLog.open(tmp_path / "audit.db", fingerprint_key=KEY, redactor=Redactor(keep_query=["page"])) as log:
        use = CredentialUse(
            context=Context(task=f"retry with {TOKEN}", attributes=attributes),
            token=Token(fingerprint=log.fingerprint(TOKEN)),
            resource=Resource(uri="https://api.example/mail"),
            action=Action(name="read_mail"),
        )
        receipt = log.record(use)
    with AuditReader.open(tmp_path / "audit.db") as reader:
        entry = reader.entry(receipt.seq)
    assert entry is not None
    (redaction,) = entry.event.context.redactions
    assert redaction.fingerprint == Fingerprint.of(TOKEN, KEY)
    assert redaction.action == "mask"


def test_the_receipts_of_older_entries_are_read() -> None:
    """They name no action: a marker stood in place."""
    redaction = Redaction.read_json('{"path": "context.task", "rule": "github", "length": "17-64"}')
    assert (redaction.action, redaction.fingerprint) == ("mask", None)
