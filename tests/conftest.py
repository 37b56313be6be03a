"""What several modules of tests share: a world of their own, a key, a log, generated secrets, a search for leaks."""

from __future__ import annotations

import secrets
from base64 import b64encode, urlsafe_b64encode
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from frame import choose

from counterfoil.audit.redaction.known import KNOWN
from counterfoil.schemas import FingerprintKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frame import Scale

    from bench.postgres_server import PostgresServer
    from counterfoil.audit import AuditLog


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the tests that count (tests/faults, tests/fuzz): pytest takes options from here only."""
    group = parser.getgroup("faults and fuzz")
    group.addoption("--full", action="store_true", help="as much as docs/reliability.md and docs/redaction.md say")
    group.addoption("--table", metavar="FILE", help="write what these tests came to into this page")
    group.addoption("--soak-minutes", type=float, help="how long to soak; without it 60 in a full run, else 6 s")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether this is the full run."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> Scale:
    """Give the choice between the number of a bounded run and that of the full one."""
    return choose(pytestconfig)


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see, or touch, the key and the log of whoever runs it, nor know what another has seen."""
    KNOWN.forget()
    for name in ("DB", "FINGERPRINT_KEY", "FINGERPRINT_KEY_FILE", "SIGNING_KEY", "SIGNING_KEY_FILE", "LOG"):
        monkeypatch.delenv(f"COUNTERFOIL_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> FingerprintKey:
    """Give a fingerprint key that nobody else has, and make it this deployment's."""
    made = secrets.token_bytes(32)
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", made.hex())
    return FingerprintKey(made)


@pytest.fixture
def secret() -> str:
    """Give a credential that no pattern knows: 43 random characters."""
    return secrets.token_urlsafe(32)


@pytest.fixture
def address(tmp_path: Path) -> Path:
    """Name a log that does not exist yet."""
    return tmp_path / "audit.db"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for as long as there are tests that ask for it. A test that ends it starts it again."""
    found = spec_from_file_location("postgres_server", Path(__file__).parents[1] / "bench" / "postgres_server.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    server: PostgresServer = module.PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """Name a log in PostgreSQL that does not exist yet. The address has a password in it."""
    return postgres_server.new_address()


@pytest.fixture
def log(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log of its own, and close it."""
    from counterfoil.audit import AuditLog

    with AuditLog.open(address, fingerprint_key=key) as opened:
        yield opened


@pytest.fixture
def leaks() -> Callable[..., list[str]]:
    """Give the search for a secret, raw or encoded, in texts, bytes, files and folders. It returns one line a find."""
    return _leaks


def _leaks(secret: str, *places: str | bytes | Path) -> list[str]:
    found: list[str] = []
    for place in places:
        for name, content in _contents(place):
            found += [f"{form} in {name}" for form, needle in _forms(secret.encode()).items() if needle in content]
    return found


def _forms(secret: bytes) -> dict[str, bytes]:
    """Return the secret as it may stand somewhere; base64 at each of the three offsets within a longer text."""
    forms = {"raw": secret, "hex": secret.hex().encode(), "utf-16": secret.decode().encode("utf-16-le")}
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            encoded = encode(bytes(offset) + secret).rstrip(b"=")
            forms[f"{encode.__name__}+{offset}"] = encoded[4 * (offset > 0) : -1]
    return forms


def _contents(place: str | bytes | Path) -> Iterator[tuple[str, bytes]]:
    if isinstance(place, str):
        yield "a text", place.encode("utf-8", "surrogatepass")
    elif isinstance(place, bytes):
        yield "some bytes", place
    elif place.is_dir():
        for file in sorted(place.rglob("*")):
            if file.is_file():
                yield file.name, file.read_bytes()
    else:
        yield place.name, place.read_bytes()
