"""The redactor: what removes secrets from an event before its first byte is written.

Position first (``positions``), pattern second (``patterns``), URIs by a rule of their own (``uri``); and whatever was
seen to be a secret (``known``). Our own typed fields are never matched by name; of them only those marked ``Hostile``
are looked at (``plan``).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from .known import KNOWN, KnownSecrets
from .plan import FREE_FORM, TEXT, URI, Field, plan_of
from .reading import Unplanned, read_out
from .receipt import Receipt, receipt
from .run import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic import JsonValue

    from counterfoil.schemas import Event, FingerprintKey

_MOST_RECEIPTS = 256


class Redactor:
    """Removes credentials from events, free-form JSON, text and URIs. Keeps no value; safe to share between threads.

    ``keep_query`` names query parameters whose values may stay in recorded URIs; ``known`` are secrets that were seen,
    which are looked for everywhere: those of this process unless given. With a ``fingerprint_key`` the receipt of a
    credential has its fingerprint, if it is long and random; a log gives its own. Each method returns the receipts of
    what it removed, in the JSON form of ``schemas.Redaction``. What was redacted before is left as it is.
    """

    _key: FingerprintKey | None = None

    def __init__(
        self,
        *,
        keep_query: Collection[str] = (),
        known: KnownSecrets | None = KNOWN,
        fingerprint_key: FingerprintKey | None = None,
    ) -> None:
        self._keep_query = frozenset(keep_query)
        self._known = known
        self._key = fingerprint_key

    def keyed(self, key: FingerprintKey) -> Self:
        """Return this redactor, with this key if it had none."""
        if self._key is not None:
            return self
        redactor = copy(self)
        redactor._key = key  # noqa: SLF001 -- a copy of this object
        return redactor

    def event(self, body: dict[str, Any]) -> list[Receipt]:
        """Redact the JSON form of an event in place.

        A field on which redaction fails becomes ``[redacted:error]``, and the rest goes on. The receipts beyond 256 are
        counted in one, so that they cannot outgrow the event.
        """
        run = self._run()
        run.part(body, plan_of(str(body.get("kind"))), None)
        return _bounded(run.findings.search())

    def read(
        self, event: Event, context: dict[str, Any], parts: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Receipt]] | None:
        """Read an event, and what surrounds it, out of its models: redacted, its members in canonical order.

        It is what ``event`` would make of its JSON form, in half the time. ``None`` where only that can be redacted.
        ``context`` and ``parts`` are redacted in place.
        """
        if type(self) is not Redactor:  # another class may have rules of its own
            return None
        run = self._run()
        try:
            body = read_out(event, context, parts, run)
        except Unplanned:
            return None
        return body, _bounded(run.findings.receipts)

    def value(self, value: JsonValue) -> tuple[JsonValue, list[Receipt]]:
        """Return a redacted copy of free-form JSON."""
        return self._one(value, FREE_FORM)

    def text(self, text: str) -> tuple[str, list[Receipt]]:
        """Return the text without the secrets that the patterns recognise."""
        return self._one(text, TEXT)

    def texts(self, texts: Sequence[str]) -> list[tuple[str, list[Receipt]]]:
        """Do for many texts what ``text`` does for one, in less time."""
        if type(self) is not Redactor:  # another class may have rules of its own
            return [self.text(text) for text in texts]
        run, holder = self._run(), [*texts]
        for place in range(len(holder)):
            run.field(holder, place, TEXT, (None, place))
        receipts: list[list[Receipt]] = [[] for _ in texts]
        for each in run.findings.search():
            number, _, path = each["path"].partition(".")
            receipts[int(number)].append({**each, "path": path})
        return [*zip(holder, receipts, strict=True)]

    def uri(self, uri: str) -> tuple[str, list[Receipt]]:
        """Return the URI without userinfo, query values and fragment, and without secrets in its path."""
        return self._one(uri, URI)

    def _run(self) -> Run:
        return Run(self._keep_query, self._known, self._key)

    def _one(self, value: Any, field: Field) -> tuple[Any, list[Receipt]]:
        run, holder = self._run(), [value]
        run.field(holder, 0, field, None)
        receipts = run.findings.search()
        return holder[0], receipts


def _bounded(receipts: list[Receipt]) -> list[Receipt]:
    more = len(receipts) - _MOST_RECEIPTS
    if more <= 0:
        return receipts
    return [*receipts[:_MOST_RECEIPTS], receipt(((None, "context"), "redactions"), "more", more)]
