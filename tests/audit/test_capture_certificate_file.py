"""A client certificate as its owner has it: DER, PEM, a chain, a file with the private key."""

from __future__ import annotations

import secrets
import ssl
from pathlib import Path

import pytest

from counterfoil.audit.capture.certificate_file import read_certificate
from counterfoil.schemas import ConfigurationError

_DER = b"\x30\x82\x01\x00" + secrets.token_bytes(256)
_OTHER = b"\x30\x82\x01\x00" + secrets.token_bytes(256)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_each_form_gives_the_same(ending: str, tmp_path: Path) -> None:
    """DER and PEM, given or in a file by path or name, are one certificate."""
    pem = ssl.DER_cert_to_PEM_cert(_DER).replace("\n", ending).encode()
    (tmp_path / "client.pem").write_bytes(pem)
    (tmp_path / "client.der").write_bytes(_DER)
    for given in (_DER, pem, tmp_path / "client.pem", tmp_path / "client.der", str(tmp_path / "client.pem")):
        assert read_certificate(given) == _DER


def test_of_a_file_with_key_and_chain_the_first_certificate(tmp_path: Path) -> None:
    """As ``load_cert_chain`` takes it: the client's own certificate stands before those that issued it."""
    key = f"-----BEGIN PRIVATE KEY-----\n{secrets.token_urlsafe(32)}\n-----END PRIVATE KEY-----\n"
    file = tmp_path / "client.pem"
    file.write_text(key + ssl.DER_cert_to_PEM_cert(_DER) + ssl.DER_cert_to_PEM_cert(_OTHER))
    assert read_certificate(file) == _DER


def test_what_is_no_certificate(tmp_path: Path, secret: str) -> None:
    """It is refused with our own error, which shows neither what it was nor where."""
    (tmp_path / secret).write_text(f"-----BEGIN CERTIFICATE-----\nA{secret}\n-----END CERTIFICATE-----\n")
    for given in (b"", secret.encode(), tmp_path / secret, tmp_path / f"missing-{secret}", tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            read_certificate(given)
        assert secret not in f"{caught.value} {caught.value.advice} {caught.value!r}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
