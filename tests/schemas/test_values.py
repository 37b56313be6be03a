"""Digests that cannot hold a secret, times, identifiers and bounded values."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle
import re
import time
from datetime import UTC, date, datetime, timedelta, timezone
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.schemas import (
    Action,
    Agent,
    Context,
    Fingerprint,
    FingerprintKey,
    InvalidDigest,
    InvalidEvent,
    InvalidKey,
    KeyCustody,
    KeyedDigest,
    Lifetime,
    LogChange,
    LogEvent,
    Sha256,
    SignerProcess,
    Thumbprint,
    Token,
    canonical_bytes,
)
from counterfoil.schemas.values import Digest, new_event_id, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"

RFC8705_CERTIFICATE = (
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwE"
    "bXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGG"
    "WvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUa"
    "KlLR50Q2DmFfQj1L+SY="
)

DIGESTS: list[tuple[type[Digest], str]] = [
    (Fingerprint, r"hmac:[0-9a-f]{8}:[\w-]{21}[AQgw]|sha256:[\w-]{42}[048AEIMQUYcgkosw]"),
    (KeyedDigest, r"hmac:[0-9a-f]{8}:[\w-]{42}[048AEIMQUYcgkosw]"),
    (Sha256, r"sha256:[\w-]{42}[048AEIMQUYcgkosw]"),
    (Thumbprint, r"[\w-]{42}[048AEIMQUYcgkosw]"),
]

secret_texts = st.text(min_size=1, max_size=60)
keys = st.binary(min_size=16, max_size=64).map(FingerprintKey)


class TestDigests:
    """Fingerprint, KeyedDigest, Sha256, Thumbprint."""

    @pytest.mark.parametrize(("digest", "form"), DIGESTS)
    @given(text=st.text(max_size=60) | st.from_regex(r"\A(hmac:[0-9a-f]{8}:|sha256:)?[\w-]{20,45}\n?\Z"))
    def test_arbitrary_text_is_no_digest(self, digest: type[Digest], form: str, text: str) -> None:
        """Only text of the whole form becomes a digest, in Python and from JSON alike."""
        fits = re.fullmatch(form, text, re.ASCII) is not None
        field = "fingerprint" if digest is Fingerprint else None
        if fits:
            assert digest(text) == text
        else:
            with pytest.raises(InvalidDigest):
                digest(text)
        if field:
            document = json.dumps({field: text})
            if fits:
                assert Token.model_validate_json(document).fingerprint == text
            else:
                with pytest.raises(InvalidEvent):
                    Token.model_validate_json(document)

    @pytest.mark.parametrize(("digest", "form"), DIGESTS)
    @pytest.mark.parametrize("value", [None, 5, b"sha256:" + b"A" * 43, ["x"]])
    def test_what_is_no_text_is_no_digest(
        self, digest: Callable[[Any], Digest], form: str, value: object, refusal: Refusal
    ) -> None:
        """A value of another type is refused by the same error."""
        assert form
        refusal(InvalidDigest, lambda: digest(value))

    def test_in_python_only_the_type_itself_is_accepted(self, refusal: Refusal, key: FingerprintKey) -> None:
        """A text in the form of a fingerprint may be a raw token all the same; another digest is none."""
        fingerprint = Fingerprint.of("synthetic", key)
        assert Token(fingerprint=fingerprint).fingerprint is fingerprint
        wrong: list[Any] = [str(fingerprint), KeyedDigest.of(b"x", key), Sha256.of(b"x"), Thumbprint("A" * 43)]
        for value in wrong:
            error = refusal(InvalidEvent, lambda value=value: Token(fingerprint=value), value)
            assert error.problems == (("fingerprint", "give a Fingerprint, not a plain value"),)

    def test_a_token_as_long_as_a_thumbprint_is_refused(self, refusal: Refusal, secret: str) -> None:
        """43 characters do not make a thumbprint."""
        confirmation: Any = {"jkt": secret}
        assert len(secret) == 43
        refusal(InvalidEvent, lambda: Token(confirmation=confirmation), secret)

    @pytest.mark.parametrize("around", ["{}x", "x{}", "{}\n", " {}", "{}=", "{0}{0}"])
    def test_nothing_stands_around_a_digest(self, around: str, key: FingerprintKey) -> None:
        """A digest is the whole text, in Python and from JSON."""
        for value in (Fingerprint.of("x", key), KeyedDigest.of(b"x", key), Sha256.of(b"x"), Thumbprint("A" * 43)):
            with pytest.raises(InvalidDigest):
                type(value)(around.format(value))
        with pytest.raises(InvalidEvent):
            Token.model_validate_json(json.dumps({"fingerprint": around.format(Fingerprint.of("x", key))}))

    def test_one_digest_has_one_spelling(self) -> None:
        """The bits that base64url leaves over are zero (RFC 4648 §3.5): no second spelling escapes a search."""
        thumbprint = Thumbprint.of_certificate(b"x")
        other = thumbprint[:-1] + chr(ord(thumbprint[-1]) + 1)
        assert base64.urlsafe_b64decode(other + "=") == base64.urlsafe_b64decode(thumbprint + "=")
        with pytest.raises(InvalidDigest):
            Thumbprint(other)

    @given(secret=secret_texts, other=secret_texts, key=keys, other_key=keys)
    def test_fingerprints_join_equal_secrets_only(
        self, secret: str, other: str, key: FingerprintKey, other_key: FingerprintKey
    ) -> None:
        """Under one key equal secrets are equal and others differ; under two keys nothing joins."""
        same_key = key.mac("probe", b"") == other_key.mac("probe", b"")
        assert Fingerprint.of(secret, key) == Fingerprint.of(secret.encode("utf-8", "surrogatepass"), key)
        assert (Fingerprint.of(secret, key) == Fingerprint.of(other, key)) == (secret == other)
        assert (Fingerprint.of(secret, key) == Fingerprint.of(secret, other_key)) == same_key

    @given(text=secret_texts, key=keys)
    def test_uses_of_the_key_are_kept_apart(self, text: str, key: FingerprintKey) -> None:
        """The digest of content that equals a secret does not show the secret's fingerprint."""
        raw = text.encode("utf-8", "surrogatepass")
        assert Fingerprint.of(raw, key).split(":")[2][:21] != KeyedDigest.of(raw, key).split(":")[2][:21]

    @given(raw=st.binary(max_size=60), secret=st.binary(min_size=16, max_size=64))
    def test_forms_follow_the_rule(self, raw: bytes, secret: bytes) -> None:
        """Each form is what the standard library computes by the written rule."""

        def encoded(digest: bytes) -> str:
            return base64.urlsafe_b64encode(digest).decode().rstrip("=")

        key = FingerprintKey(secret)
        fingerprint = hmac.new(secret, b"counterfoil/fp/1\0" + raw, hashlib.sha256).digest()[:16]
        content = hmac.new(secret, b"counterfoil/content/1\0" + raw, hashlib.sha256).digest()
        assert Fingerprint.of(raw, key) == f"hmac:{key.key_id}:{encoded(fingerprint)}"
        assert KeyedDigest.of(raw, key) == f"hmac:{key.key_id}:{encoded(content)}"
        assert Sha256.of(raw) == f"sha256:{encoded(hashlib.sha256(raw).digest())}"
        assert Fingerprint.plain_sha256_of(raw) == Sha256.of(raw)

    def test_the_plain_hash_is_ath(self) -> None:
        """The second part equals ``ath`` (RFC 9449 §7.1, the token and hash of its example)."""
        token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
        assert Fingerprint.plain_sha256_of(token) == "sha256:fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"

    def test_the_certificate_thumbprint_is_x5t(self) -> None:
        """The whole DER certificate is hashed (RFC 8705 §3.1, appendix A)."""
        der = base64.b64decode(RFC8705_CERTIFICATE)
        assert Thumbprint.of_certificate(der) == "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"

    @pytest.mark.parametrize(("digest", "form"), DIGESTS)
    def test_digests_survive_pickling(self, digest: type[Digest], form: str) -> None:
        """A digest stays of its type, and a pickle of something else does not become one."""
        value = digest(next(text for text in ("sha256:" + "A" * 43, "hmac:00112233:" + "A" * 43, "A" * 43)
                            if re.fullmatch(form, text)))  # fmt: skip
        assert type(pickle.loads(pickle.dumps(value))) is digest
        assert copy.deepcopy(value) == value
        with pytest.raises(InvalidDigest):
            pickle.loads(pickle.dumps(value, protocol=2).replace(b"AAAA", b"A!!A"))


