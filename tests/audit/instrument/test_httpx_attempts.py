"""The httpx and httpx2 instruments: a demand for a DPoP nonce, and the answer to it, are one use with two attempts.

The server is real: it verifies every proof with joserfc and wants its nonce in it (RFC 9449 §8, §9).
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import secrets
import threading
import time
import weakref
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey

from counterfoil.audit import AuditLog
from counterfoil.schemas import CredentialUse, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Client, Library

Told: TypeAlias = Callable[[], list[CredentialUse]]
Steps: TypeAlias = list[tuple[str, int | None, str, str | None]]


def _ath(token: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


class DpopServer(ThreadingHTTPServer):
    """Serves to whoever proves possession with the nonce of the moment; says how often it demanded one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.nonces: list[str] = []
        self.demands = 1
        """How many good proofs are answered with yet another nonce."""
        self.challenge = 'Bearer, DPoP algs="ES256", error="use_dpop_nonce"'

    def judge(self, method: str, path: str, proof: str, token: str | None) -> str | None:
        """Return the error code for a proof, or None if it is good."""
        signed = jws.extract_compact(proof.encode())
        key = ECKey.import_key(signed.headers()["jwk"])
        assert jws.validate_compact(signed, key, algorithms=["ES256"])
        claims = json.loads(signed.payload)
        good = (claims["htm"], claims["htu"], claims.get("ath")) == (
            method,
            self.url + path.partition("?")[0],
            token and _ath(token),
        )
        if not good:
            return "invalid_dpop_proof"
        if len(self.nonces) < self.demands or claims.get("nonce") not in self.nonces:
            return "use_dpop_nonce"
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DpopServer  # pyright: ignore[reportIncompatibleVariableOverride] -- the only server that it serves

    def do_GET(self) -> None:
        scheme, _, token = self.headers["Authorization"].partition(" ")
        assert scheme == "DPoP"
        if self.path == "/moved":
            self._answer(302, {"Location": "/mail"})
            return
        error = self.server.judge("GET", self.path, self.headers["DPoP"], token)
        self._answer(401 if error else 200, self._headers(error, self.server.challenge))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        assert form["grant_type"] == ["refresh_token"]
        error = self.server.judge("POST", self.path, self.headers["DPoP"], None)
        body = json.dumps({"error": error} if error else {"token_type": "DPoP"}).encode()
        self._answer(400 if error else 200, self._headers(error, None) | {"Content-Type": "application/json"}, body)

    def _headers(self, error: str | None, challenge: str | None) -> dict[str, str]:
        if error is None:
            return {}
        if error == "use_dpop_nonce":
            self.server.nonces.append(secrets.token_urlsafe(16))
        named = {"WWW-Authenticate": challenge.replace("use_dpop_nonce", error)} if challenge else {}
        return {"DPoP-Nonce": self.server.nonces[-1], **named} if self.server.nonces else named

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"ok") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in the base
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[DpopServer]:
    """Serve on the loopback."""
    with DpopServer() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


