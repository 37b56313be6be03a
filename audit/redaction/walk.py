"""The walk through free-form JSON: copy it, and replace by position on the way.

Scalars are replaced and containers kept; below a name that is a secret every scalar is replaced, except ``true``,
``false``, ``null`` and the empty string, which hold none. A member whose *name* is a secret by pattern is renamed.
Beyond ``MAX_DEPTH`` levels a container is replaced as a whole, so that the result can be recorded.

A name can stand in five ways: as the member's name; in a list of ``[name, value]``; in an object of ``name`` (or
``key``) and ``value``; as an option before its value in a list of arguments; and before its value in ``rawHeaders``.
"""

from __future__ import annotations

import re
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from counterfoil.schemas.domain import MAX_DEPTH

from .plan import FREE_FORM, Field
from .positions import COOKIE_ATTRIBUTES, LOOKS, SCHEMES, Position, hint_of, inner_of, position_of
from .receipt import Path, Receipt, depth_of, is_marker, marker, member_of
from .search import known_names, suspects, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .known import KnownSecrets

_CREDENTIALS = re.compile(rf"(\s*(?:{'|'.join(SCHEMES)})\s+)(\S.*)", re.IGNORECASE | re.DOTALL)
_RAW_HEADERS = re.compile(r"raw_?headers", re.IGNORECASE)
_OPTION = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]{0,63})")
_WITH_ARGUMENT = "argv="
"""The rule for an option with its argument behind it, of which only that goes."""
_COOKIE_NAME = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\s*")
_LETTERS = re.compile(r"[A-Za-z_.$-]{1,40}")
_NO_SECRET = re.compile(r"[A-Za-z0-9_.$-]{1,15}")  # shorter than any token, and without what sets a value apart

_NOT_WITHIN_OBJECTS: dict[str | None, str | None] = {
    **dict.fromkeys(LOOKS),
    "authorization": "header",
    "cookie": "header",
    "set_cookie": "header",
}
"""Rules that read a header's value, and what becomes of them where an object stands in its place."""

_Place = TypeVar("_Place", str, int)
_Container = TypeVar("_Container", dict[str, Any], "Sequence[Any]")


class Collector(Protocol):
    """What collects the findings of a walk (``findings``)."""

    waiting: list[tuple[Any, Any, Path, Field]]
    """Strings to be searched by pattern: where each one is, its path, and how it is redacted."""
    known: KnownSecrets | None
    """What is searched for as well."""

    def removed(self, path: Path, rule: str, length: int, secret: str = "") -> None:
        """Leave the receipt of one value; ``secret`` where it is a credential."""
        ...

    def search(self) -> list[Receipt]:
        """Search what waits, and return all receipts."""
        ...