class TestFingerprintKey:
    """The key from which fingerprints are made."""

    @given(st.binary(max_size=15))
    def test_a_short_key_is_refused(self, raw: bytes) -> None:
        """A key has at least 128 bits."""
        with pytest.raises(InvalidKey):
            FingerprintKey(raw)

    @given(st.binary(min_size=16, max_size=64))
    def test_a_key_shows_its_id_alone(self, raw: bytes) -> None:
        """No text of a key holds the key, and the id is not a plain hash of it."""
        key = FingerprintKey(raw)
        assert repr(key) == str(key) == f"<FingerprintKey {key.key_id}>"
        assert key.key_id == FingerprintKey(raw).key_id
        assert not hashlib.sha256(raw).hexdigest().startswith(key.key_id)

    def test_a_key_is_neither_pickled_nor_copied(self, key: FingerprintKey) -> None:
        """A key does not travel in a pickle, where nobody looks for it."""
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled"):
                act(key)

    def test_a_key_keeps_its_own_copy(self) -> None:
        """A caller who wipes the buffer does not change the key."""
        buffer = bytearray(range(32))
        key = FingerprintKey(buffer)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- it does happen
        before = Fingerprint.of("x", key)
        buffer[:] = bytes(32)
        assert Fingerprint.of("x", key) == before


