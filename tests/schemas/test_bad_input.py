"""Bad input: refused by an error of ours that names the place and never the value; nothing else ever happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil import schemas
from counterfoil.schemas import (
    Event,
    EventTooLarge,
    Fingerprint,
    FingerprintKey,
    InputError,
    InvalidEvent,
    OutOfDomain,
    Token,
    canonical_bytes,
    parse_event,
)
from counterfoil.schemas.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

PARTS = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, Part)]
UNKNOWN = "<unknown, 43 characters>"


def use(**members: Any) -> str:
    """Return the JSON of a small event with some members replaced."""
    body: dict[str, Any] = {
        "kind": "credential_use",
        "token": {},
        "resource": {"uri": "https://api.example"},
        "action": {"name": "read"},
    }
    return json.dumps(body | members)


def raw(text: str, member: str = '"novelty"') -> str:
    """Return the JSON of a small event with ``text``, as it stands, among the attributes."""
    return f'{{"kind":"log","change":"gap","context":{{"attributes":{{{member}:{text}}}}}}}'


def sealed(text: str | bytes) -> bytes:
    """Go the way of a caller's JSON: parse, dump, seal."""
    return canonical_bytes(parse_event(text).model_dump(mode="json"))


# Each case: what it is, the JSON made with a secret, the error, and the places it names.
CASES: list[tuple[str, Callable[[str], str], type[InputError], list[str]]] = [
    ("a raw token as fingerprint", lambda s: use(token={"fingerprint": s}), InvalidEvent, ["token.fingerprint"]),
    ("an Authorization header as fingerprint", lambda s: use(token={"fingerprint": f"Bearer {s}"}), InvalidEvent,
     ["token.fingerprint"]),
    ("a dressed-up token as fingerprint", lambda s: use(token={"fingerprint": f"hmac:{s}"}), InvalidEvent,
     ["token.fingerprint"]),
    ("a raw proof as digest", lambda s: use(proof={"proof_digest": f"{s}.{s}.{s}"}), InvalidEvent,
     ["proof.proof_digest"]),
    ("raw arguments as digest", lambda s: use(action={"name": "a", "arguments_digest": s}), InvalidEvent,
     ["action.arguments_digest"]),
    ("a raw token as trace id", lambda s: use(context={"trace_id": s}), InvalidEvent, ["context.trace_id"]),
    ("a raw token as event id", lambda s: use(context={"event_id": s}), InvalidEvent, ["context.event_id"]),
    ("a raw token as term", lambda s: use(token={"token_class": s}), InvalidEvent, ["token.token_class"]),
    ("a raw token as time", lambda s: use(token={"lifetime": {"issued_at": s}}), InvalidEvent,
     ["token.lifetime.issued_at"]),
    ("a raw token as count", lambda s: use(signer={"pid": s}), InvalidEvent, ["signer.pid"]),
    ("a raw token as flag", lambda s: use(key_custody={"exportable": s}), InvalidEvent, ["key_custody.exportable"]),
    ("a secret as member", lambda s: use(**{s: 1}), InvalidEvent, [UNKNOWN]),
    ("a secret as nested member", lambda s: use(token={"lifetime": {s: s}}), InvalidEvent,
     [f"token.lifetime.{UNKNOWN}"]),
    ("a secret as member of a list", lambda s: use(proof={"checks": [{"id": "jose.crit", "outcome": "pass", s: s}]}),
     InvalidEvent, [f"proof.checks.0.{UNKNOWN}"]),
    ("NaN", lambda s: raw("NaN", f'"{s}"'), InvalidEvent, ["context.attributes"]),
    ("Infinity", lambda s: raw("[-Infinity]", f'"{s}"'), InvalidEvent, ["context.attributes"]),
    ("a number beyond all", lambda s: raw("1e999", f'"{s}"'), InvalidEvent, ["context.attributes"]),
    ("NaN as count", lambda s: use(signer={"pid": float("nan"), "user": s}), InvalidEvent, ["signer.pid"]),
    ("an integer that not every reader keeps", lambda s: raw(str(2**53), f'"{s}"'), OutOfDomain,
     ["context.attributes.<member, 43 characters>"]),
    ("an integer of 5,000 digits", lambda s: raw("9" * 5000, f'"{s}"'), InvalidEvent, [""]),
    ("a float that not every writer writes alike", lambda s: raw("1e-7", f'"{s}"'), OutOfDomain,
     ["context.attributes.<member, 43 characters>"]),
    ("a string of 10 MB", lambda s: use(context={"task": s * 250_000}), EventTooLarge, []),
    ("a string of 10 MB as member", lambda s: use(**{s * 250_000: 1}), EventTooLarge, []),
    ("a string of 1 MB", lambda s: use(context={"task": s * 24_000}), InvalidEvent, ["context.task"]),
    ("a string of 1 MB that is free-form", lambda s: raw(f'"{s * 24_000}"'), EventTooLarge, []),
    ("1,000 objects deep", lambda s: raw('{"a":' * 1000 + f'"{s}"' + "}" * 1000), InvalidEvent, [""]),
    ("1,000 arrays deep", lambda s: raw("[" * 1000 + f'"{s}"' + "]" * 1000), InvalidEvent, [""]),
    ("1,000 deep in an unknown member", lambda s: use()[:-1] + f',"{s}":' + "[" * 1000 + "]" * 1000 + "}",
     InvalidEvent, [""]),
    ("100,000 deep, unclosed", lambda s: "[" * 100_000 + s, InvalidEvent, [""]),
    ("100 deep", lambda s: raw("[" * 100 + f'"{s}"' + "]" * 100), OutOfDomain,
     ["context.attributes.<member, 7 characters>.0.0.0.0.0"]),
    ("NUL in a name", lambda s: use(context={"task": f"{s}\0"}), OutOfDomain, ["context.task"]),
    ("NUL in free form", lambda s: raw(f'["{s}\\u0000"]'), OutOfDomain,
     ["context.attributes.<member, 7 characters>.0"]),
    ("NUL in a member's name", lambda s: raw("1", f'"{s}\\u0000"'), OutOfDomain,
     ["context.attributes.<member, 44 characters>"]),
    ("NUL between the members", lambda s: use(context={"task": s}) + "\0", InvalidEvent, [""]),
    ("a lone surrogate, escaped", lambda s: raw(f'"{s}\\ud800"'), InvalidEvent, [""]),
    ("a lone surrogate in a member's name, escaped", lambda s: raw("1", f'"{s}\\udfff"'), InvalidEvent, [""]),
    ("a lone surrogate as it stands", lambda s: raw(f'"{s}\ud800"'), InvalidEvent, [""]),
    ("a member beyond U+FFFF", lambda s: raw("1", f'"{s}\U0001f600"'), OutOfDomain,
     ["context.attributes.<member, 44 characters>"]),
    ("a member twice", lambda s: raw("1")[:-1] + f',"change":"{s}","change":"gap"}}', InvalidEvent, ["change"]),
    ("a free-form member twice", lambda s: raw(f'{{"{s}":1,"b":{{}},"{s}":2}}'), InvalidEvent,
     ["context.attributes.<member, 7 characters>.<member, 43 characters>"]),
    ("an unknown kind", lambda s: use(kind=s), InvalidEvent, [""]),
    ("a kind of another shape", lambda s: use(kind={"kind": [s]}), InvalidEvent, [""]),
    ("no kind", lambda s: json.dumps({"change": s}), InvalidEvent, [""]),
    ("a time without zone", lambda s: use(context={"occurred_at": "2026-11-23T12:00:00", "task": s}), InvalidEvent,
     ["context.occurred_at"]),
    ("a number as time", lambda s: use(context={"occurred_at": 1_700_000_000, "task": s}), InvalidEvent,
     ["context.occurred_at"]),
    ("a number in text as time", lambda s: use(context={"occurred_at": "1700000000", "task": s}), InvalidEvent,
     ["context.occurred_at"]),
    ("a negative lifetime", lambda s: use(token={"lifetime": {"seconds": -1}, "issuer": s}), InvalidEvent,
     ["token.lifetime.seconds"]),
    ("a list where a part belongs", lambda s: use(token=[s]), InvalidEvent, ["token"]),
    ("a text where a part belongs", lambda s: use(token=s), InvalidEvent, ["token"]),
    ("a part where a text belongs", lambda s: use(context={"task": {s: s}}), InvalidEvent, ["context.task"]),
    ("a part where a list belongs", lambda s: use(token={"scopes": {s: s}}), InvalidEvent, ["token.scopes"]),
    ("a text where a list belongs", lambda s: use(token={"scopes": s}), InvalidEvent, ["token.scopes"]),
    ("a list where free form belongs", lambda s: use(context={"attributes": [s]}), InvalidEvent,
     ["context.attributes"]),
    ("null where a part belongs", lambda s: use(token=None, **{s: 1}), InvalidEvent, ["token", UNKNOWN]),
    ("a list of events", lambda s: f'[{use(context={"task": s})}]', InvalidEvent, [""]),
    ("two events", lambda s: use(context={"task": s}) * 2, InvalidEvent, [""]),
    ("half an event", lambda s: use(context={"task": s})[:-9], InvalidEvent, [""]),
    ("a text", json.dumps, InvalidEvent, [""]),
    ("no JSON", str, InvalidEvent, [""]),
    ("a byte order mark", lambda s: "\ufeff" + use(context={"task": s}), InvalidEvent, [""]),
    ("single quotes", lambda s: use(context={"task": s}).replace('"', "'"), InvalidEvent, [""]),
    ("a comment", lambda s: f"{use()} // {s}", InvalidEvent, [""]),
    ("a control character as it stands", lambda s: raw(f'"{s}\x1b[2J"'), InvalidEvent, [""]),
    ("nothing", lambda _: "", InvalidEvent, [""]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error_type", "places"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_json_is_refused(
    make: Callable[[str], str], error_type: type[InputError], places: list[str], refusal: Refusal, secret: str
) -> None:
    """Each case ends in the error and at the place that the table says, as text and as bytes, and shows no value."""
    text = make(secret)
    for body in (text, text.encode("utf-8", "surrogatepass")):
        error = refusal(error_type, lambda body=body: sealed(body), secret)
        if isinstance(error, InvalidEvent):
            assert sorted(path for path, _ in error.problems) == sorted(places)
        elif isinstance(error, OutOfDomain):
            assert [error.path] == places


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-7", "cp037"])
def test_another_encoding_is_refused(encoding: str, refusal: Refusal, secret: str) -> None:
    """JSON is UTF-8 (RFC 8259 §8.1), also where Python's own reader would guess another encoding."""
    body = use(context={"task": f"{secret}\u00e9"}).encode(encoding)
    if encoding == "utf-7":  # ASCII to the eye: the escapes are only text
        assert sealed(body)
    else:
        refusal(InvalidEvent, lambda: sealed(body), secret)


def test_bytes_that_are_no_text_are_refused(refusal: Refusal, secret: str) -> None:
    """Neither a broken sequence nor an encoded surrogate is UTF-8."""
    for broken in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        body = use(context={"task": secret}).encode().replace(b'"read"', b'"' + broken + b'"')
        refusal(InvalidEvent, lambda body=body: sealed(body), secret)


HOSTILE = [
    "\x1b[2J\x1b]0;title\x07\x1b]8;;https://evil.example\x1b\\link\x9b31m",
    "\u202egnp.exe\u2066\u2069\u200f\u061c",
    "[bold red]x[/] [link=https://evil.example]y[/link] <script>alert(1)</script> {{7*7}} %s %(x)s {0}",
    "=cmd|' /C calc'!A0,+1,-1,@x\r\n\t",
    "e\u0301\u00e9\ufeff\u00ad\u2028\u2029\ufffd",
    "'; DROP TABLE entry; --",
    "a" * 300,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_data(hostile: str, samples: tuple[Event, ...], mark: str) -> None:
    """Escape sequences, bidi controls and markup are recorded byte for byte; who shows them escapes them."""
    for event in samples:
        text = event.model_dump_json().replace(mark, json.dumps(hostile)[1:-1])
        parsed = parse_event(text)
        again = json.loads(canonical_bytes(parsed.model_dump(mode="json")))
        assert again == json.loads(text)
        assert json.dumps(again).count(json.dumps(hostile)[1:-1]) == event.model_dump_json().count(mark)
        assert hostile not in repr(parsed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    data=st.data(),
    junk=st.sampled_from([None, True, 0, -1, 2**53, 0.5, 1e300, "S", "S" * 20, [], ["S"], {}, {"S": "S"}]),
)
def test_a_wrong_type_anywhere_is_refused(
    data: st.DataObject, junk: Any, wreck: Callable[..., Any], refusal: Refusal, secret: str
) -> None:
    """Whichever member is replaced by whatever: it is sealed as it stands, or refused at that place; no third way."""
    document, path = wreck(data, json.loads(json.dumps(junk).replace("S", secret)))
    text = json.dumps(document)
    try:
        result = json.loads(sealed(text))
    except InputError as error:
        refused: Any = refusal(type(error), lambda: sealed(text), secret)
        place: str = refused.path if type(error) is OutOfDomain else refused.problems[0][0]
        assert place.partition(".")[0] == ("" if path == ("kind",) else path[0])
    else:
        assert holds(result, document)


def holds(result: Json, document: Json) -> bool:
    """Whether everything in the document stands in the result as it was."""
    if isinstance(document, dict) and isinstance(result, dict):
        return all(name in result and holds(result[name], member) for name, member in document.items())
    if isinstance(document, list) and isinstance(result, list):
        return len(result) == len(document) and all(map(holds, result, document))
    return type(result) is type(document) and result == document


class Talkative:
    """An object that tells a secret however it is looked at."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return self.secret

    __str__ = __format__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize("part", PARTS, ids=lambda each: each.__name__)
def test_no_argument_makes_a_part_talk(part: type[Part], secret: str) -> None:
    """Any object for any member: a part, or ``InvalidEvent`` that names the member; neither shows the object."""
    construct: Any = part
    junk: list[Any] = [
        secret, secret.encode(), [secret], (secret,), {secret}, {secret: secret}, {5: secret}, Talkative(secret),
        type(secret, (), {}), ValueError(secret), -5, 1e400, True, object, ...,
    ]  # fmt: skip
    for name in part.model_fields:
        for value in junk:
            assert secret not in told(lambda name=name, value=value: construct(**{name: value}), name)


def told(construct: Callable[[], object], name: str) -> str:
    """Return what a part, or its refusal, shows; a refusal names the member, or what else is missing."""
    try:
        return repr(construct())
    except InvalidEvent as error:
        problems = error.problems
    assert any(path.partition(".")[0] == name or problem == "field required" for path, problem in problems)
    return repr(problems)


def test_in_json_the_form_decides(key: FingerprintKey) -> None:
    """A known limit: JSON has no types, so that a text in the form of a fingerprint is taken for one."""
    fingerprint = Fingerprint.of("synthetic", key)
    assert Token.model_validate_json(json.dumps({"fingerprint": fingerprint})).fingerprint == fingerprint
