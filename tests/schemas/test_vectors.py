"""Published vectors: what was sealed once stays verifiable. The rules are written out here, without our functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from counterfoil.schemas import (
    Fingerprint,
    FingerprintKey,
    KeyedDigest,
    Kind,
    Sha256,
    canonical_bytes,
    chain_hash,
    leaf_hash,
    parse_event,
    read_event,
)

VECTORS = Path(__file__).parents[1] / "vectors"
LOG: dict[str, Any] = json.loads((VECTORS / "entries-v1.json").read_text("utf-8"))
FINGERPRINTS: dict[str, Any] = json.loads((VECTORS / "fingerprints-v1.json").read_text("utf-8"))
VALUES = [(each["key"], each["key_id"], value) for each in FINGERPRINTS["keys"] for value in each["values"]]


def unpadded(digest: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def test_the_files_are_the_published_ones() -> None:
    """Vectors are never edited: a new schema version gets new files."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VECTORS.glob("*-v1.json")}
    assert digests == {
        "entries-v1.json": "5605081d4f3f0f85fc904da858f65e19def833835984d8c663a2d9744df24a55",
        "fingerprints-v1.json": "c75ee87e2a9f8ffab4813ca9d72b8614c486475fac1cc3a0c3a959e9c5a64ad0",
    }


def test_every_kind_is_there() -> None:
    """The log of the vectors has an entry of each kind, with text beyond ASCII."""
    assert {json.loads(entry["body"])["kind"] for entry in LOG["entries"]} == set(Kind)
    assert not LOG["entries"][3]["body"].isascii()


def test_the_chain() -> None:
    """Leaf and chain hashes by the written rule, and by our functions."""
    log_id = bytes.fromhex(LOG["log_id"])
    previous = b"\x00" * 32
    for number, entry in enumerate(LOG["entries"], 1):
        body = entry["body"].encode("utf-8")
        leaf = hashlib.sha256(b"\x00" + body).digest()
        head = hashlib.sha256(b"counterfoil/1\x00" + log_id + number.to_bytes(8, "big") + previous + leaf).digest()
        assert (entry["seq"], entry["leaf_hash"], entry["chain_hash"]) == (number, leaf.hex(), head.hex())
        assert leaf_hash(body) == leaf
        assert chain_hash(log_id, number, previous, leaf) == head
        previous = head


@pytest.mark.parametrize("entry", LOG["entries"], ids=lambda entry: entry["seq"])
def test_a_body(entry: dict[str, Any]) -> None:
    """Each body is canonical, by an independent implementation and by ours, and an event to caller and reader."""
    body = entry["body"].encode("utf-8")
    assert rfc8785.dumps(json.loads(body)) == body
    assert canonical_bytes(json.loads(body)) == body
    event = read_event(body)
    assert event == parse_event(body)
    assert canonical_bytes(event.model_dump(mode="json", exclude_unset=True)) == body


@pytest.mark.parametrize(("key_hex", "key_id", "value"), VALUES)
def test_a_fingerprint(key_hex: str, key_id: str, value: dict[str, str]) -> None:
    """Fingerprints and keyed digests by the written rule, and by our functions."""
    secret, raw = bytes.fromhex(key_hex), value["text"].encode("utf-8")
    key = FingerprintKey(secret)
    assert key.key_id == key_id == hashlib.sha256(b"counterfoil/key-id/1\x00" + secret).hexdigest()[:8]
    fingerprint = hmac.new(secret, b"counterfoil/fp/1\x00" + raw, hashlib.sha256).digest()[:16]
    assert Fingerprint.of(value["text"], key) == value["fingerprint"] == f"hmac:{key_id}:{unpadded(fingerprint)}"
    content = hmac.new(secret, b"counterfoil/content/1\x00" + raw, hashlib.sha256).digest()
    assert KeyedDigest.of(raw, key) == value["keyed_digest"] == f"hmac:{key_id}:{unpadded(content)}"


@pytest.mark.parametrize("value", FINGERPRINTS["sha256"])
def test_a_plain_hash(value: dict[str, str]) -> None:
    """The unkeyed form."""
    expected = f"sha256:{unpadded(hashlib.sha256(value['text'].encode('utf-8')).digest())}"
    assert (
        value["sha256"] == expected == Sha256.of(value["text"].encode()) == Fingerprint.plain_sha256_of(value["text"])
    )
