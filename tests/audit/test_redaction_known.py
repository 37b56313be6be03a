"""Known secrets: found again in any text, shown nowhere, forgotten in order, cheap where there is none."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import secrets
import tracemalloc
from base64 import b64encode, urlsafe_b64encode
from threading import Thread
from time import process_time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit import remember_secret
from counterfoil.audit.redaction import KnownSecrets, Redactor
from counterfoil.audit.redaction.known import KNOWN, LONGEST, SHORTEST, is_worth_remembering

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue

ROUTES: Final[dict[str, Callable[[str], str]]] = {
    "alone": str,
    "in prose": lambda secret: f"The tool said {secret}.",
    "in quotes": lambda secret: f"KeyError: {secret!r} ({secret})",
    "in a form": lambda secret: urlencode({"page": "2", "x": secret, "y": "1"}),
    "in a cookie": lambda secret: f"a={secret}; b=2",
    "in a list": lambda secret: f"1,{secret},2;{secret}|3",
    "in JSON": lambda secret: json.dumps({"note": [f"see {secret}", 1]}),
    "in escaped JSON": lambda secret: json.dumps(json.dumps({"note": f"line\n{secret}\t"})),
    "in a form in JSON": lambda secret: json.dumps({"body": urlencode({"a": f"x\n{secret}"})}),
    "in a path": lambda secret: f"https://api.example/v1/{secret}/items",
    "in a percent-encoded path": lambda secret: f"/next%3D%2F{quote(secret, safe='')}%26a",
    "in base64": lambda secret: "got " + b64encode(f"I am {secret}".encode()).decode(),
    "in base64url": lambda secret: "x=" + urlsafe_b64encode(f"take {secret} ".encode()).decode().rstrip("="),
    "after a word": lambda secret: f"note:{secret}",
    "over lines": lambda secret: f"Traceback\n  File x\nValueError: {secret}\n",
}

TOKENS = st.binary(min_size=12, max_size=96).map(lambda raw: urlsafe_b64encode(raw).decode().rstrip("="))
PASSWORDS = st.text(
    st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$*+-./:?@^_~"),
    min_size=9,
    max_size=40,
)


def _knowing(*remembered: str | bytes) -> Redactor:
    known = KnownSecrets()
    for each in remembered:
        assert known.remember(each)
    return Redactor(known=known)


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=50, deadline=None)
@given(secret=TOKENS.filter(is_worth_remembering))
def test_a_known_token_is_found_on_every_route(route: str, secret: str) -> None:
    """Wherever a token stands that was seen, it goes."""
    text = ROUTES[route](secret)
    redactor = _knowing(secret)
    found, receipts = redactor.text(text)
    assert receipts
    assert not any(form in found for form in (secret, quote(secret, safe=""), text))
    assert redactor.text(found) == (found, [])


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_else_would_have_found_it(route: str) -> None:
    """On each of those routes a token of no form stays without this layer: so it is this layer that the tests see."""
    text = ROUTES[route]("q7Zr-" + secrets.token_hex(12))
    assert Redactor(known=KnownSecrets()).text(text) == (text, [])


@given(
    secret=PASSWORDS.filter(is_worth_remembering), before=st.sampled_from(' "=:;&,('), after=st.sampled_from(' ";&,)')
)
def test_a_known_password_is_found_between_what_sets_it_apart(secret: str, before: str, after: str) -> None:
    """A password with an anchor of 8 is found anywhere; one without stands by itself, or is a whole run."""
    remembered = secret.strip().rstrip("=")
    if any(len(run) >= SHORTEST for run in "".join(c if c.isalnum() else " " for c in remembered).split()):
        assert remembered not in _knowing(secret).text(f"x{before}{secret}{after}y")[0]
    assert remembered not in _knowing(secret).text(secret)[0]


def test_member_names_paths_and_uris_are_searched() -> None:
    """A known secret as a member's name, in a path and in a kept parameter of a URI goes, and no receipt shows it."""
    secret = f"zk-{secrets.token_hex(12)}"
    redactor = Redactor(keep_query=["a"], known=_known(secret))
    value, receipts = redactor.value({secret: {"n": f"as {secret}"}, f"x {secret}": [[secret, "v"]]})
    uri, more = redactor.uri(f"https://api.example/{secret}?a={secret}")
    assert secret not in json.dumps([value, receipts, uri, more])
    assert uri == "https://api.example/REDACTED?a=REDACTED"
    assert secret in json.dumps(Redactor(known=None).value({secret: 1})[0])


