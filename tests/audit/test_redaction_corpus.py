"""The corpus: credentials of every format in every place are found, benign values stay, and the page says so."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import benign
import pytest
import rates
from formats import FORMATS
from places import PLACES

from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from pydantic import JsonValue

    from counterfoil.audit.redaction.receipt import Receipt


@pytest.fixture(scope="module")
def missed() -> set[tuple[str, str]]:
    """Give the format and the place of what is missed in a corpus that is drawn for this run."""
    return {at for at, hit in rates.found(secrets.randbits(32)).items() if not hit}


def test_what_has_a_form_is_found_wherever_it_stands(missed: set[tuple[str, str]]) -> None:
    """Also where its place says nothing: in prose, as a path, in JSON in JSON, between Chinese characters."""
    formless = {form.name for form in FORMATS if form.formless}
    assert {at for at in missed if at[0] not in formless} == set()


def test_what_a_name_tells_is_found_whatever_its_form(missed: set[tuple[str, str]]) -> None:
    """Passwords, PINs and opaque tokens go where a header, a member, an option or a setting says what they are."""
    told = {place.name for place in PLACES if place.told}
    assert {at for at in missed if at[1] in told} == set()


def test_the_corpus_is_as_large_as_it_says() -> None:
    """Names are unique; there are sixty formats and more, and thousands of benign values."""
    assert len({form.name for form in FORMATS}) == len(FORMATS) >= 60
    assert len({place.name for place in PLACES}) == len(PLACES)
    assert sum(map(len, benign.BENIGN.values())) > 5_000


def test_benign_values_stay() -> None:
    """Fewer than one in two hundred is changed, and all of those are of the one kind that looks like OAuth."""
    wrong = rates.false_positives()
    assert sum(map(len, wrong.values())) < sum(map(len, benign.BENIGN.values())) / 200
    assert {kind for kind, values in wrong.items() if values} == {"URLs with a product's `code=`"}


def test_a_missing_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded: without redaction everything counts as missed, so that silence means something."""

    def unredacted(_: Redactor, value: JsonValue) -> tuple[JsonValue, list[Receipt]]:
        return value, []

    monkeypatch.setattr(Redactor, "value", unredacted)
    assert not any(rates.found().values())


def test_the_page_has_the_tables() -> None:
    """The page is what the command writes."""
    assert rates.tables() in rates.PAGE.read_text("utf-8")