class TestEventId:
    """UUIDv7 (RFC 9562 §5.7)."""

    def test_an_event_id_is_a_version_7_uuid(self) -> None:
        """Version and variant are set, the time is now, the rest is random."""
        before = time.time_ns() // 1_000_000
        ids = [new_event_id() for _ in range(500)]
        after = time.time_ns() // 1_000_000
        assert {(each.version, each.variant) for each in ids} == {(7, RFC_4122)}
        assert all(before <= each.int >> 80 <= after for each in ids)
        assert len({each.int & (1 << 62) - 1 for each in ids}) == 500

    @given(milliseconds=st.integers(0, 2**48 - 2), later=st.integers(1, 2**40))
    def test_a_later_event_id_sorts_later(self, milliseconds: int, later: int) -> None:
        """Identifiers of different milliseconds sort as text in the order of time."""
        later = min(milliseconds + later, 2**48 - 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: milliseconds * 1_000_000)
            first = new_event_id()
            patch.setattr(time, "time_ns", lambda: later * 1_000_000)
            second = new_event_id()
        assert str(first) < str(second)
        assert first.int >> 80 == milliseconds

    @pytest.mark.parametrize("version", [1, 3, 4, 5, 6, 7, 8])
    def test_any_uuid_is_an_event_id(self, version: int) -> None:
        """A caller's own identifier may be any RFC 9562 UUID."""
        given_id = UUID(int=0x0123456789ABCDEF0123456789ABCDEF, version=5)
        given_id = UUID(int=given_id.int & ~(0xF << 76) | version << 76)
        assert Context(event_id=given_id).event_id == given_id
        assert Context.model_validate_json(f'{{"event_id":"{given_id}"}}').event_id == given_id


zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)  # noqa: DTZ001 -- zones are drawn


NO_ZONE = "the time has no zone; add Z or an offset (RFC 3339)"
OUT_OF_RANGE = "the time is outside the years 1 to 9999 in UTC"
NO_TIMES: list[tuple[Any, str]] = [
    ("2026-11-23T12:00:00", NO_ZONE),
    (datetime(2026, 11, 23), NO_ZONE),  # noqa: DTZ001 -- the mistake under test
    ("9999-12-31T23:59:59-01:00", OUT_OF_RANGE),
    ("0001-01-01T00:00:00+01:00", OUT_OF_RANGE),
    ("2026-02-30T12:00:00Z", "this is not an RFC 3339 time"),
    ("2026-11-23T12:00:00+25:00", "this is not an RFC 3339 time"),
    *(
        (value, "give an RFC 3339 time with a zone, or an aware datetime")
        for value in ("1700000000", "2026-11-23", "2026-11-23T12:00Z", "20261123T120000Z", "12:00:00Z", "now", "",
                      "2026-11-23T12:00:00Z\n", "\uff12026-11-23T12:00:00Z", 1700000000, 17e8, True,
                      date(2026, 11, 23), b"2026-11-23T12:00:00Z", [1], {"a": 1})
    ),
]  # fmt: skip


