"""Vocabularies: closed for a caller, open for a reader."""

from __future__ import annotations

import copy
import pickle
from contextlib import suppress

import pytest

from counterfoil.schemas.terms import Vocabulary, is_reading, keep_unlisted_terms


class Colour(Vocabulary):
    """A vocabulary of this test."""

    RED = "red", "the colour of the first test"


def test_an_unlisted_term_is_refused() -> None:
    """A caller's term that the list does not have is no term."""
    with pytest.raises(ValueError, match="not a valid Colour"):
        Colour("green")


def test_a_reader_keeps_an_unlisted_term() -> None:
    """A reader gets a term that a newer release added, as it stands."""
    with keep_unlisted_terms():
        green = Colour("green")
    assert isinstance(green, Colour)
    assert green == "green"
    assert green.source == "a newer release"


def test_keeping_ends_with_the_block() -> None:
    """Reading is over when its block is, also when the block raised."""
    with keep_unlisted_terms():
        assert is_reading()
    with suppress(KeyError), keep_unlisted_terms():
        raise KeyError
    assert not is_reading()


def test_an_unlisted_term_is_not_shown() -> None:
    """An unlisted term is whatever text stood there, so that its repr does not show it."""
    with keep_unlisted_terms():
        green = Colour("green")
    assert repr(green) == "<Colour.UNLISTED: 5 characters>"
    assert repr(Colour.RED) == "<Colour.RED: 'red'>"


def test_unlisted_terms_do_not_pile_up() -> None:
    """Terms that were read are not remembered: a hostile log cannot fill the memory."""
    with keep_unlisted_terms():
        first, second = Colour("green"), Colour("green")
    assert first is not second
    assert list(Colour) == [Colour.RED]


def test_terms_survive_pickling_and_copying() -> None:
    """Listed and unlisted terms reach another process."""
    with keep_unlisted_terms():
        green = Colour("green")
    assert pickle.loads(pickle.dumps(green)) == green
    assert copy.deepcopy(green) == green
    assert pickle.loads(pickle.dumps(Colour.RED)) is Colour.RED
