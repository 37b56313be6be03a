"""The search for leaks finds a secret in every form and place, so that its silence means something."""

from __future__ import annotations

import secrets
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Leaks = Callable[..., list[str]]

_SECRET = secrets.token_urlsafe(32)


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user :"])
@pytest.mark.parametrize("after", ["", ";", "; path=/"])
def test_base64_at_any_offset(encode: Callable[[bytes], bytes], before: str, after: str, leaks: Leaks) -> None:
    """Whatever stands around it, a secret within a longer text is found in its base64."""
    assert leaks(_SECRET, encode(f"{before}{_SECRET}{after}".encode()))


@pytest.mark.parametrize("form", [_SECRET.encode(), _SECRET.encode().hex().encode(), _SECRET.encode("utf-16-le")])
def test_other_forms(form: bytes, leaks: Leaks) -> None:
    """Raw, in hexadecimal, and in two bytes a character."""
    assert leaks(_SECRET, b"before" + form + b"after")


def test_every_kind_of_place(tmp_path: Path, leaks: Leaks) -> None:
    """Texts, bytes, files and folders are searched; an innocent place is silent."""
    file = tmp_path / "inner" / "file"
    file.parent.mkdir()
    file.write_text(f"token={_SECRET}")
    places: list[Any] = [f"Bearer {_SECRET}", _SECRET.encode(), file, tmp_path]
    assert [len(leaks(_SECRET, place)) for place in places] == [1, 1, 1, 1]
    assert len(leaks(_SECRET, *places)) == 4
    assert leaks(_SECRET, "innocent", b"innocent", _SECRET[:-1]) == []