class TestTime:
    """RFC 3339 with a zone, kept as UTC."""

    @given(moments, moments)
    def test_text_order_is_time_order(self, one: datetime, other: datetime) -> None:
        """Times compare as text, whatever their zones were."""
        assert (rfc3339(one) < rfc3339(other)) == (one < other)
        assert (rfc3339(one) == rfc3339(other)) == (one == other)

    @given(moments)
    def test_a_time_comes_back(self, moment: datetime) -> None:
        """27 characters hold a time to the microsecond."""
        text = rfc3339(moment)
        assert len(text) == 27
        read = Lifetime.model_validate_json(json.dumps({"issued_at": text})).issued_at
        assert read == moment
        assert read is not None
        assert read.tzinfo is UTC

    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00.000000Z"),
            ("2026-11-23t12:00:00z", "2026-11-23T12:00:00.000000Z"),
            ("2026-11-23 12:00:00.5+05:30", "2026-11-23T06:30:00.500000Z"),
            ("2026-11-23T12:00:00.123456789-00:00", "2026-11-23T12:00:00.123456Z"),
        ],
    )
    def test_forms_of_rfc_3339(self, text: str, utc: str) -> None:
        """Every form of RFC 3339 §5.6 is read; microseconds are kept."""
        assert Lifetime(issued_at=text).model_dump(mode="json")["issued_at"] == utc  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- a text is accepted

    @pytest.mark.parametrize(("value", "problem"), NO_TIMES, ids=repr)
    def test_what_is_no_time(self, value: Any, problem: str, refusal: Refusal) -> None:
        """A time without a zone, a number, also as text, and all else is refused with the place."""
        error = refusal(InvalidEvent, lambda: Lifetime(issued_at=value))
        assert error.problems == (("issued_at", problem),)
        if isinstance(value, str | int | list | dict):
            document = json.dumps({"issued_at": value})
            assert refusal(InvalidEvent, lambda: Lifetime.model_validate_json(document)).problems == error.problems


class TestBoundedValues:
    """Counts, flags, names, texts."""

    @pytest.mark.parametrize("value", [-1, 2**53, True, 1.0, 0.5, "7", b"7", [7]])
    def test_a_count_is_a_whole_number_from_0(self, value: Any, refusal: Refusal) -> None:
        """Nothing is turned into a number that was none, and none is beyond what JSON carries."""
        assert refusal(InvalidEvent, lambda: SignerProcess(pid=value)).problems[0][0] == "pid"
        assert SignerProcess(pid=2**53 - 1).pid == 2**53 - 1

    def test_a_status_may_be_an_http_status(self) -> None:
        """The enumerations of ``http`` stand where their values do."""
        action = Action(name="x", method=HTTPMethod.GET, status_code=HTTPStatus.OK)
        assert (action.method, action.status_code) == ("GET", 200)
        assert type(action.method) is str

    @pytest.mark.parametrize("value", [1, 0, "yes", "true", "off", b"1", []])
    def test_a_flag_is_true_or_false(self, value: Any, refusal: Refusal) -> None:
        """Absent means unknown, so that nothing else may quietly mean yes or no."""
        assert refusal(InvalidEvent, lambda: KeyCustody(exportable=value)).problems[0][0] == "exportable"

    @pytest.mark.parametrize("value", ["", "x" * 513, b"bytes", 5, ["x"], {"x": 1}])
    def test_a_name_is_a_short_text(self, value: Any, refusal: Refusal) -> None:
        """1 to 512 characters, and no bytes."""
        assert refusal(InvalidEvent, lambda: Agent(id=value)).problems[0][0] == "id"
        assert Agent(id="x" * 512)

    def test_a_verification_key_has_its_own_id(self, refusal: Refusal) -> None:
        """The example of C2SP signed-note is one; with a character changed it is none, and a private key is none."""
        good = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        assert LogEvent(change=LogChange.OPENED, verification_key=good).verification_key == good
        changed = [good[:n] + ("b" if good[n] == "a" else "a") + good[n + 1 :] for n in range(len(good))]
        private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
        for bad in (*changed, private, good + "\n", " " + good, good.replace("+", " "), "", 5, good.encode()):
            error = refusal(InvalidEvent, lambda bad=bad: LogEvent(change=LogChange.OPENED, verification_key=bad))
            assert [path for path, _ in error.problems] == ["verification_key"]

    def test_a_note_is_a_signed_checkpoint_of_a_log(self, refusal: Refusal) -> None:
        """Origin, size, root, an empty line, signatures; each line in its form and its place."""
        origin, size, root = f"counterfoil/{'0f' * 16}", "7", f"{'A' * 43}="
        signature = f"— example.com/foo {'A' * 91}="
        good = [origin, size, root, "", signature, ""]
        for lines in (good, [f"{origin}/pruned", *good[1:]], [*good[:4], signature, signature, ""]):
            note = "\n".join(lines)
            assert LogEvent(change=LogChange.PRUNED, note=note).note == note
        bad = [good[:n] + good[n + 1 :] for n in range(len(good))]
        bad += [["other/log", *good[1:]], [origin, "07", *good[2:]], [origin, size, root[1:], *good[3:]]]
        bad += [[*good[:4], *[signature] * 17, ""], [*good[:4], f"- {signature[2:]}", ""], ["", *good]]
        for lines in bad:
            note = "\n".join(lines)
            error = refusal(InvalidEvent, lambda note=note: LogEvent(change=LogChange.PRUNED, note=note))
            assert [path for path, _ in error.problems] == ["note"]

    def test_a_negative_lifetime_is_refused(self, refusal: Refusal) -> None:
        """A lifetime counts seconds from issue to expiry."""
        error = refusal(InvalidEvent, lambda: Lifetime(seconds=-1))
        assert error.problems == (("seconds", "input should be greater than or equal to 0"),)