class Key:
    """The key of a sender. It keeps every proof that it made."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")
        self.proofs: list[str] = []

    def prove(self, method: str, url: str, token: str | None, nonce: str | None) -> str:
        """Make a proof (RFC 9449 §4.2)."""
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        claims = {"jti": secrets.token_urlsafe(12), "htm": method, "htu": url, "iat": int(time.time())}
        claims |= {"ath": _ath(token)} if token else {}
        self.proofs.append(jwt.encode(header, claims | ({"nonce": nonce} if nonce else {}), self.key))
        return self.proofs[-1]


def dpop(library: Any, key: Key, token: str | None, *, again: str = "same") -> Any:
    """Return an authentication flow of ``library`` that answers each demand for a nonce, as far as three.

    ``again`` says what it sends then: the same request, a new one with its extensions, or one without them.
    """

    class Dpop(library.Auth):
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            nonce = None
            for _ in range(4):
                if token:
                    request.headers["Authorization"] = f"DPoP {token}"
                request.headers["DPoP"] = key.prove(request.method, str(request.url).partition("?")[0], token, nonce)
                response = yield request
                nonce = response.headers.get("DPoP-Nonce")
                if response.status_code not in {400, 401} or nonce is None:
                    return
                carried = {"extensions": request.extensions} if again == "extensions" else {}
                if again != "same":
                    request = library.Request(request.method, request.url, headers=request.headers, **carried)

    return Dpop()


@dataclass(frozen=True)
class Sender:
    """One of the four clients, with a token, a key, and a log."""

    client: Client
    server: DpopServer
    log: AuditLog
    token: str
    key: Key

    def auth(self, *, again: str = "same", token: bool = True) -> Any:
        """Return an authentication flow."""
        return dpop(self.client.library, self.key, self.token if token else None, again=again)

    def send(self, method: str, path: str, **options: Any) -> Any:
        """Send one request, and return the answer."""
        return self.client.send(self.log, method, self.server.url + path, **{"auth": self.auth(), **options})


@pytest.fixture
def sender(client: Client, server: DpopServer, log: AuditLog, secret: str) -> Sender:
    """Give each of the four clients what it needs."""
    return Sender(client, server, log, secret, Key())


def _told(uses: list[CredentialUse]) -> Steps:
    return [
        (each.action.phase.value, each.action.attempt, each.action.outcome.value, each.action.error_type)
        for each in uses
    ]


_ROUND_TRIP: Steps = [
    ("intent", None, "pending", None),
    ("outcome", 1, "refused", "use_dpop_nonce"),
    ("intent", 2, "pending", None),
    ("outcome", 2, "executed", None),
]


@pytest.mark.parametrize("again", ["same", "extensions"])
def test_a_nonce_round_trip_is_one_use(again: str, sender: Sender, told: Told) -> None:
    """Both attempts have one ``use_id``, and each the mark of its own proof; the error code tells why there are two."""
    assert sender.send("GET", "/mail", auth=sender.auth(again=again)).status_code == 200
    uses = told()
    assert _told(uses) == _ROUND_TRIP
    assert len({each.context.use_id for each in uses}) == 1
    assert [each.action.status_code for each in uses] == [None, 401, None, 200]
    assert len({each.proof.proof_id for each in uses}) == len({each.proof.proof_digest for each in uses}) == 2
    assert {each.binding.key_thumbprint for each in uses} == {sender.key.key.thumbprint()}
    assert {each.token.fingerprint for each in uses} == {sender.log.fingerprint(sender.token)}


def test_a_request_that_was_made_anew_is_a_use_of_its_own(sender: Sender, told: Told) -> None:
    """Nothing ties it to the first, so nothing is claimed; that the first asked for another attempt is still told."""
    assert sender.send("GET", "/mail", auth=sender.auth(again="anew")).status_code == 200
    uses = told()
    assert [each.action.attempt for each in uses] == [None, 1, None, None]
    assert len({each.context.use_id for each in uses}) == 2


def test_the_server_may_ask_more_than_once(sender: Sender, told: Told) -> None:
    """Attempts are counted on (RFC 9449 §8.2)."""
    sender.server.demands = 3
    assert sender.send("GET", "/mail").status_code == 200
    uses = told()
    assert [each.action.attempt for each in uses] == [None, 1, 2, 2, 3, 3, 4, 4]
    assert len({each.context.use_id for each in uses}) == 1


def test_at_a_token_endpoint(sender: Sender, told: Told) -> None:
    """There the error is in the body (RFC 9449 §8), which the caller still reads as it was sent."""
    form = {"grant_type": "refresh_token", "refresh_token": sender.token}
    answer = sender.send("POST", "/token", data=form, auth=sender.auth(token=False))
    assert answer.json() == {"token_type": "DPoP"}
    uses = told()
    assert _told(uses) == _ROUND_TRIP
    assert [each.action.status_code for each in uses] == [None, 400, None, 200]
    assert {each.token.token_class.value for each in uses} == {"refresh_token"}
    assert len({each.context.use_id for each in uses}) == 1


def test_every_credential_of_the_request(sender: Sender, told: Told) -> None:
    """An API key that goes along was presented twice as well: each credential has one use with two attempts."""
    assert sender.send("GET", "/mail", headers={"X-API-Key": secrets.token_urlsafe(32)}).status_code == 200
    by_class: dict[str, list[CredentialUse]] = {}
    for each in told():
        by_class.setdefault(each.token.token_class, []).append(each)
    assert by_class.keys() == {"dpop_bound_access", "api_key"}
    for uses in by_class.values():
        assert _told(uses) == _ROUND_TRIP
        assert len({each.context.use_id for each in uses}) == 1


def test_after_a_redirect(sender: Sender, told: Told) -> None:
    """The flow begins anew where it began; the hop that was asked for a nonce is found again, and counted."""
    target = f"{sender.server.url}/mail"

    class Foresighted(sender.client.library.Auth):
        """Proves possession for where it will be redirected."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            nonce = None
            for _ in range(2):
                request.headers["Authorization"] = f"DPoP {sender.token}"
                request.headers["DPoP"] = sender.key.prove("GET", target, sender.token, nonce)
                response = yield request
                nonce = response.headers.get("DPoP-Nonce")

    assert sender.send("GET", "/moved", auth=Foresighted(), follow_redirects=True).status_code == 200
    outcomes = [each for each in told() if each.action.phase is Phase.OUTCOME]
    assert [(each.resource.uri.removeprefix(sender.server.url), each.action.attempt) for each in outcomes] == [
        ("/moved", None),
        ("/mail", 1),
        ("/moved", None),
        ("/mail", 2),
    ]
    first, challenged, second, accepted = (each.context.use_id for each in outcomes)
    assert challenged == accepted
    assert len({first, challenged, second}) == 3
    assert [each.action.redirected_from for each in outcomes] == [None, f"{sender.server.url}/moved"] * 2


