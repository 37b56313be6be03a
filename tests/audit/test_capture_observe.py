"""Resource and action of a request, whatever its URL is like."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest, action_of, resource_of


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://api.example/mail?folder=1#top", "api.example"),
        ("https://API.example:8443/mail", "api.example:8443"),
        ("https://user:pass@api.example/mail", "api.example"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("/mail", "fallback.example"),
        ("", "fallback.example"),
    ],
)
def test_the_server_comes_from_the_url(url: str, server: str) -> None:
    """Server is host or host:port in lower case, without userinfo; Host stands in where the URL has none."""
    assert resource_of(HttpRequest("GET", url, (("Host", "fallback.example"),))).server == server


def test_the_uri_is_kept_as_it_stands() -> None:
    """Path and query stay: the log redacts them, once, before the first write."""
    url = "https://api.example/mail?folder=1"
    assert resource_of(HttpRequest("GET", url)).uri == url
    assert action_of(HttpRequest("GET", url)).target == url


def test_a_long_uri_is_cut_with_a_mark() -> None:
    """A URI of 8,192 characters is kept whole; a longer one ends with an ellipsis."""
    whole = "https://api.example/".ljust(8192, "a")
    assert resource_of(HttpRequest("GET", whole)).uri == whole
    cut = resource_of(HttpRequest("GET", whole + "a")).uri
    assert len(cut) == 8192
    assert cut.endswith("a…")


def test_an_action_is_called_by_method_and_path() -> None:
    """Without a name of the domain an action is called by method and path, without query."""
    action = action_of(HttpRequest("POST", "https://api.example/mail/1?draft=yes"))
    assert (action.name, action.method) == ("POST /mail/1", "POST")
    assert action_of(HttpRequest("GET", "https://api.example")).name == "GET /"


def test_a_given_name_wins() -> None:
    """The name that the caller has is the action's name."""
    assert action_of(HttpRequest("POST", "https://api.example/mail"), "send_mail").name == "send_mail"


def test_a_url_of_nothing_is_unknown() -> None:
    """An empty URL gives a resource that says so."""
    assert resource_of(HttpRequest("GET", "")).uri == "unknown:"


anything = st.text(alphabet=st.characters(exclude_categories=()))


@given(anything, anything, anything)
@example("\0", "https://\0.example/\ud800?\0", "\0")
def test_any_url_gives_a_resource_that_can_be_stored(method: str, url: str, host: str) -> None:
    """Neither NUL nor lone surrogates stay, and nothing raises."""
    request = HttpRequest(method, url, (("host", host),))
    for text in (resource_of(request).uri, resource_of(request).server or "", action_of(request).name):
        assert "\0" not in text
        text.encode()
