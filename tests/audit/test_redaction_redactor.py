"""The redactor on events: in place, by field, with receipts, and never without an answer."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.redaction import KnownSecrets, Redactor, findings, walk
from counterfoil.audit.redaction.receipt import receipt, shown_path
from counterfoil.schemas import (
    Action,
    Agent,
    Check,
    Compromise,
    Context,
    CredentialUse,
    Principal,
    Proof,
    Redaction,
    Resource,
    Token,
    read_event,
)
from counterfoil.schemas.domain import MAX_DEPTH
from counterfoil.schemas.entry import canonical_bytes

if TYPE_CHECKING:
    from counterfoil.audit.redaction.receipt import Receipt
    from counterfoil.schemas import Event

KEY = "ghp_" + secrets.token_hex(18)


def _use(**parts: Any) -> CredentialUse:
    given = {"token": Token(), "resource": Resource(uri="https://api.example/mail"), "action": Action(name="read_mail")}
    return CredentialUse(**(given | parts))


def _redacted(event: Event, redactor: Redactor | None = None) -> tuple[dict[str, Any], list[dict[str, str]]]:
    body = event.model_dump(mode="json", exclude_none=True)
    receipts = (redactor or Redactor()).event(body)
    return body, receipts


def test_an_event_without_secrets_stays_as_it_is() -> None:
    """Our own fields are not matched by name: ``token``, ``proof.checks`` and ``signer`` are no secrets here."""
    event = _use(
        context=Context(agent=Agent(id="mail-agent"), task="t-42", attributes={"folder": "inbox", "count": 3}),
        token=Token(token_class="refresh_token", scopes=("mail.read", "secret:write"), prefix="ghp_"),
        proof=Proof(checks=(Check(id="dpop.08_htm", outcome="fail", expected="GET", observed="POST"),)),
    )
    assert _redacted(event) == (event.model_dump(mode="json", exclude_none=True), [])


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"token": Token(jti=KEY)}, "token.jti"),
        ({"token": Token(key_id=KEY)}, "token.key_id"),
        ({"token": Token(audience=("https://api.example", f"https://{KEY}.example"))}, "token.audience.1"),
        ({"token": Token(names=(KEY,))}, "token.names.0"),
        ({"context": Context(task=f"retry with {KEY}")}, "context.task"),
        ({"context": Context(principal=Principal(actors=("me", KEY)))}, "context.principal.actors.1"),
        ({"context": Context(attributes={"a": [{"b": KEY}]})}, "context.attributes.a.0.b"),
        ({"context": Context(reference=f"https://tickets.example/{KEY}")}, "context.reference"),
        ({"resource": Resource(uri=f"https://api.example/{KEY}/x")}, "resource.uri"),
        ({"action": Action(name="read_mail", error_type=KEY)}, "action.error_type"),
        ({"proof": Proof(checks=(Check(id="token.issuer", outcome="fail", observed=KEY),))}, "proof.checks.0.observed"),
    ],
)
def test_a_secret_goes_from_every_text_field(parts: dict[str, Any], path: str) -> None:
    """Each hostile field is swept, in place, and its receipt names the path."""
    body, receipts = _redacted(_use(**parts))
    assert KEY not in json.dumps(body)
    assert receipts == [{"path": path, "rule": "github", "length": "17-64"}]
    body["context"]["redactions"] = receipts
    event = read_event(canonical_bytes(body))
    assert event.context.redactions == (Redaction(path=path, rule="github", length="17-64"),)


def test_an_access_key_id_may_stay_where_it_belongs() -> None:
    """The id of an AWS key is public; ``token.key_id`` exists to hold it, other fields do not."""
    body, receipts = _redacted(_use(token=Token(key_id="AKIAEXAMPLEEXAMPLE22", subject="AKIAEXAMPLEEXAMPLE22")))
    assert body["token"]["key_id"] == "AKIAEXAMPLEEXAMPLE22"
    assert body["token"]["subject"] == "[redacted:aws_key_id]"
    assert [each["path"] for each in receipts] == ["token.subject"]


def test_uris_follow_their_rule() -> None:
    """Query values, userinfo and fragment go from every URI field, one receipt a value; kept names stay."""
    uri = "https://me:pw@api.example/mail?folder=inbox&code=abc#top"
    event = _use(resource=Resource(uri=uri), action=Action(name="read_mail", target=uri))
    body, receipts = _redacted(event, Redactor(keep_query=["folder"]))
    assert body["resource"]["uri"] == body["action"]["target"] == "https://api.example/mail?folder=inbox&code=REDACTED"
    rules = ["uri.userinfo", "uri.query", "uri.fragment"]
    assert [(each["path"], each["rule"]) for each in receipts] == [
        (path, rule) for path in ("resource.uri", "action.target") for rule in rules
    ]


def test_attributes_are_redacted_by_position_and_by_pattern() -> None:
    """Free-form JSON is the caller's own: names count there, and every string is swept."""
    attributes = {"headers": {"Cookie": "sid=1"}, "password": 12345, "note": f"used {KEY}", "token": "none"}
    body, receipts = _redacted(_use(context=Context(attributes=attributes)))
    assert body["context"]["attributes"] == {
        "headers": {"Cookie": "sid=[redacted:cookie]"},
        "password": "[redacted:member]",
        "note": "used [redacted:github]",
        "token": "none",
    }
    assert {each["path"].removeprefix("context.attributes.") for each in receipts} == {
        "headers.Cookie",
        "password",
        "note",
    }


