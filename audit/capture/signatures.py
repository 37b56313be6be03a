"""Signed requests: AWS Signature Version 4, signed URLs, HTTP Message Signatures (RFC 9421).

Here the credential itself is not sent. The fingerprint is therefore that of the public id of the key, except for a
signed URL, which anybody who has it can use: there it is that of the signature.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import Basis, BindingMethod, Lifetime, Presentation, Sha256, TokenClass

from .claims import instant_of, lifetime_between, name_of, names_of
from .proofs import ProofMark
from .sighting import Sighting, octets
from .structured_fields import InnerList, Item, Unreadable, parameters_text, read_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .request import HttpRequest
    from .structured_fields import Member


def sight_sigv4(credentials: str, presentation: Presentation) -> Sighting:
    """Sight ``AWS4-HMAC-SHA256``: key id, credential scope, names of the signed headers."""
    pairs = (part.strip().partition("=") for part in credentials[:_MAX_INPUT].split(","))
    parts = {name: value for name, _, value in pairs}
    sighting = _signer(TokenClass.SIGV4_REQUEST, presentation, parts.get("Credential", ""))
    sighting.seen["names"] = names_of(parts.get("SignedHeaders", "").split(";"))
    return _signed(sighting, BindingMethod.SIGV4_HMAC, parts.get("Signature", ""))


def _signer(token_class: TokenClass, presentation: Presentation, credential: str) -> Sighting:
    """Read ``key id/date/region/service/terminator``: the id, and the scope that it is limited to."""
    key_id, _, scope = credential.partition("/")
    seen: dict[str, Any] = {"key_id": name_of(key_id), "scopes": names_of([scope])}
    return Sighting(token_class, presentation, octets(key_id), seen)


def _signed(sighting: Sighting, method: BindingMethod, signature: str) -> Sighting:
    sighting.presented = sighting.mechanism = method
    if signature:
        sighting.mark = ProofMark(Sha256.of(octets(signature)))
    return sighting


_STYLES: Final = ("X-Amz-", "X-Goog-")


def find_signed_url(request: HttpRequest) -> Iterator[Sighting]:
    """Find a signed URL: AWS and Google by their parameters, an Azure SAS by ``sig`` with ``sv`` or ``se``.

    It counts as bearer: the signature fixes method and URL, not who sends them.
    """
    query = request.query
    for style in _STYLES:
        if signature := query.get(f"{style}Signature"):
            sighting = _signer(TokenClass.SIGNED_URL, Presentation.QUERY, query.get(f"{style}Credential", ""))
            sighting.secret = octets(signature)
            sighting.seen["names"] = names_of(query.get(f"{style}SignedHeaders", "").split(";"))
            sighting.stated = {"lifetime": _signed_lifetime(query, style), "basis": Basis.UNVERIFIED_CLAIMS}
            yield sighting
    if (signature := query.get("sig")) and ("sv" in query or "se" in query):
        yield _azure_sas(query, signature)


def _signed_lifetime(query: Mapping[str, str], style: str) -> Lifetime:
    try:
        issued = datetime.strptime(query.get(f"{style}Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return lifetime_between(issued, issued + timedelta(seconds=int(query.get(f"{style}Expires", "")[:9])))
    except (ValueError, OverflowError):
        return Lifetime()


def _azure_sas(query: Mapping[str, str], signature: str) -> Sighting:
    seen: dict[str, Any] = {"key_id": name_of(query.get("skoid")), "scopes": names_of([query.get("sp")])}
    sighting = Sighting(TokenClass.SIGNED_URL, Presentation.QUERY, octets(signature), seen)
    lifetime = lifetime_between(None, _iso8601(query.get("se")), _iso8601(query.get("st")))
    sighting.stated = {"lifetime": lifetime, "basis": Basis.UNVERIFIED_CLAIMS}
    return sighting


def _iso8601(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_MAX_LABELS: Final = 8
_MAX_INPUT: Final = 16 * 1024


def find_message_signatures(request: HttpRequest) -> Iterator[Sighting]:
    """Find HTTP Message Signatures, one sighting a label (RFC 9421 §4). ``names`` holds the label, then what it covers.

    The label is written ``label=…``, which no component can be, so that it cannot pass for a covered component.
    """
    given = ", ".join(request.values("signature-input"))[:_MAX_INPUT]
    if not given:
        return
    signatures = dict(_readable(", ".join(request.values("signature"))[:_MAX_INPUT]))
    for label, member in islice(_readable(given), _MAX_LABELS):
        signature = signatures.get(label)
        if isinstance(member, InnerList) and isinstance(signature, Item) and isinstance(signature.bare.value, bytes):
            yield _message_signature(label, member, signature.bare.text[1:-1])


def _readable(text: str) -> Iterator[tuple[str, Member]]:
    """Yield the members before the first that cannot be read: they were sent, whatever a server makes of the rest."""
    try:
        yield from read_members(text)
    except Unreadable:
        return


def _message_signature(label: str, member: InnerList, signature: str) -> Sighting:
    given = {name: bare.value for name, bare in member.parameters.items()}
    covered = [_component(item) for item in member.items]
    key_id = given.get("keyid")
    seen: dict[str, Any] = {
        "names": names_of([f"label={label}", *covered]),
        "key_id": name_of(key_id),
        "alg": name_of(given.get("alg")),
    }
    secret = octets(key_id) if isinstance(key_id, str) else b""
    sighting = Sighting(TokenClass.HTTP_MESSAGE_SIGNATURE, Presentation.SIGNATURE, secret, seen)
    lifetime = lifetime_between(instant_of(given.get("created")), instant_of(given.get("expires")))
    sighting.stated = {"lifetime": lifetime, "basis": Basis.UNVERIFIED_CLAIMS}
    return _signed(sighting, BindingMethod.HTTP_SIGNATURE, signature)


def _component(item: Item) -> str:
    """Return a component with its parameters, its name without quotes (RFC 9421 §2)."""
    name = item.bare.value
    return (name if isinstance(name, str) else item.bare.text) + parameters_text(item.parameters)