def _known(*remembered: str) -> KnownSecrets:
    known = KnownSecrets()
    for each in remembered:
        assert known.remember(each)
    return known


def test_a_text_met_before_can_become_guilty() -> None:
    """What held no secret an hour ago is searched again once it does, also as a member's name."""
    secret = f"letters-{secrets.token_urlsafe(12)}"
    known = KnownSecrets()
    redactor = Redactor(known=known)
    value: dict[str, JsonValue] = {"note": f"x {secret}", f"{secret}": "y"}
    for _ in range(3):
        assert redactor.value(value) == (value, [])
    assert f"x {secret}" in known.innocent
    known.remember(secret)
    assert secret not in json.dumps(redactor.value(value))


def test_an_old_search_acquits_nothing() -> None:
    """What was searched before a secret became known is not taken for innocent after, in texts or names."""
    known, secret = KnownSecrets(), secrets.token_urlsafe(24)
    before = known.news
    known.hold_innocent(["a"], before)
    known.remember(secret)
    for names in (False, True):
        known.hold_innocent([f"x {secret}"], before, names=names)
        known.hold_innocent(["b", "c" * 200], known.news, names=names)
    assert (known.innocent, known.innocent_names) == ({"b"}, {"b"})
    news = known.news
    known.remember(secret)
    known.remember(secrets.token_urlsafe(200))  # longer than any text that is held innocent
    assert (known.news, known.innocent) == (news, {"b"})


def test_a_thousand_cost_little_and_none_cost_nothing() -> None:
    """In prose; against the same search without. Where none is known, a text is not even looked at."""
    text = "The quarterly report for the northern region is ready and was sent to the whole team for review. " * 20
    known = _known(*[secrets.token_urlsafe(32) for _ in range(1000)])

    def seconds(redactor: Redactor) -> float:
        started = process_time()
        for _ in range(50):
            redactor.text(text)
        return process_time() - started

    turns = [(seconds(Redactor(known=known)), seconds(Redactor(known=None))) for _ in range(5)]
    assert min(with_them for with_them, _ in turns) < 6 * min(without for _, without in turns)
    assert not KnownSecrets()
    assert KnownSecrets().within(cast("list[str]", None), "", "") == []


def test_what_is_encoded_is_found_each_time() -> None:
    """A text in which something may be encoded is innocent only once that was looked at."""
    secret, known = f"zk-{secrets.token_hex(12)}", KnownSecrets()
    redactor, text = Redactor(known=known), b64encode(f"I am {secret}".encode()).decode()
    for _ in range(3):
        assert redactor.text(text) == (text, [])
    assert text in known.innocent
    known.remember(secret)
    for _ in range(3):
        assert redactor.text(text)[0] == "[redacted:encoded]"


@pytest.mark.parametrize(
    "word",
    ["", "secret", "password", "python-3", "gpt-4-turbo", "listMessages", "2026-11-25T07:00:00.000000Z",
     "4111 1111 1111 1111", "development", "read-only", "de_DE.UTF-8", "12345678", "2026-11-25 07:00", "a1a1a1a1a1a1",
     "https://mail.example", "[redacted:known]", "REDACTED", "anonymous user", "x" * 40, "0" * LONGEST + "abcdef1"],
)  # fmt: skip
def test_words_numbers_and_times_are_not_remembered(word: str) -> None:
    """Otherwise records would lose words, and tell by it what they were."""
    known = KnownSecrets()
    assert not known.remember(word)
    assert len(known) == 0
    assert known.remember(secrets.token_urlsafe(16))


