"""What the table of attributes can export, for trying the default scrubbers on. Needs the group backends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, get_args, get_origin

import pytest

from counterfoil.exporters.otel_attributes import ATTRIBUTES, TRUNCATED
from counterfoil.schemas import Vocabulary
from counterfoil.schemas.events import EVENT_TYPES
from counterfoil.schemas.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterfoil.exporters.otel_attributes import Attribute

Value: TypeAlias = str | int | bool | list[str]

ROWS: Final = (*ATTRIBUTES, TRUNCATED)
DIGEST: Final = "k7yVmR1cT0oXq2dZ5sLhBg"
TYPICAL: Final = {
    "counterfoil.entry.chain_hash": "3f" * 32,
    "counterfoil.entry.leaf_hash": "a0" * 32,
    "counterfoil.event.id": "01940000-0000-7000-8000-000000000001",
    "counterfoil.event.recorded_at": "2026-11-23T12:00:00.000000Z",
    "mcp.method.name": "tools/call",
    "mcp.protocol.version": "2026-07-28",
    "counterfoil.token.fingerprint": f"hmac:956ef0cd:{DIGEST}",
    "counterfoil.token.issuer": "https://as.example",
    "counterfoil.token.audience": ["https://api.example", "urn:example:mail"],
    "counterfoil.token.scopes": ["openid", "mail.read", "mail:send"],
    "counterfoil.key.thumbprint": f"{DIGEST}{DIGEST[:21]}",
    "counterfoil.signer.executable": "/usr/bin/python3.11",
    "counterfoil.signer.workload_id": "spiffe://example/agent",
    "counterfoil.resource.uri": "https://api.example/mail/7?limit=",
    "counterfoil.approval.shown_digest": f"hmac:956ef0cd:{DIGEST}",
    "counterfoil.action.name": "send_mail",
    "counterfoil.action.method": "tools/call",
    "counterfoil.truncated": ["counterfoil.token.audience", "counterfoil.resource.uri"],
    "server.address": "api.example",
    "url.path": "/mail/7",
    "error.type": "ReadTimeout",
}
"""Values that are no terms of a vocabulary, as they mostly are. Other names get a word, a number, a list."""


@pytest.fixture
def typical() -> dict[str, Value]:
    """Give every attribute of the table with a typical value."""
    default: dict[str, Value] = {"string": "mail-7", "int": 7, "boolean": True, "string[]": ["one", "two"]}
    return {row.name: TYPICAL.get(row.name, default[row.type]) for row in ROWS}


@pytest.fixture
def unlucky() -> dict[str, Value]:
    """Give every attribute that others can name as they like, with a name that holds the words of scrubbers."""
    ours = {"gen_ai.operation.name", "http.request.method", "url.scheme"}
    words: dict[str, Value] = {"string": "https://auth.example/session", "string[]": ["urn:auth", "cookie jar"]}
    return {row.name: words[row.type] for row in ROWS if row.type in words and row.name not in ours}


@pytest.fixture
def spans_of_terms() -> list[dict[str, Value]]:
    """Give the attributes of so many spans that each attribute says every term that it can say."""
    terms = {row: sorted(set(_terms(row))) for row in ROWS}
    longest = max(map(len, terms.values()))
    return [
        {row.name: [found[n]] if row.type == "string[]" else found[n] for row, found in terms.items() if n < len(found)}
        for n in range(longest)
    ]


@pytest.fixture
def page() -> str:
    """Give ``docs/opentelemetry.md``."""
    return Path(__file__).parents[2].joinpath("docs/opentelemetry.md").read_text(encoding="utf-8")


@pytest.fixture
def listed(page: str) -> Callable[[str], list[str]]:
    """Give a function that returns what the page quotes between two marks."""
    return lambda mark: re.findall(r"`([^`]+)`", page.split(f"<!-- {mark} -->")[1])


def _terms(row: Attribute) -> Iterator[str]:
    """Yield the terms that can stand where the table says that the value comes from, in any kind of event."""
    for path in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", row.source):
        for event in EVENT_TYPES.values():
            yield from _terms_at(event, path.split("."))


def _terms_at(part: type[Part], path: list[str]) -> Iterator[str]:
    """Follow a path through the models, to a vocabulary, to a literal, or to a list of parts that have some."""
    field = part.model_fields.get(path[0])
    for each in _made_of(field.annotation if field else None):
        if isinstance(each, Vocabulary):
            yield each.value
        elif isinstance(each, type) and issubclass(each, Vocabulary):
            yield from (term.value for term in each)
        elif isinstance(each, type) and issubclass(each, Part):
            steps = path[1:2] or (each.model_fields if field and get_origin(field.annotation) is tuple else [])
            for step in steps:
                yield from _terms_at(each, [step, *path[2:]])


def _made_of(annotation: object) -> Iterator[object]:
    """Yield what is inside an annotation: the members of a union, of a list, the values of a literal."""
    inner = get_args(annotation)
    for each in inner:
        yield from _made_of(each)
    if not inner:
        yield annotation