plain_texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
plain_names = st.text(st.characters(codec="utf-8", exclude_characters="\x00", max_codepoint=0xFFFF), max_size=4)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(1e-3, 2.0**53 - 1) | st.floats(-(2.0**53) + 1, -1e-3)
documents = st.recursive(
    st.none() | st.booleans() | numbers | plain_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_names, inner, max_size=3),
    max_leaves=8,
)


class TestAttributes:
    """Free-form JSON of the caller's own."""

    @given(st.dictionaries(plain_names, documents, max_size=3))
    def test_attributes_are_sealed_as_they_are(self, attributes: dict[str, Any]) -> None:
        """What a caller attaches is what a reader gets; whole floats are the integers that they equal."""
        context = Context(attributes=attributes)
        sealed = json.loads(canonical_bytes(context.model_dump(mode="json")))["attributes"]
        assert sealed == attributes

    def test_whole_floats_become_integers(self) -> None:
        """JSON has one kind of number (RFC 8259 §6), and RFC 8785 writes a whole one without a fraction."""
        attributes = Context(attributes={"a": 2.0, "b": [-0.0, {"c": -3.0}], "d": 0.5}).attributes
        assert json.dumps(attributes) == '{"a": 2, "b": [0, {"c": -3}], "d": 0.5}'

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_a_dump_would_change_is_refused(self, value: float, refusal: Refusal) -> None:
        """Pydantic would write NaN as null: it is refused before it gets there."""
        error = refusal(InvalidEvent, lambda: Context(attributes={"a": [value]}))
        assert error.problems == (("attributes", "a number is not finite"),)

    @pytest.mark.parametrize("attributes", [{"a": ["\ud800"]}, {"a": {"\udfff": 1}}])
    def test_a_lone_surrogate_is_refused(self, attributes: Any, refusal: Refusal) -> None:
        """Pydantic would write U+FFFD for one in a name: it is refused before it gets there."""
        error = refusal(InvalidEvent, lambda: Context(attributes=attributes))
        assert error.problems == (("attributes", "a text or a member's name contains a lone surrogate"),)

    @pytest.mark.parametrize("value", [b"x", {1, 2}, (1, 2), object(), datetime.now(UTC), {"a": {5: 1}}])
    def test_what_is_no_json_is_refused(self, value: Any, refusal: Refusal) -> None:
        """Only what JSON has is attached."""
        assert refusal(InvalidEvent, lambda: Context(attributes={"a": value})).problems[0][0].startswith("attributes.")