def test_a_proof_that_is_refused_is_no_attempt(sender: Sender, told: Told) -> None:
    """``invalid_dpop_proof`` is told as it was answered; another try is a use of its own."""
    elsewhere = f"{sender.server.url}/elsewhere"

    class Wrong(sender.client.library.Auth):
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            request.headers["Authorization"] = f"DPoP {sender.token}"
            for _ in range(2):
                request.headers["DPoP"] = sender.key.prove("GET", elsewhere, sender.token, None)
                yield request

    sender.send("GET", "/mail", auth=Wrong())
    uses = told()
    assert [each.action.attempt for each in uses] == [None] * 4
    assert [each.action.error_type for each in uses] == [None, "invalid_dpop_proof"] * 2
    assert len({each.context.use_id for each in uses}) == 2


def test_extensions_that_are_given_to_two_requests(
    library: Library, server: DpopServer, log: AuditLog, secret: str, told: Told
) -> None:
    """The caller's own extensions stay as they are, and tie nothing together."""
    module, door = library
    shared = {"timeout": {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}}
    given = dict(shared)
    headers = {"Authorization": f"DPoP {secret}", "DPoP": Key().prove("GET", f"{server.url}/mail", secret, None)}
    with module.Client(transport=door.AuditTransport(log)) as client:
        for _ in range(2):
            assert client.get(f"{server.url}/mail", headers=headers, extensions=shared).status_code == 401
    assert shared == given
    uses = told()
    assert [each.action.attempt for each in uses] == [None, 1, None, 1]
    assert len({each.context.use_id for each in uses}) == 2


def test_extensions_that_are_taken_over_for_something_else(
    library: Library, server: DpopServer, log: AuditLog, secret: str, told: Told
) -> None:
    """Another URI or another credential is no attempt of what was asked for again; the same is, once."""
    module, door = library
    key, other = Key(), secrets.token_urlsafe(32)
    with module.Client(transport=door.AuditTransport(log)) as client:

        def send(path: str, token: str, **extensions: Any) -> Any:
            proof = key.prove("GET", f"{server.url}{path}", token, None)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            return client.get(f"{server.url}{path}?x=1", headers=headers, **extensions)

        challenged = send("/mail", secret)
        assert challenged.status_code == 401
        for path, token in (("/other", secret), ("/mail", other), ("/mail", secret)):
            send(path, token, extensions=challenged.request.extensions)
    intents = [each.action.attempt for each in told() if each.action.phase is Phase.INTENT]
    assert intents == [None, None, None, 2]


def test_many_at_once(library: Library, server: DpopServer, log: AuditLog, secret: str, told: Told) -> None:
    """Of thirty requests at once with one token and one client, each finds its own first attempt."""
    module, door = library
    server.nonces.append(secrets.token_urlsafe(16))

    async def scene() -> None:
        async with module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client:
            await asyncio.gather(*(client.get(f"{server.url}/mail", auth=_flow()) for _ in range(15)))

    def _flow() -> Any:
        return dpop(module, Key(), secret)

    asyncio.run(scene())
    with module.Client(transport=door.AuditTransport(log)) as client, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.get, f"{server.url}/mail", auth=_flow()) for _ in range(15)]
        assert {each.result().status_code for each in answers} == {200}
    by_use: dict[object, list[CredentialUse]] = {}
    for each in told():
        by_use.setdefault(each.context.use_id, []).append(each)
    assert len(by_use) == 30
    for uses in by_use.values():
        assert _told(uses) == _ROUND_TRIP
        assert len({each.binding.key_thumbprint for each in uses}) == 1


def test_no_sink_has_the_secrets(sender: Sender, address: Path, leaks: Callable[..., list[str]]) -> None:
    """Neither token, proofs nor nonces are in the log's files."""
    assert sender.send("GET", "/mail").status_code == 200
    assert len(sender.key.proofs) == 2
    for each in (sender.token, *sender.key.proofs, *sender.server.nonces):
        assert leaks(each, address.parent) == []


def test_nothing_is_kept_alive(library: Library, server: DpopServer, log: AuditLog, secret: str) -> None:
    """What ties the attempts together goes with the requests: no request outlives its sender's interest in it."""
    module, door = library
    requests: list[weakref.ref[Any]] = []
    flow = dpop(module, Key(), secret, again="extensions")

    def remember(request: Any) -> None:
        requests.append(weakref.ref(request))

    with module.Client(transport=door.AuditTransport(log), event_hooks={"request": [remember]}) as client:
        answers = [client.get(server.url + path, auth=flow, follow_redirects=True) for path in ("/mail", "/moved")]
        assert len([each for each in requests if each()]) > 4
        del answers
        gc.collect()
        assert [each for each in requests if each()] == []
