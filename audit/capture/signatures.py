"""Signed requests: AWS Signature Version 4, signed URLs, HTTP Message Signatures (RFC 9421).

Here the credential itself is not sent. The fingerprint is therefore that of the public id of the key, except for a
signed URL, which anybody who has it can use: there it is that of the signature.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import Basis, BindingMethod, Lifetime, Presentation, Sha256, TokenClass

from .claims import instant_of, lifetime_between, name_of, names_of
from .proofs import ProofMark
from .sighting import Sighting, octets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .request import HttpRequest


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


# Structured fields (RFC 9651), as far as RFC 9421 uses them. Possessive, so that no input takes more than one pass.
_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+"'
_PARAMETER = rf';[ ]*+[a-z*][a-z0-9_.*-]*+(?:=(?:{_STRING}|[^\s,;()"]++))?+'
_COMPONENT = re.compile(rf"({_STRING})((?:{_PARAMETER})*+)")
_INPUT = re.compile(
    rf"\s*+([a-z*][a-z0-9_.*-]*+)=\(((?:[ ]*+{_STRING}(?:{_PARAMETER})*+)*+)[ ]*+\)((?:{_PARAMETER})*+)\s*+(?:,|$)"
)
_EACH_PARAMETER = re.compile(rf";[ ]*([a-z*][a-z0-9_.*-]*)(?:=({_STRING}|[^\s,;()\"]+))?")
_SIGNATURE = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):[^,]*(?:,|$)")
_MAX_LABELS: Final = 8
_MAX_INPUT: Final = 16 * 1024


def find_message_signatures(request: HttpRequest) -> Iterator[Sighting]:
    """Find HTTP Message Signatures, one sighting a label (RFC 9421 §4). ``names`` holds the label, then what it covers.

    The label is written ``label=…``, which no component can be, so that it cannot pass for a covered component.
    """
    given = ", ".join(request.values("signature-input"))[:_MAX_INPUT]
    if not given:
        return
    members = _each(_SIGNATURE, ", ".join(request.values("signature"))[:_MAX_INPUT])
    signatures = {member[0]: member[1] for member in members}
    for label, components, parameters in _each(_INPUT, given):
        if signature := signatures.get(label):
            yield _message_signature(label, components, parameters, signature)


def _each(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, ...]]:
    """Yield the groups of one member after the other, until one cannot be read."""
    at = 0
    for _ in range(_MAX_LABELS):
        match = pattern.match(text, at)
        if not match:
            return
        yield match.groups()
        at = match.end()


def _message_signature(label: str, components: str, parameters: str, signature: str) -> Sighting:
    given = {name: _bare(value) for name, value in _EACH_PARAMETER.findall(parameters)}
    covered = [_bare(name) + options for name, options in _COMPONENT.findall(components)]
    seen: dict[str, Any] = {
        "names": names_of([f"label={label}", *covered]),
        "key_id": name_of(given.get("keyid")),
        "alg": name_of(given.get("alg")),
    }
    sighting = Sighting(TokenClass.HTTP_MESSAGE_SIGNATURE, Presentation.SIGNATURE, octets(given.get("keyid", "")), seen)
    lifetime = lifetime_between(_instant(given.get("created")), _instant(given.get("expires")))
    sighting.stated = {"lifetime": lifetime, "basis": Basis.UNVERIFIED_CLAIMS}
    return _signed(sighting, BindingMethod.HTTP_SIGNATURE, signature)


def _bare(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _instant(value: str | None) -> datetime | None:
    return instant_of(int(value)) if value and value.isascii() and value.isdigit() and len(value) <= 15 else None
