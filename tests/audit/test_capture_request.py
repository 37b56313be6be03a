"""The request as a value: names in any case, forms, queries, and a repr that shows nothing."""

from __future__ import annotations

import secrets

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.request import MAX_FORM

FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def test_names_compare_in_any_case() -> None:
    """Every line of a field is found, in order, however its name is written."""
    request = HttpRequest("GET", "https://api.example/", (("X-A", " one "), ("x-a", "two"), ("X-B", "three")))
    assert request.values("X-a") == ("one", "two")
    assert request.values("x-c") == ()


def test_the_query_is_decoded() -> None:
    """Query parameters come percent-decoded, the first of a repeated name, without the fragment."""
    request = HttpRequest("GET", "https://api.example/?a=1%2B2&b=x+y&a=3&empty=#c=4")
    assert request.query == {"a": "1+2", "b": "x y", "empty": ""}


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "Application/X-WWW-Form-URLEncoded; charset=utf-8"],
)
def test_a_form_is_decoded(content_type: str) -> None:
    """The form body is read, whatever the case and the parameters of its media type."""
    request = HttpRequest("POST", "https://as.example/token", (("content-type", content_type),), b"a=1%20&b=%C3%A9")
    assert request.form == {"a": "1 ", "b": "é"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), b"a=1"),
        ((("Content-Type", "application/json"),), b"a=1"),
        ((("Content-Type", "application/x-www-form-urlencoded-not"),), b"a=1"),
        (FORM, None),
        (FORM, b""),
        (FORM, b"a=" + b"1" * MAX_FORM),
    ],
)
def test_what_is_no_form_is_not_read(headers: tuple[tuple[str, str], ...], body: bytes | None) -> None:
    """Another media type, no body, or more than 64 KiB: there is no form."""
    assert HttpRequest("POST", "https://as.example/token", headers, body).form == {}


def test_bytes_beyond_utf8_survive() -> None:
    """A byte that is no UTF-8 is kept as a surrogate escape, so that a fingerprint covers the bytes that were sent."""
    request = HttpRequest("POST", "https://as.example/token", FORM, b"a=\xff&b=%FE")
    assert request.form["a"].encode("utf-8", "surrogateescape") == b"\xff"
    assert request.form["b"].encode("utf-8", "surrogateescape") == b"\xfe"


def test_a_repr_shows_no_value() -> None:
    """Neither the URL, nor a header, nor the body is in the repr or the str."""
    secret = secrets.token_urlsafe(24)
    request = HttpRequest("POST", f"https://u:{secret}@api.example/{secret}", (*FORM, ("A", secret)), secret.encode())
    assert repr(request) == str(request) == "<HttpRequest, 2 headers>"


def test_requests_are_values() -> None:
    """Equal requests are equal and hash alike; a request cannot be changed."""
    one, two = (HttpRequest("GET", "https://api.example/", FORM) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(AttributeError):
        one.method = "PUT"  # type: ignore[misc]
