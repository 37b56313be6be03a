"""The httpx and httpx2 instruments: a credential that follows a redirect, also to another origin."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CredentialUse, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Client, Library, Server

Told: TypeAlias = Callable[[], list[CredentialUse]]


@dataclass(frozen=True)
class Pair:
    """A client that follows redirects, and two servers, of which the first redirects to the second."""

    client: Client
    server: Server
    other: Server
    log: AuditLog

    def send(self, method: str = "GET", query: str = "", **options: Any) -> Any:
        """Send a request to the first server, and follow."""
        url = f"{self.server.url}/away{query}"
        return self.client.send(self.log, method, url, follow_redirects=True, **options)

    def redirect(self, status: int = 307, query: str = "") -> None:
        """Let the first server redirect to the second."""
        self.server.answers["/away"] = (status, f"Location: {self.other.url}/steal{query}\r\n")


@pytest.fixture
def pair(client: Client, server: Server, other: Server, log: AuditLog) -> Pair:
    """Give each of the four clients two servers."""
    made = Pair(client, server, other, log)
    made.redirect()
    return made


def _hops(uses: list[CredentialUse]) -> list[tuple[str, str, str | None]]:
    """Return the class of each credential that was sent, to where, and from where it was redirected."""
    return [
        (each.token.token_class.value, each.resource.uri, each.action.redirected_from)
        for each in uses
        if each.action.phase is Phase.OUTCOME
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_hop_says_where_it_comes_from(
    status: int, client: Client, server: Server, log: AuditLog, told: Told
) -> None:
    """Intent and outcome of the second hop name the URI that redirected to it; the first names none."""
    server.answers["/first"] = (status, "Location: second?x=1#there\r\n")
    headers = {"X-API-Key": secrets.token_urlsafe(32)}
    assert (
        client.send(log, "GET", f"{server.url}/first#here", headers=headers, follow_redirects=True).status_code == 200
    )
    assert [each.action.redirected_from for each in told()] == [
        None,
        None,
        f"{server.url}/first",
        f"{server.url}/first",
    ]
    assert len({each.context.use_id for each in told()}) == 2
    assert len(server.received) == 2


def test_a_chain(client: Client, server: Server, log: AuditLog, bearer: dict[str, str], told: Told) -> None:
    """Each hop names the one before it, also where the chain comes back to where it was."""
    server.answers |= {
        "/a": (302, "Location: /b\r\n"),
        "/b": (302, "Location: /c\r\n"),
        "/c": (302, "Location: /a\r\n"),
    }
    with pytest.raises(client.library.TooManyRedirects):
        client.send(log, "GET", f"{server.url}/a", headers=bearer, follow_redirects=True)
    hops = [
        (uri.removeprefix(server.url), origin and origin.removeprefix(server.url)) for _, uri, origin in _hops(told())
    ]
    assert hops[:5] == [("/a", None), ("/b", "/a"), ("/c", "/b"), ("/a", "/c"), ("/b", "/a")]
    assert len(hops) > 20
    assert None not in [origin for _, origin in hops[1:]]


def test_an_api_key_goes_to_another_origin(pair: Pair, secret: str, told: Told, address: Path) -> None:
    """The library strips ``Authorization``, not ``X-API-Key``: its fingerprint finds both origins that got the key."""
    pair.send(headers={"X-API-Key": secret, "Authorization": f"Bearer {secrets.token_urlsafe(32)}"})
    (arrived,) = pair.other.received
    assert secret.encode() in arrived
    assert b"\r\nauthorization:" not in arrived.lower()
    away, stolen = f"{pair.server.url}/away", f"{pair.other.url}/steal"
    *first, second = _hops(told())
    assert sorted(first) == [("api_key", away, None), ("bearer_opaque", away, None)]
    assert second == ("api_key", stolen, away)
    with AuditReader.open(address) as reader:
        found = [entry.event for entry in reader.find(Filter(token_fingerprint=pair.log.fingerprint(secret)))]
    servers = {each.resource.server for each in found if isinstance(each, CredentialUse)}
    assert servers == {each.url.removeprefix("http://") for each in (pair.server, pair.other)}


def test_a_query_token_that_the_server_sends_on(pair: Pair, secret: str, told: Told) -> None:
    """A server can hand a token in the query to another; neither URI in the record shows it."""
    pair.redirect(302, f"?access_token={secret}")
    pair.server.answers[f"/away?access_token={secret}"] = pair.server.answers["/away"]
    pair.send(query=f"?access_token={secret}")
    assert [(hop[0], hop[2] is None) for hop in _hops(told())] == [("bearer_opaque", True), ("bearer_opaque", False)]
    assert len({each.token.fingerprint for each in told()}) == 1
    assert told()[-1].action.redirected_from == told()[0].resource.uri
    assert secret not in "".join(each.model_dump_json() for each in told())


def test_a_cookie_goes_by_the_rules_of_the_jar(pair: Pair, secret: str, told: Told) -> None:
    """Cookies know no ports: that of a host goes to whatever else listens there."""
    module, door = pair.client.library, pair.client.door
    with module.Client(transport=door.AuditTransport(pair.log), follow_redirects=True) as client:
        client.cookies.set("session", secret, domain="127.0.0.1")
        client.get(f"{pair.server.url}/away")
    assert _hops(told()) == [
        ("cookie_session", f"{pair.server.url}/away", None),
        ("cookie_session", f"{pair.other.url}/steal", f"{pair.server.url}/away"),
    ]


@pytest.mark.parametrize("status", [307, 308])
def test_a_form_goes_along(status: int, pair: Pair, secret: str, told: Told) -> None:
    """A redirect that keeps the method takes the form with it, and its credentials: they are seen there as well."""
    pair.redirect(status)
    form = {"grant_type": "refresh_token", "refresh_token": secret, "client_secret": secrets.token_urlsafe(32)}
    pair.send("POST", data=form)
    assert secret.encode() in pair.other.received[0]
    classes = sorted((hop[0], hop[2] is not None) for hop in _hops(told()))
    assert classes == [
        ("client_secret", False),
        ("client_secret", True),
        ("refresh_token", False),
        ("refresh_token", True),
    ]
    assert len({each.token.fingerprint for each in told()}) == 2


def test_a_client_that_does_not_follow(pair: Pair, bearer: dict[str, str], told: Told) -> None:
    """The next request that the answer holds is told as what it is; sent again, it is one that somebody made."""
    module, door = pair.client.library, pair.client.door
    with module.Client(transport=door.AuditTransport(pair.log)) as client:
        answer = client.get(f"{pair.server.url}/away", headers=bearer | {"X-API-Key": secrets.token_urlsafe(32)})
        for _ in range(2):
            client.send(answer.next_request)
    origins = [hop[2] for hop in _hops(told())]
    assert origins == [None, None, f"{pair.server.url}/away", None]


def test_extensions_that_are_taken_over(pair: Pair, bearer: dict[str, str], told: Told) -> None:
    """A request elsewhere with the extensions of a redirected one was not redirected."""
    module, door = pair.client.library, pair.client.door
    with module.Client(transport=door.AuditTransport(pair.log)) as client:
        answer = client.get(f"{pair.server.url}/away", headers=bearer)
        client.get(f"{pair.other.url}/other", headers=bearer, extensions=answer.request.extensions)
    assert [hop[2] for hop in _hops(told())] == [None, None]


def test_a_location_without_a_host(library: Library, log: AuditLog, bearer: dict[str, str], told: Told) -> None:
    """Both libraries keep the host then, and take the scheme: still a redirect."""
    module, door = library

    def answer(request: Any) -> Any:
        headers = {"Location": "http:///there"}
        return module.Response(302, headers=headers) if request.url.path == "/away" else module.Response(204)

    with module.Client(transport=door.AuditTransport(log, module.MockTransport(answer))) as client:
        client.get("https://api.example/away", headers=bearer | {"X-API-Key": "k"}, follow_redirects=True)
    assert _hops(told())[-1] == ("api_key", "http://api.example/there", "https://api.example/away")


def test_what_ties_requests_together_holds_no_secret(pair: Pair, secret: str, leaks: Callable[..., list[str]]) -> None:
    """A request made from a redirect remembers where that came from, without the values of its query."""
    module, door = pair.client.library, pair.client.door
    pair.server.answers[f"/away?access_token={secret}"] = pair.server.answers["/away"]
    with module.Client(transport=door.AuditTransport(pair.log)) as client:
        answer = client.get(f"{pair.server.url}/away?access_token={secret}")
    (left,) = [value for name, value in answer.next_request.extensions.items() if name != "timeout"]
    content = pickle.dumps(left)
    assert pair.server.url.encode() in content
    assert leaks(secret, content) == []


@pytest.mark.parametrize(
    "location", ["http://[", "http:///steal", "", "//", "\xe9", "http://h:99999999/", "a" * 20_000]
)
def test_a_location_that_leads_nowhere(location: str, library: Library, log: AuditLog, bearer: dict[str, str]) -> None:
    """Whatever a server writes there, the client gets what it would get without the instrument."""
    module, door = library

    def answer(request: Any) -> Any:
        headers = {"Location": location.encode("latin-1")}
        return module.Response(302, headers=headers) if request.url.path == "/away" else module.Response(204)

    ends: list[str] = []
    for transport in (module.MockTransport(answer), door.AuditTransport(log, module.MockTransport(answer))):
        with module.Client(transport=transport, follow_redirects=True, max_redirects=3) as client:
            try:
                ends.append(str(client.get("https://api.example/away", headers=bearer).url))
            except module.RequestError as error:
                ends.append(repr(error))
    assert ends[0] == ends[1]


def test_inbound_reaches_what_is_sent_in_its_scope(
    client: Client, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """A token that is passed through is sent under the fingerprint of the one that came in."""
    came_in = log.fingerprint(bearer["Authorization"].removeprefix("Bearer "))
    with log.scope(inbound=came_in):
        client.send(log, "GET", f"{server.url}/mail", headers=bearer)
    client.send(log, "GET", f"{server.url}/mail", headers=bearer)
    assert [each.context.inbound for each in told()] == [came_in, came_in, None, None]
    assert {each.token.fingerprint for each in told()} == {came_in}
