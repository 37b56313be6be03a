"""When two URIs mean the same resource, and when they may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.proof.htu import compare_htu, normal_form

H = "https://h.example"


@pytest.mark.parametrize(
    ("url", "htu"),
    [
        ("https://server.example.com/token", "HTTPS://Server.Example.COM:443/token?x=1#f"),
        ("https://server.example.com/token?y=2", "https://server.example.com/token"),
        ("http://h.example:80/a", "http://h.example/a"),
        (f"{H}:/a", f"{H}/a"),
        (f"{H}/~user", f"{H}/%7Euser"),
        (f"{H}/%7euser", f"{H}/~user"),
        (f"{H}/a/c", f"{H}/a/./b/../c"),
        (f"{H}/c", f"{H}/../../c"),
        (f"{H}/a/", f"{H}/a/b/.."),
        (f"{H}/a/", f"{H}/a/."),
        (f"{H}/b", f"{H}/a/%2E%2e/b"),
        (H, f"{H}/"),
        (f"{H}?x", f"{H}/"),
        (f"{H}/%2f", f"{H}/%2F"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
        (f"{H}:8443/a", f"{H}:8443/a"),
        (f"{H}/a:b@c;d,e=!$&'()*+", f"{H}/a:b@c;d,e=!$&'()*+"),
    ],
)
def test_equal_by_syntax_or_scheme(url: str, htu: str) -> None:
    """What RFC 3986 §6.2.2 and §6.2.3 call equivalent is equal, in both directions."""
    assert compare_htu(url, htu).equal
    assert compare_htu(htu, url).equal


@pytest.mark.parametrize(
    ("url", "htu"),
    [
        (f"{H}/a", f"{H}/a/"),
        (f"{H}/a", f"{H}/A"),
        (f"{H}/a/b", f"{H}/a//b"),
        (f"{H}/a/b", f"{H}/a%2Fb"),
        (f"{H}/a", "http://h.example/a"),
        (f"{H}/a", f"{H}:80/a"),
        (f"{H}/a", f"{H}:0443/a"),
        (f"{H}/a", "https://h.example./a"),
        (f"{H}/a", "https://h.example.evil/a"),
        (f"{H}/a", f"{H}/b/../../a/b"),
        ("https://xn--bcher-kva.example/", "https://bücher.example/"),
    ],
)
def test_whatever_else_differs_is_another_resource(url: str, htu: str) -> None:
    """Case of a path, a trailing slash, ``//``, ``%2F``, the scheme, the port, another script: all of them differ."""
    assert not compare_htu(url, htu).equal
    assert not compare_htu(htu, url).equal


@pytest.mark.parametrize(
    "htu",
    [
        "",
        "/a",
        "//h.example/a",
        "h.example/a",
        "https:///a",
        "https://",
        "https:h.example/a",
        "ftp://h.example/a",
        "wss://h.example/a",
        "https://user:password@h.example/a",
        "https://user@h.example/a",
        "https://h.example\\@evil.example/a",
        f"{H}/%",
        f"{H}/%zz",
        f"{H}/a b",
        f"{H}/a\n",
        f"{H}/\x00",
        f"{H}/é",
        "https://h%2eexample/a",
        "http\u017f://h.example/a",
        "https://h.example:port/a",
        f"{H}/a\ud800",
    ],
)
def test_what_is_no_uri_equals_nothing(htu: str) -> None:
    """A relative, malformed or foreign URI, or one with user information, is not even equal to itself."""
    assert normal_form(htu) is None
    compared = compare_htu(htu, htu)
    assert (compared.equal, compared.expected, compared.observed) == (False, None, None)


def test_what_is_shown_has_no_query() -> None:
    """Both sides are shown in normal form, without query and fragment, and cut to what a record holds."""
    compared = compare_htu(f"{H}/a?secret=1#x", f"{H}/b?secret=2")
    assert (compared.expected, compared.observed, compared.has_query) == (f"{H}/a", f"{H}/b", True)
    assert not compare_htu(f"{H}/a?x", f"{H}/a").has_query
    long = compare_htu(f"{H}/{'a' * 5000}", f"{H}/{'b' * 5000}")
    assert not long.equal
    assert [len(each or "") for each in (long.expected, long.observed)] == [512, 512]
    assert not compare_htu(f"{H}/{'a' * 5000}x", f"{H}/{'a' * 5000}y").equal


@given(st.text() | st.text("ab/.%2Ee:@?#[]", max_size=40).map(lambda text: f"{H}/{text}"))
def test_normal_form_is_a_fixed_point(uri: str) -> None:
    """Whatever comes, there is a normal form or none, and the normal form of a normal form is itself."""
    normal = normal_form(uri)
    assert normal is None or normal_form(normal) == normal


@pytest.mark.parametrize("piece", ["/..", "/.", "%2e", "/", "a", "/a/.."])
def test_a_long_uri_is_cut_off(piece: str) -> None:
    """Up to 8,192 characters are compared; a longer URI is none, so that no client buys time with it."""
    longest = f"{H}/" + piece * ((8192 - len(f"{H}/")) // len(piece))
    assert compare_htu(longest, longest).equal
    assert normal_form(longest + piece) is None