class Walk:
    """Copies free-form JSON without what stands where secrets stand."""

    def __init__(self, findings: Collector) -> None:
        self._findings = findings

    def put(self, into: Any, key: Any, value: Any, path: Path, rule: str | None = None) -> None:
        """Copy ``value`` to ``into[key]``. ``rule`` removes whatever scalars there are."""
        if isinstance(value, str):
            if rule is None or (rule in LOOKS and not LOOKS[rule](value)):
                into[key] = value
                self._findings.waiting.append((into, key, path, FREE_FORM))
            else:
                into[key] = self._replaced(rule, value, path)
        elif isinstance(value, dict):
            into[key] = self._contained(self._object, cast("dict[str, Any]", value), path, rule)
        elif isinstance(value, list | tuple):
            into[key] = self._contained(self._list, cast("Sequence[Any]", value), path, rule)
        elif isinstance(value, bytes | bytearray):
            self.put(into, key, value.decode("utf-8", "backslashreplace"), path, rule)
        elif rule is None or value is None or isinstance(value, bool) or (rule in LOOKS and not _is_pin(rule, value)):
            into[key] = value
        else:
            into[key] = self._hidden(rule, str(value), path)

    def put_all(self, values: list[Any], names: Sequence[str | None], path: Path, *, form: bool) -> None:
        """Redact values in place, as members of these names, or of a form. One without a name stands by itself."""
        named = [(place, name, values[place]) for place, name in enumerate(names) if name]
        rules = _rules(named, "form" if form else member_of(path)) if named else {}
        for place, name in enumerate(names):
            step = (path, marker("name") if self._is_secret(name) else name) if name else path
            self.put(values, place, values[place], step, rules.get(place))

    def _contained(
        self, copy: Callable[[_Container, Path, str | None], Any], value: _Container, path: Path, rule: str | None
    ) -> Any:
        if depth_of(path) < MAX_DEPTH:
            return copy(value, path, rule)
        self._findings.removed(path, "depth", len(value))
        return marker("depth")

    def _object(self, members: dict[str, Any], path: Path, rule: str | None) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        if rule in _NOT_WITHIN_OBJECTS:
            rule = _NOT_WITHIN_OBJECTS[rule]
        plain, known = _plain.issuperset(members), self._known_among(members)
        rules = {} if rule or plain else _rules(_named(members), member_of(path))
        shown = {} if plain and not known else _shown_names(members, known)
        for name, value in members.items():
            new = shown.get(name, name)
            if new is not name:
                self._findings.removed((path, new), "name", len(name))
            self.put(copy, new, value, (path, new), rule or rules.get(name))
        return copy

    def _list(self, items: Sequence[Any], path: Path, rule: str | None) -> list[Any]:
        if rule is None and _are_pairs(items):
            return self._pairs(items, path)
        copy: list[Any] = [None] * len(items)
        rules: dict[int, str] = {}
        if rule is None:
            rules = _after_names(items, member_of(path))
        elif rule == "basic" and len(items) == 2:  # ``auth=("me", "…")``
            rules = {1: "member"}
        for index, item in enumerate(items):
            self.put(copy, index, item, (path, index), rules.get(index, rule))
        return copy

    def _pairs(self, pairs: Sequence[tuple[str, Any]], path: Path) -> list[Any]:
        copy: list[Any] = [[None, None] for _ in pairs]
        rules = _rules([(index, name, value) for index, (name, value) in enumerate(pairs)], member_of(path))
        for index, (name, value) in enumerate(pairs):
            step = path, index
            if depth_of(step) < MAX_DEPTH:
                self.put(copy[index], 0, name, (step, 0))
                self.put(copy[index], 1, value, (step, 1), rules.get(index))
            else:
                self.put(copy, index, pairs[index], step)
        return copy

    def _replaced(self, rule: str, text: str, path: Path) -> str:
        if rule in {"cookie", "set_cookie"}:
            return ";".join([self._cookie(rule, place, part, path) for place, part in enumerate(text.split(";"))])
        found = _CREDENTIALS.fullmatch(text) if rule == "authorization" else None
        scheme, secret = found.groups() if found else ("", text)
        if rule == _WITH_ARGUMENT:
            rule, (scheme, secret) = "argv", _split(text)
        return f"{scheme}{self._hidden(rule, secret, path)}"

    def _cookie(self, rule: str, place: int, part: str, path: Path) -> str:
        """Keep a cookie's name, and the attributes after it. What is no cookie keeps nothing (RFC 6265 §4.1.1)."""
        name, _, value = part.partition("=")
        attribute = rule == "set_cookie" and place and name.strip().lower() in COOKIE_ATTRIBUTES and "=" not in value
        if attribute and not self._is_secret(part):
            return part
        if _COOKIE_NAME.fullmatch(name) and not self._is_secret(name) and "=" in part:
            return f"{name}={self._hidden(rule, value, path)}"
        return self._hidden(rule, part, path)

    def _is_secret(self, name: str) -> bool:
        return _is_secret(name) or bool(self._known_among([name]))

    def _known_among(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that hold a known secret."""
        known = self._findings.known
        return known_names(names, known) if known else []

    def _hidden(self, rule: str, text: str, path: Path) -> str:
        if not text.strip() or is_marker(text):
            return text
        self._findings.removed(path, rule, len(text), text)
        return marker(rule)


def _named(members: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return each member with the name that it goes by: ``{"name": "Cookie", "value": …}`` is a ``Cookie``."""
    label = members.get("name", members.get("key")) if "value" in members else None
    if not isinstance(label, str):
        return [(name, name, value) for name, value in members.items()]
    return [
        (name, label if name == "value" else name, value)
        for name, value in members.items()
        if name not in {"name", "key"}
    ]


def _rules(named: list[tuple[_Place, str, Any]], within: str) -> dict[_Place, str]:
    """Return the rule that removes the value at each place, for those places where one does."""
    words = [_word(name) for _, name, _ in named]
    if not any(words):
        return {}
    around = inner_of(within).union(*[word.hint for word in words if word])
    return {
        place: rule
        for (place, _, value), word in zip(named, words, strict=True)
        if word and word.position and (rule := _rule(word.position, around, value))
    }


def _is_pin(rule: str, value: Any) -> bool:
    return rule == "digits" and LOOKS[rule](str(value))


def _rule(position: str | frozenset[str], around: frozenset[str], value: Any) -> str | None:
    if isinstance(position, str):
        return position
    holding = position & around
    if isinstance(value, dict):  # an ambiguous name is no reason to empty an object, unless it is a key's own part
        holding &= {"jwk", "cnf"}
    return min(holding, default=next((look for look in LOOKS if look in position), None))


def _are_pairs(items: Sequence[Any]) -> bool:
    return bool(items) and all(
        isinstance(item, list | tuple) and _is_pair(cast("Sequence[Any]", item)) for item in items
    )


def _is_pair(item: Sequence[Any]) -> bool:
    return len(item) == 2 and isinstance(item[0], str)


def _after_names(items: Sequence[Any], within: str) -> dict[int, str]:
    """Return the rules for what follows a name in a flat list.

    Arguments follow ``--token``, ``--password`` … or, as name and secret, ``-u``; all of ``--password=a b`` is one. In
    ``rawHeaders`` values follow names.
    """
    if _RAW_HEADERS.fullmatch(within) and all(isinstance(item, str) for item in items):
        return _rules([(place, items[place - 1], items[place]) for place in range(1, len(items), 2)], "headers")
    found = {
        place: _WITH_ARGUMENT
        for place, item in enumerate(items)
        if isinstance(item, str) and item[:1] == "-" and "=" in item and _takes_secret(_split(item)[0][:-1], "")
    }
    for place, (option, argument) in enumerate(pairwise(items), start=1):
        if isinstance(option, str) and isinstance(argument, str) and _takes_secret(option, argument):
            found[place] = "argv"
    return found


def _split(option: str) -> tuple[str, str]:
    name, equals, argument = option.partition("=")
    return name + equals, argument


def _takes_secret(option: str, argument: str) -> bool:
    found = _OPTION.fullmatch(option)
    if found is None:
        return False
    word = _word(found[1])
    if word is None or word.position is None:
        return option in {"-u", "--user"} and ":" in argument
    return isinstance(word.position, str) or "opaque" in word.position


class _Word(NamedTuple):
    """What a name says about its own value, and about the members beside it."""

    position: Position
    hint: frozenset[str]


_words: dict[str, _Word | None] = {}
_plain: set[str] = set()
"""Member names met before that are words, with what each one says; and those that say nothing."""


def _word(name: str) -> _Word | None:
    try:
        return _words[name]
    except KeyError:
        word = _Word(position_of(name), hint_of(name))
    told = word if word.position or word.hint else None
    if len(_words) < 4096 and _LETTERS.fullmatch(name) and not _is_secret(name):
        _words[name] = told
        if word.position is None and name != "value":  # what "value" holds depends on the "name" beside it
            _plain.add(name)
    return told


def _is_secret(name: str) -> bool:
    """Whether a member's name is itself a secret, by pattern."""
    if name in _words or _NO_SECRET.fullmatch(name):
        return False
    return any(without_secrets(name, patterns)[1] for patterns in suspects([name]).values())


def _shown_names(members: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the new name of each member whose name is a secret. Sorted, so that their order tells nothing."""
    hidden = sorted([name for name in members if name in known or _is_secret(name)])
    free = (new for number in count(1) if (new := marker("name" if number == 1 else f"name:{number}")) not in members)
    return dict(zip(hidden, free, strict=False))
