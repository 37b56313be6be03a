"""Structured fields are read strictly and have one spelling (RFC 8941)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture.structured_fields import (
    InnerList,
    Item,
    Token,
    Unreadable,
    canonical_text,
    read_dictionary,
    read_members,
)

if TYPE_CHECKING:
    from conftest import CpuSeconds

KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
BARE = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,11})\.(0|[0-9]{0,2}[1-9])", fullmatch=True),
    st.from_regex(r'"([ !#-\[\]-~]|\\["\\]){0,9}"', fullmatch=True),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,8}", fullmatch=True),
    st.binary(max_size=9).map(lambda raw: f":{b64encode(raw).decode()}:"),
    st.just("?0"),
)
PARAMETERS = st.dictionaries(KEYS, BARE | st.none(), max_size=3).map(
    lambda given: "".join(f";{key}" + (f"={bare}" if bare else "") for key, bare in given.items())
)
ITEMS = st.tuples(BARE, PARAMETERS).map("".join)
INNER_LISTS = st.tuples(st.lists(ITEMS, max_size=3), PARAMETERS).map(lambda parts: f"({' '.join(parts[0])}){parts[1]}")
MEMBERS = st.one_of(st.tuples(st.just("="), ITEMS | INNER_LISTS).map("".join), PARAMETERS)
DICTIONARIES = st.dictionaries(KEYS, MEMBERS, min_size=1, max_size=4).map(
    lambda given: [f"{key}{member}" for key, member in given.items()]
)


@given(DICTIONARIES)
def test_what_is_canonical_stays_as_it_is(members: list[str]) -> None:
    """A dictionary in canonical form is read, and written the same."""
    text = ", ".join(members)
    read = read_dictionary(text)
    assert read is not None
    assert len(read) == len(members)
    assert canonical_text(text) == text


@given(DICTIONARIES, st.sampled_from([",", " ,", ",\t", "  ,  ", "\t,\t "]))
def test_spaces_between_members_do_not_count(members: list[str], separator: str) -> None:
    """Blanks around commas are not part of the value (§4.2.2)."""
    assert canonical_text(f"  {separator.join(members)} ") == ", ".join(members)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a=1,    b=2;x=1;y=2,   c=(a   b   c)", "a=1, b=2;x=1;y=2, c=(a b c)"),
        ("a=( 1  2 );  q=?1", "a=(1 2);q"),
        ("a=?1, b=?0, c;d=?1", "a, b=?0, c;d"),
        ("a=007, b=-0, c=1.50, d=2.000", "a=7, b=0, c=1.5, d=2.0"),
        ("a=:aGk:, b=:aGk=:", "a=:aGk=:, b=:aGk=:"),
        ("text/html;q=0.50;  a", "text/html;q=0.5;a"),
        ("b, a,c", "b, a, c"),
        ('"a", "b"', '"a", "b"'),
        ("a, a", "a, a"),
        ("", ""),
    ],
)
def test_the_canonical_form(text: str, canonical: str) -> None:
    """Numbers, true, padding and blanks each have one spelling (§4.1); the first is the example of RFC 9421 §2.1.1."""
    assert canonical_text(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "a=1,", ",a=1", "a=1,,b=2", "a=1 b=2", "a==1", "A=1", "1=a", "=1", "a=1, a=2", "a=1;x=1;x=2", "a=(1 2",
        "a=1 2)",
        'a=("b""c")', "a=(1,2)", "a=((1))", 'a="b', 'a="\\b"', 'a="\u00e9"', "a=\u00e9", "a=1234567890123456",
        "a=1.1234", "a=1234567890123.1", "a=1.", "a=.1", "a=--1", "a=-", "a=:QQ=:", "a=:QR==:", "a=:Q:", "a=:QQ===:",
        "a=:Q Q=:", "a=?2", "a=?", "a=@1", 'a=%"b"', "a;=1", "a; ;b", "a\n=1", "\x00", "a=1\x7f",
    ],
)  # fmt: skip
def test_anything_else_is_no_dictionary(text: str) -> None:
    """What §4.2.2 fails, and a key that stands twice, is not read at all."""
    assert read_dictionary(text) is None


def test_the_type_must_be_known_where_it_matters() -> None:
    """A value that is no structured field has no canonical form."""
    assert canonical_text("Tue, 20 Apr 2021 02:07:56 GMT") is None
    assert canonical_text("a=1, a=2") is None


def test_members_come_until_one_cannot_be_read() -> None:
    """A reader that only records sees what came before the mistake."""
    seen: list[str] = []
    with pytest.raises(Unreadable):
        seen.extend(key for key, _ in read_members("a=1, b=(x), c=((, d=4"))
    assert seen == ["a", "b"]


def test_a_value_has_at_most_1024_parts() -> None:
    """As many keys and items are read, and one more is not."""
    for text in (f"a=({' '.join(['1'] * 1023)})", f"a=1{''.join(f';b{number}' for number in range(1022))}"):
        assert canonical_text(text) == text
        assert read_dictionary(f"{text};c") is None


def test_values_keep_their_types() -> None:
    """A token is no string, a number no boolean, and escapes are undone."""
    read = read_dictionary('s="a\\"b\\\\", t=a, i=1, d=1.5, b, n=?0, y=:AP8=:, l=("x";k=2);m')
    assert read is not None
    values = {key: member.bare.value for key, member in read.items() if isinstance(member, Item)}
    assert values == {"s": 'a"b\\', "t": "a", "i": 1, "d": 1.5, "b": True, "n": False, "y": b"\x00\xff"}
    assert [type(value) for value in values.values()] == [str, Token, int, float, bool, bool, bytes]
    inner = read["l"]
    assert isinstance(inner, InnerList)
    assert (inner.items[0].text, inner.text) == ('"x";k=2', '("x";k=2);m')


def test_nothing_shows_the_values() -> None:
    """Neither what was read nor the error says what the text is."""
    read = read_dictionary('a="secret";b=(1)') or read_dictionary('a="secret"')
    assert "secret" not in repr(read)
    with pytest.raises(Unreadable) as raised:
        list(read_members('"secret"'))
    assert "secret" not in str(raised.value)


@given(st.text(alphabet='ab=;,():"\\?1.-* \t', max_size=40))
def test_any_text_is_read_or_not(text: str) -> None:
    """No text raises, and what is read once is read the same again."""
    canonical = canonical_text(text)
    if canonical is not None:
        assert canonical_text(canonical) == canonical


@pytest.mark.parametrize(
    "text", ["a=(" + "1 " * 4000, "a" + ";b" * 4000, 'a="' + "\\\\" * 4000, "a, " * 3000, "(" * 8000]
)
def test_reading_is_quick(text: str, cpu_seconds: CpuSeconds) -> None:
    """Eight thousand characters of whatever kind take less than 50 ms."""
    assert cpu_seconds(lambda: canonical_text(text)) < 0.05
