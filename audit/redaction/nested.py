"""What is written inside a string: JSON, a form, settings on lines. It is read, redacted by position, and written back.

1. A text that is JSON is redacted as JSON and written anew. Of JSON with other text around it only the JSON is.
2. A form is redacted as what it says once decoded, and so are a query by itself and what is percent-encoded whole.
3. Lines of ``NAME=value`` or ``name: value`` are settings: environments, ``.env``, ``.npmrc``, YAML, header blocks. A
   value reaches to the end of its line.

What has nothing to hide stays byte for byte. The strings inside are read alike, ``DEEPEST`` levels down; each level
costs a few passes over its text at most, whatever the text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from .json_reader import Reader
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .receipt import Path
    from .walk import Collector

DEEPEST: Final = 6
"""Levels of strings within strings. Any JSON deeper than that is replaced as a whole."""


class Piece(NamedTuple):
    """A part of a text that can be read."""

    start: int
    end: int
    value: Any
    """What it reads as."""
    name: str | None = None
    """The name beside it. Without one it is JSON, or a text in quotes."""
    form: bool = False
    """Whether it is percent-encoded."""
    repeats: bool = False
    """Whether a member is repeated in it, so that reading it has lost the others."""


_MOST_PARTS = 16
_MOST_PASSES = 4
_PART = re.compile(r"""\{(?=\s*["}])|\[(?=\s*[\[{"])""")

_ALONE = re.compile(r"[^\s\0]+")
_QUERY = re.compile(r"[^?#=]*[?#]")
_FORM = re.compile(r"[^\s\0=&#{}\"'<>]{1,128}=")
_PARAMETER = re.compile(r"(?:(?<=[?&#])|\A)([^=&#]{1,128})=([^&#]+)")
_SAFE = "[]:/,@!*'()~-._$"
"""What stands in forms as it is, besides letters and digits. Markers do."""

_ESCAPED = re.compile(r"[A-Za-z0-9%._~*+,:!'()@$;/-]{8,}")
_STRUCTURE = re.compile(r"%(?:25){0,4}(?:7B|5B|22|3D|26)", re.IGNORECASE)
"""Brackets, quotes and separators, percent-encoded once or more."""

_USER = re.compile(r"://[^/?#@\s]{1,512}@")
"""A URL with a password, as it is: decoded, an ``@`` or ``/`` in that would seem to end it (RFC 3986 §2.4)."""

_SETTING = re.compile(
    r"""\s{0,64}(?:-\s{1,8})?(?:(?:export|set|setx|env|declare -x)\s{1,8})?["']?"""
    r"""([A-Za-z_][\w.-]{0,127}|//[^\s=]{1,200}:_\w{1,30})["']?\s{0,32}(?:=(?!=)|:(?=\s|\Z))[ \t]{0,32}"""
)
_BETWEEN = re.compile(r"\s*(?:[#;!].*|\[[^\]]*\]\s*|-{3,}\s*|[{}(),\[\]]*\s*)", re.DOTALL)
_MOST_OTHERS = 3
"""Lines that say something else, beyond as many as there are settings."""
_BREAK = re.compile(r"[\n\r\0]")
_LINE = re.compile(r"[^\r\n\0]+")
_QUOTED = re.compile(r"""(["'])(.*)\1[,;]?\s*""", re.DOTALL)
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----"
    r"(?s:.*?)(?:-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
"""A private key, which is more than a line."""
_BLOCK = re.compile(r"[|>][+-]?[0-9]?\s*")


def pieces_of(text: str) -> list[Piece]:
    """Return what can be read of a text. Where nothing can, it is plain.

    Raises ``RecursionError`` for JSON without a bottom.
    """
    return _json(text) or _form(text) or _settings(text) or [*_parts(text)] or [*_escaped(text)]


def is_json(text: str, pieces: list[Piece]) -> bool:
    """Whether the text is JSON and nothing else, so that all of it is in the pieces."""
    return (
        len(pieces) == 1
        and pieces[0].name is None
        and not pieces[0].form
        and pieces[0].end - pieces[0].start == len(text.strip())
    )


def without_values(text: str, pieces: list[Piece], path: Path, inner: Collector) -> str:
    """Return the text with its pieces redacted. What was removed stands in ``inner``."""
    walk, values = Walk(inner), [piece.value for piece in pieces]
    walk.put_all(values, [piece.name for piece in pieces], path, form=any(piece.form for piece in pieces))
    for piece in pieces:
        if piece.repeats:
            inner.removed(path, "repeated", piece.end - piece.start)
    if not inner.search():
        return text
    written: list[str] = []
    kept_to = 0
    for piece, value in zip(pieces, values, strict=True):
        if piece.repeats or value != piece.value:
            written += text[kept_to : piece.start], _written(piece, text[piece.start : piece.end], value)
            kept_to = piece.end
    return "".join(written) + text[kept_to:]


def _written(piece: Piece, before: str, value: Any) -> str:
    if piece.form:
        return quote_plus(value, _SAFE) if "+" in before and "%20" not in before else quote(value, _SAFE)
    if piece.name is not None:
        return cast("str", value)
    spaced = '": ' in before or ", " in before
    indent = 2 if "\n" in before else None
    separators = ("," if indent or not spaced else ", ", ": " if indent or spaced else ":")
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=before.isascii())