def test_what_the_models_do_not_know_is_free_form() -> None:
    """Members, terms and kinds of a newer log are redacted like a caller's own, names included."""
    use = _use().model_dump(mode="json", exclude_none=True)
    use["token"] |= {"token_class": KEY, "invented": {"client_secret": "hunter2"}, KEY: 1}
    event = read_event(json.dumps(use))
    assert isinstance(event, CredentialUse)
    body, receipts = _redacted(event)
    assert KEY not in json.dumps(body)
    assert body["token"]["token_class"] == "[redacted:github]"
    assert body["token"]["invented"] == {"client_secret": "[redacted:member]"}
    assert body["token"]["[redacted:name]"] == 1
    assert len(receipts) == 3
    unlisted: dict[str, Any] = {
        "kind": KEY,
        "context": {"task": KEY, "attributes": {}},
        "other": {"password": "hunter2"},
    }
    Redactor().event(unlisted)
    assert KEY not in json.dumps(unlisted)
    assert "hunter2" not in json.dumps(unlisted)


def test_a_redacted_field_can_still_be_read_back() -> None:
    """A marker longer than the secret never makes a field longer than its type allows."""
    query = "&".join(["a" * 60 + "=1"] * 129)
    event = _use(
        token=Token(prefix="?otp=12", jti=" ?otp=1" * 70), resource=Resource(uri=f"https://api.example/?{query}")
    )
    body, receipts = _redacted(event)
    stored = read_event(canonical_bytes(body))
    assert isinstance(stored, CredentialUse)
    assert (stored.token.prefix, stored.token.jti) == ("REDACTED", "REDACTED")
    assert stored.resource.uri == "https://api.example/?REDACTED"
    overlong = {each["path"] for each in receipts if each["rule"] == "overlong"}
    assert overlong == {"token.prefix", "token.jti", "resource.uri"}
    assert Redactor().event(body) == []


def test_receipts_cannot_outgrow_the_event() -> None:
    """Beyond 256 the receipts are counted, the values are removed all the same."""
    body, receipts = _redacted(_use(context=Context(attributes={"passwords": list(range(1000))})))
    assert body["context"]["attributes"]["passwords"] == ["[redacted:member]"] * 1000
    assert len(receipts) == 257
    assert receipts[-1] == {"path": "context.redactions", "rule": "more", "length": "257-4096"}


