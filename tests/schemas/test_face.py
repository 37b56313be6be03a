"""The public face of ``counterfoil.schemas``."""

from __future__ import annotations

import secrets
from inspect import getdoc, isclass, isfunction, ismodule
from textwrap import dedent

from counterfoil import schemas


def test_all_is_what_is_there() -> None:
    """``__all__`` has every public name, sorted, and nothing else."""
    public = [name for name, value in vars(schemas).items() if not name.startswith("_") and not ismodule(value)]
    assert schemas.__all__ == sorted(public)


def test_the_quick_start_runs() -> None:
    """The example in the docstring makes an event."""
    example = dedent((getdoc(schemas) or "").partition("::\n")[2])
    names: dict[str, object] = {"secrets": secrets, "secret": secrets.token_urlsafe(32)}
    exec(example.replace("\nCredentialUse(", "\nuse = CredentialUse("), names)
    assert isinstance(names["use"], schemas.CredentialUse)


def test_every_public_object_says_what_it_is_for() -> None:
    """Each class and function of the face has a docstring of its own."""
    described = {name: value for name, value in vars(schemas).items() if isclass(value) or isfunction(value)}
    assert len(described) > 80
    assert [name for name, value in described.items() if not value.__doc__] == []