def test_it_shows_nothing() -> None:
    """Neither ``repr`` nor pickling, nor anything that it holds, gives a secret away."""
    secret = secrets.token_urlsafe(24)
    known = _known(secret)
    assert repr(known) == "<KnownSecrets, 1>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(known)
    held = repr([vars(known), [[each.slots, each.ways] for each in vars(known).values() if hasattr(each, "slots")]])
    assert "slots" not in held
    assert len(held) > 300
    assert not any(secret[at : at + 6] in held for at in range(len(secret) - 6))


def test_the_oldest_go_first_and_what_is_seen_again_stays() -> None:
    """At least the last half of the limit is remembered, and at most the limit."""
    known = KnownSecrets(limit=100)
    many = [f"{number:03}-{secrets.token_hex(12)}" for number in range(400)]
    for each in many:
        known.remember(each)
        known.remember(many[0])
        assert len(known) <= 100
    assert known.spans(many[0])
    assert all(known.spans(each) for each in many[-49:])
    assert not any(known.spans(each) for each in many[1:300])


def test_alike_tokens_are_kept_apart() -> None:
    """Tokens that share their anchor are each found, and a text with the anchor alone holds none."""
    shared = secrets.token_hex(20)
    tokens = [f"a{number}.{shared}" for number in range(5)]
    known = _known(*tokens)
    assert len(known) == 5
    for each in tokens:
        assert known.spans(f"<{each}>") == [(1, 1 + len(each))]
    assert known.spans(f"b.{shared}") == []


def test_the_full_set_takes_less_than_a_megabyte() -> None:
    """However many are seen: the peak included."""
    tracemalloc.start()
    try:
        known = KnownSecrets()
        for _ in range(10_000):
            known.remember(secrets.token_urlsafe(32))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(known) > 2000
    assert peak < 1_000_000


def test_a_forked_child_knows_what_its_parent_knew() -> None:
    """And goes on by itself, though another thread was remembering while the process forked."""
    known, secret, stop = KnownSecrets(), secrets.token_urlsafe(24), False
    known.remember(secret)

    def remember() -> None:
        while not stop:
            known.remember(secrets.token_urlsafe(24))

    thread = Thread(target=remember)
    thread.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(5):
            known.remember(secret)
            child = context.Process(target=_in_child, args=(known, secret))
            child.start()
            child.join(20)
            assert child.exitcode == 0
    finally:
        stop = True
        thread.join()


def _in_child(known: KnownSecrets, secret: str) -> None:
    mine = secrets.token_urlsafe(24)
    assert known.spans(secret)
    assert known.remember(mine)
    assert known.spans(f"x {mine}")


def test_threads_find_what_they_remember() -> None:
    """What a thread has remembered it finds at once, whatever the others do."""
    known = KnownSecrets(limit=100_000)
    redactor = Redactor(known=known)
    missed: list[int] = []

    def work() -> None:
        for number in range(300):
            secret = f"t-{secrets.token_hex(12)}"
            redactor.text(f"x {secret}")  # taken for innocent
            known.remember(secret)
            if secret in redactor.text(f"x {secret}")[0]:
                missed.append(number)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []
    assert len(known) == 1200


def test_an_application_can_name_its_secrets() -> None:
    """What it names is known to every redactor that was not told otherwise; what cannot be is said."""
    secret, other = secrets.token_urlsafe(18), secrets.token_bytes(20).hex().encode()
    redactor = Redactor()
    assert redactor.text(f"see {secret}")[1] == []
    assert remember_secret(secret, other)
    assert not remember_secret("hunter2")
    assert redactor.text(f"see {secret} {other.decode()}")[0] == "see [redacted:known] [redacted:known]"
    assert Redactor(known=None).text(f"see {secret}")[1] == []
    KNOWN.forget()
    assert redactor.text(f"see {secret}")[1] == []