def _json(text: str) -> list[Piece]:
    content = text.strip()
    if content[:1] not in {"{", "[", '"'} or content[-1] not in {"}", "]", '"'}:
        return []
    start = text.index(content[0])
    try:
        value, end, repeats = Reader().decode(text, start)
    except ValueError:
        return []
    return [Piece(start, end, value, repeats=repeats)] if end == start + len(content) else []


def _parts(text: str) -> Iterator[Piece]:
    """Yield the JSON in a text. Gives up after a few attempts, so that no text can make it slow."""
    at = spent = 0
    for _ in range(_MOST_PARTS):
        begins = _PART.search(text, at)
        if begins is None or spent > _MOST_PASSES * len(text):
            return
        start, at = begins.span()
        try:
            value, end, repeats = Reader().decode(text, start)
        except json.JSONDecodeError as error:
            spent += error.pos - start
        except ValueError:  # NaN, or digits without end
            return
        else:
            yield Piece(start, end, value, repeats=repeats)
            at = end


def _form(text: str) -> list[Piece]:
    """Return the parameters of a form, or of the query and the fragment of a URL that stands alone."""
    if "=" not in text or not _ALONE.fullmatch(text):
        return []
    query = _QUERY.match(text)
    start = query.end() if query else 0
    if not _FORM.match(text, start):
        return []
    pieces: list[Piece] = []
    for part in _PARAMETER.finditer(text, start):
        name, value = part.groups()
        decoded = ("+" in value or "%" in value) and not _USER.search(value)
        reads = unquote_plus(value) if decoded else value
        pieces.append(Piece(*part.span(2), reads, unquote(name), form=True))
    return pieces


def _escaped(text: str) -> Iterator[Piece]:
    if "%" not in text or not _STRUCTURE.search(text):
        return
    for run in _ESCAPED.finditer(text):
        if _STRUCTURE.search(run[0]) and not _USER.search(run[0]):
            yield Piece(*run.span(), unquote(run[0]), form=True)


def _settings(text: str) -> list[Piece]:
    if not _BREAK.search(text):
        return []
    pieces: list[Piece] = []
    others, block, name, known_to = 0, -1, "", 0
    for line in _LINE.finditer(text):
        start, end = line.span()
        if start < known_to:
            continue
        indent = len(line[0]) - len(line[0].lstrip())
        if indent > block >= 0:
            pieces.append(Piece(start + indent, end, text[start + indent : end], name))
            continue
        found, block = _SETTING.match(text, start, end), -1
        if found is None:
            others += not _BETWEEN.fullmatch(text, start, end)
            if others > len(pieces) + _MOST_OTHERS:
                return []
            continue
        start, name = found.end(), found[1]
        if _BLOCK.fullmatch(text, start, end):
            block = indent
        elif start < end:
            quoted = _QUOTED.fullmatch(text, start, end)
            start, end = quoted.span(2) if quoted else (start, end)
            begins = text.find("-----BEGIN ", start, end)
            if begins >= 0 and (
                key := _PEM.match(text, begins)
            ):  # or its other lines would stand there, and nothing would tell them
                end = known_to = max(key.end(), end)
            pieces.append(Piece(start, end, text[start:end], name))
    return pieces if len(pieces) > 1 else []
