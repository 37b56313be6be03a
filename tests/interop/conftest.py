"""A real authorization server, oidc-provider on Node.js, and a client of it with a certificate."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from joserfc.jwk import ECKey

from counterfoil.audit.demo.certificates import Authority, Identity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent
API = "https://api.example"


@dataclass(frozen=True)
class Provider:
    """The authorization server, running."""

    issuer: str
    client: Identity
    other: Identity
    secret: str

    def keys(self) -> dict[str, Any]:
        """Return the keys that it publishes."""
        with httpx2.Client(trust_env=False, verify=self.client.client_context(present=False)) as http:
            keys: dict[str, Any] = http.get(f"{self.issuer}/jwks").raise_for_status().json()
        return keys

    def token(self, client_id: str, http: httpx2.Client, auth: httpx2.Auth | None = None) -> str:
        """Get an access token for the API."""
        form = {"grant_type": "client_credentials", "resource": API, "scope": "mail:read"}
        form |= {"client_id": client_id, "client_secret": self.secret}
        answer = http.post(f"{self.issuer}/token", data=form, auth=auth or httpx2.USE_CLIENT_DEFAULT)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the server into a folder of its own."""
    folder = tmp_path_factory.mktemp("oidc-provider")
    for name in ("package.json", "provider.mjs"):
        shutil.copy(HERE / name, folder)
    install = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
    subprocess.run(install, cwd=folder, check=True, timeout=120)
    return folder


@pytest.fixture(scope="session", params=[False, True], ids=["no nonce", "nonce"])
def provider(request: pytest.FixtureRequest, installed: Path) -> Iterator[Provider]:
    """Start the server; in turn without and with a demand for nonces."""
    with _running(installed, nonce=request.param) as running:
        yield running


@contextmanager
def _running(folder: Path, *, nonce: bool) -> Generator[Provider]:
    authority, secret = Authority(), secrets.token_urlsafe(24)
    server = authority.issue("oidc-provider")
    jwk = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, auto_kid=True).as_dict(private=True)
    brief = {
        "key": server.key,
        "certificate": server.certificate,
        "authority": server.authority,
        "secret": secret,
        "jwk": jwk,
        "nonce": nonce,
    }
    with subprocess.Popen(
        ("node", "provider.mjs"), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(brief) + "\n")
        process.stdin.flush()
        yield Provider(process.stdout.readline().strip(), authority.issue("client"), authority.issue("other"), secret)
        process.stdin.close()
        process.wait(timeout=10)
