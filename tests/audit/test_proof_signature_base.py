"""The signature base, by the examples of RFC 9421 §2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.structured_fields import InnerList, read_dictionary
from counterfoil.audit.proof.signature_base import (
    ComponentError,
    ImpossibleComponent,
    UnsupportedComponent,
    signature_base,
)

if TYPE_CHECKING:
    from conftest import CpuSeconds

FIELDS = HttpRequest(
    "GET",
    "https://www.example.com/path?param=value",
    (
        ("Host", "www.example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("X-OWS-Header", "  Leading and trailing whitespace.   "),
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "   must-revalidate"),
        ("Example-Dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
        ("X-Empty-Header", ""),
        ("Example-Header", "value, with, lots"),
        ("Example-Header", "of, commas"),
        ("Not-Ascii", "caf\u00e9"),
        ("Raw", "caf\udce9"),
        ("No-Break", "\u00a0x"),
    ),
)


def _covered(components: str) -> InnerList:
    read = read_dictionary(f"sig=({components})")
    assert read is not None
    member = read["sig"]
    assert isinstance(member, InnerList)
    return member


def _value(component: str, request: HttpRequest = FIELDS) -> str:
    line, parameters = signature_base(request, _covered(component)).decode("ascii").split("\n")
    assert parameters == f'"@signature-params": ({component})'
    prefix = f"{component}: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ('"host"', "www.example.com"),
        ('"date"', "Tue, 20 Apr 2021 02:07:56 GMT"),
        ('"x-ows-header"', "Leading and trailing whitespace."),
        ('"cache-control"', "max-age=60, must-revalidate"),
        ('"example-dict"', "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
        ('"x-empty-header"', ""),
        ('"example-dict";sf', "a=1, b=2;x=1;y=2, c=(a b c), d"),
        ('"example-dict";key="a"', "1"),
        ('"example-dict";key="d"', "?1"),
        ('"example-dict";key="b"', "2;x=1;y=2"),
        ('"example-dict";key="c"', "(a b c)"),
        ('"example-dict";sf;key="c"', "(a b c)"),
        ('"example-header"', "value, with, lots, of, commas"),
        ('"example-header";bs', ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
        ('"raw";bs', ":Y2Fm6Q==:"),
    ],
)
def test_fields(component: str, value: str) -> None:
    """Fields as they stand, strictly, by member, and as bytes: the examples of §2.1, §2.1.1, §2.1.2, §2.1.3."""
    assert _value(component) == value


@pytest.mark.parametrize(
    ("component", "url", "value"),
    [
        ('"@method"', "https://www.example.com/path", "GET"),
        ('"@target-uri"', "https://www.example.com/path?param=value", "https://www.example.com/path?param=value"),
        ('"@target-uri"', "https://www.example.com?a#b", "https://www.example.com/?a"),
        ('"@authority"', "https://www.Example.com/path", "www.example.com"),
        ('"@authority"', "https://www.example.com:443/", "www.example.com"),
        ('"@authority"', "http://www.example.com:80", "www.example.com"),
        ('"@authority"', "http://www.example.com:443", "www.example.com:443"),
        ('"@authority"', "https://www.example.com:", "www.example.com"),
        ('"@authority"', "https://user:secret@www.example.com:8443/", "www.example.com:8443"),
        ('"@authority"', "https://[2001:DB8::1]:443/", "[2001:db8::1]"),
        ('"@authority"', "https://[2001:DB8::1]/", "[2001:db8::1]"),
        ('"@authority"', "https://[2001:DB8::1]:8443/", "[2001:db8::1]:8443"),
        ('"@scheme"', "HTTPS://www.example.com/", "https"),
        ('"@request-target"', "https://www.example.com/path?param=value", "/path?param=value"),
        ('"@request-target"', "https://www.example.com", "/"),
        ('"@path"', "https://www.example.com/path?param=value", "/path"),
        ('"@path"', "https://www.example.com?param=value", "/"),
        ('"@path"', "https://www.example.com/a%2Fb/../c", "/a%2Fb/../c"),
        ('"@query"', "https://h/path?param=value&foo=bar&baz=bat%2Dman", "?param=value&foo=bar&baz=bat%2Dman"),
        ('"@query"', "https://h/path?queryString", "?queryString"),
        ('"@query"', "https://h/path", "?"),
        ('"@query"', "https://h/path?#fragment", "?"),
        ('"@query-param";name="baz"', "https://h/path?param=value&foo=bar&baz=batman&qux=", "batman"),
        ('"@query-param";name="qux"', "https://h/path?param=value&foo=bar&baz=batman&qux=", ""),
        (
            '"@query-param";name="var"',
            "https://h/p?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something",
            "this%20is%20a%20big%0Amultiline%20value",
        ),
        ('"@query-param";name="bar"', "https://h/p?bar=with+plus+whitespace", "with%20plus%20whitespace"),
        ('"@query-param";name="fa%C3%A7ade%22%3A%20"', "https://h/p?fa%C3%A7ade%22%3A%20=something", "something"),
        ('"@query-param";name="a"', "https://h/p?a=~*-._%7E%FF", "%7E*-._%7E%FF"),
    ],
)
def test_derived_components(component: str, url: str, value: str) -> None:
    """The examples of §2.2.1 to §2.2.8, and the edges of hosts, ports and paths."""
    assert _value(component, HttpRequest("GET", url)) == value


def test_the_lines_stand_in_the_order_covered() -> None:
    """One line a component, ended by what is covered with its parameters, all in the spelling of RFC 8941 (§2.5)."""
    read = read_dictionary('sig=( "date"  "@method" );created=1618884475;  keyid="k";alg="ed25519"')
    assert read is not None
    covered = read["sig"]
    assert isinstance(covered, InnerList)
    assert signature_base(FIELDS, covered) == (
        b'"date": Tue, 20 Apr 2021 02:07:56 GMT\n'
        b'"@method": GET\n'
        b'"@signature-params": ("date" "@method");created=1618884475;keyid="k";alg="ed25519"'
    )


@pytest.mark.parametrize(
    "component",
    [
        '"missing"', '"example-dict";key="z"', '"example-dict";key=1', '"example-dict";key', '"date";key="a"',
        '"date";unknown', '"date";sf=1', '"date";bs="x"', '"example-header";bs;sf', '"example-header";bs;key="a"',
        '"date";req', '"@method";req', '"@status"', '"@method";sf', '"@query-param"', '"@query-param";name="missing"',
        '"@query-param";name="param";sf', '"@query-param";name=param2', '"not-ascii"', '"raw"', '"no-break"',
    ],
)  # fmt: skip
def test_what_the_request_does_not_have_makes_it_impossible(component: str) -> None:
    """A missing field, member or parameter, a component of responses, text beyond ASCII (§2.1, §2.2.9, §2.5)."""
    with pytest.raises(ImpossibleComponent) as raised:
        signature_base(FIELDS, _covered(component))
    assert str(raised.value).startswith(component.split('"')[1] + ": ")


def test_a_repeated_query_parameter_is_impossible() -> None:
    """Which of the two was meant cannot be told (§2.2.8)."""
    with pytest.raises(ImpossibleComponent, match="found 2 times"):
        signature_base(HttpRequest("GET", "https://h/?a=1&a=2"), _covered('"@query-param";name="a"'))


@pytest.mark.parametrize(
    ("component", "method", "url"),
    [
        ('"date";tr', "GET", "https://h/"),
        ('"@unknown"', "GET", "https://h/"),
        ('"@request-target"', "CONNECT", "https://h/"),
        ('"@request-target"', "OPTIONS", "https://h/"),
        ('"@path"', "GET", "/path"),
        ('"@path"', "GET", ""),
        ('"date";sf', "GET", "https://h/"),
        ('"not-ascii";bs', "GET", "https://h/"),
        ('"@query-param";name="a"', "GET", "https://h/?" + "a" * 20_000),
    ],
)
def test_what_is_not_at_hand_is_not_guessed(component: str, method: str, url: str) -> None:
    """Trailers, other forms of the request line, a type that must be known, bytes that were decoded in some way."""
    with pytest.raises(UnsupportedComponent):
        signature_base(HttpRequest(method, url, FIELDS.headers), _covered(component))


def test_a_component_that_is_in_the_way_shows_no_value() -> None:
    """The error names the component, not what stands in it."""
    request = HttpRequest("GET", "https://h/?a=secret&a=secret", (("X-Key", "s\u00e9cret"),))
    for component in ('"x-key"', '"x-key";sf', '"x-key";bs', '"x-key";key="a"', '"@query-param";name="a"'):
        with pytest.raises(ComponentError) as raised:
            signature_base(request, _covered(component))
        assert "cret" not in str(raised.value)


@pytest.mark.parametrize("component", ['"x{}";sf', '"x{}";key="a"', '"@query-param";name="{}"'])
def test_many_components_of_much_text_are_quick(component: str, cpu_seconds: CpuSeconds) -> None:
    """Each text is read once, and 8 KiB of it in all: 64 components take less than 50 ms."""
    fields = tuple((f"x{number}", "a=(" + "1 " * 1000 + ")") for number in range(64))
    request = HttpRequest("GET", "https://h/?" + "a&" * 4000, fields)
    covered = _covered(" ".join(component.format(number) for number in range(64)))

    def build() -> None:
        with pytest.raises(ComponentError):
            signature_base(request, covered)

    assert cpu_seconds(build) < 0.05
