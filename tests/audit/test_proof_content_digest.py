"""Content-Digest against the content (RFC 9530)."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from counterfoil.audit.proof.content_digest import digest_matches

CONTENT = b'{"hello": "world"}'
SHA256 = f"sha-256=:{b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"
SHA512 = f"sha-512=:{b64encode(hashlib.sha512(CONTENT).digest()).decode()}:"
OTHER = f"sha-512=:{b64encode(hashlib.sha512(b'other').digest()).decode()}:"
MD5 = "md5=:" + b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode() + ":"


def test_the_digest_of_rfc_9530_matches() -> None:
    """The example of §2 and of RFC 9421 §B.2, over its eighteen bytes."""
    field = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    assert digest_matches(field, CONTENT) is True
    assert digest_matches(field, CONTENT + b"\n") is False


@pytest.mark.parametrize(
    ("field", "algorithms", "matches"),
    [
        (SHA256, None, True),
        (f"{SHA256}, {SHA512}", None, True),
        (f"{SHA256}, {OTHER}", None, False),
        (f"{SHA256}, {OTHER}", ("sha-256",), True),
        (f"{SHA256}, {OTHER}", ("sha-512",), False),
        (f"{SHA256}, {MD5}", None, True),
        (MD5, None, None),
        ("", None, None),
        (SHA256, ("sha-512",), None),
        (f"{SHA512}, {OTHER}", None, False),
        (SHA512.replace("=:", "=", 1), None, False),
        ("sha-256", None, False),
        ("sha-256=(:aGk=:)", None, False),
        ("sha-256=:aGk=:", None, False),
        ('sha-256="' + SHA256[9:-1] + '"', None, False),
        ("x=1, " * 2000 + SHA256, None, False),
    ],
)
def test_every_digest_that_can_be_computed_has_to_match(
    field: str, algorithms: tuple[str, ...] | None, *, matches: bool | None
) -> None:
    """One that does not match is enough; one of an algorithm of ours is needed; a field that cannot be read is none."""
    assert digest_matches(field, CONTENT, algorithms) is matches