def test_a_failing_redactor_hides_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field becomes ``[redacted:error]``, the rest of the event is redacted and kept."""

    def fail(*_: object) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(walk, "_rules", fail)
    body, receipts = _redacted(_use(context=Context(task=KEY, attributes={"secret_1": KEY, "note": KEY})))
    assert body["context"]["attributes"] == {"[redacted:error]": True}
    assert body["context"]["task"] == "[redacted:github]"
    assert ("context.attributes", "error") in {(each["path"], each["rule"]) for each in receipts}

    monkeypatch.setattr(findings, "without_secrets", fail)
    body, receipts = _redacted(_use(token=Token(jti=KEY, subject="alice")))
    assert (body["token"]["jti"], body["token"]["subject"]) == ("[redacted:error]", "alice")
    assert receipts == [{"path": "token.jti", "rule": "error", "length": "17-64"}]

    monkeypatch.setattr(findings, "suspects", fail)
    body, _ = _redacted(_use(token=Token(jti=KEY, subject="alice")))
    assert KEY not in json.dumps(body)


def test_deep_nesting_ends_in_a_marker() -> None:
    """1,000 levels raise nothing, and what stays can be sealed."""
    deep: Any = KEY
    for _ in range(1000):
        deep = {"a": [deep]}
    redacted, receipts = Redactor().value(deep)
    assert receipts == [{"path": ".".join(["a", "0"] * (MAX_DEPTH // 2)), "rule": "depth", "length": "1-16"}]
    assert isinstance(redacted, dict)
    assert len(canonical_bytes(redacted)) < 1000
    body = _use().model_dump(mode="json", exclude_none=True)
    body["context"]["attributes"] = deep
    Redactor().event(body)
    assert KEY.encode() not in canonical_bytes(body)


def test_a_name_that_is_a_secret_is_replaced_and_stays_unique() -> None:
    """Several get a number each, whatever their order; a receipt's path does not show them either."""
    other = "ghp_" + secrets.token_hex(18)
    first, receipts = Redactor().value({KEY: {"password": "x"}, "a": 1, other: 2})
    second, _ = Redactor().value({other: 2, "a": 1, KEY: {"password": "x"}})
    assert first == second
    assert isinstance(first, dict)
    assert first.keys() == {"[redacted:name]", "a", "[redacted:name:2]"}
    assert KEY not in json.dumps([first, receipts])
    assert Redactor().value(first) == (first, [])


def test_lone_surrogates_and_nul_do_not_disturb() -> None:
    """What a text may hold besides is checked elsewhere."""
    assert Redactor().text(f"\udcff\x00{KEY}\ud800 %00 \\ud800")[0] == "\udcff\x00[redacted:github]\ud800 %00 \\ud800"


def test_the_value_given_is_not_changed() -> None:
    """``value`` returns a copy."""
    given: dict[str, Any] = {"password": "hunter2", "list": [{"note": KEY}]}
    kept = json.dumps(given)
    Redactor().value(given)
    assert json.dumps(given) == kept


def test_a_receipt_shows_lengths_as_classes_and_long_names_as_lengths() -> None:
    """Neither the exact length nor a long name is told."""
    lengths = {1: "1-16", 16: "1-16", 17: "17-64", 64: "17-64", 256: "65-256", 4096: "257-4096", 4097: "4097-"}
    assert {length: receipt(None, "x", length)["length"] for length in lengths} == lengths
    assert shown_path(((None, "a" * 65), 3)) == "<member, 65 characters>.3"
    assert shown_path(None) == ""


def test_every_kind_of_event_is_redacted() -> None:
    """What is true of a use is true of the others."""
    body, receipts = _redacted(Compromise(leaked="token", how_known=f"found {KEY} in a prompt log"))
    assert body["how_known"] == "found [redacted:github] in a prompt log"
    assert [each["path"] for each in receipts] == ["how_known"]


def test_many_texts_come_to_what_each_comes_to() -> None:
    """Searched together or one by one, by a class of one's own too: known secrets, patterns, what is written inside."""

    class Own(Redactor):
        def text(self, text: str) -> tuple[str, list[Receipt]]:
            return f"{super().text(text)[0]}!", []

    secret = secrets.token_urlsafe(24)
    known = KnownSecrets()
    known.remember(secret)
    texts = ["plain", f"it said {secret} again", "--token", "abcdef", 'body {"password": "x"}', "1", ""]
    redactor = Redactor(known=known)
    assert redactor.texts(texts) == [redactor.text(text) for text in texts]
    assert secret not in redactor.texts(texts)[1][0]
    assert Own().texts(["plain"]) == [("plain!", [])]
