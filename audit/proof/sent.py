"""Inspecting a request from outside its server: what its sender, or whoever holds a copy of it, can say of its proofs.

A server knows more: that it verified the token, which nonces it gave, which proofs it has seen. So the binding is taken
from what the token says of itself, unless the caller knows better, and the store of seen proofs is never asked: looking
at a proof must not use it up (``dpop.13`` is ``not_performed``). It also has keys: the issuer's of a workload identity,
the sender's of a message signature. What needs them is ``not_performed`` here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from counterfoil.schemas import BindingMethod, TokenClass

from .dpop import inspect_dpop
from .http_signature import HttpSignaturePolicy, inspect_http_signature
from .inspection import worst
from .mtls import inspect_mtls
from .wimse import inspect_wimse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from counterfoil.schemas import Proof, Thumbprint

    from ..capture import Credential, HttpRequest
    from .inspection import Inspection

_CERTIFICATES = frozenset({TokenClass.CLIENT_CERT, TokenClass.X509_SVID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known beside the request."""

    now: datetime
    """When it was sent; with a zone."""
    certificate: bytes | None = None
    """The client certificate of the connection, DER."""
    bound_jkt: Thumbprint | None = None
    """The key that the token is bound to; unless given, what the token says of itself counts."""
    nonces: Collection[str] = field(default=(), repr=False)
    """Those that the server had given."""


def inspect_sent(request: HttpRequest, found: Credential, known: Known, *, checked_by: str) -> Credential:
    """Return one credential of a request with its proofs inspected; as it is, where it has none to inspect.

    Raises ``MissingExtra`` where a DPoP or workload proof is concerned, and ``ConfigurationError`` if ``now`` has no
    zone.
    """
    inspections = list(_inspections(request, found, known))
    if not inspections:
        return found
    return replace(found, proof=_joined(found.proof, inspections, checked_by))


def _inspections(request: HttpRequest, found: Credential, known: Known) -> Iterator[Inspection]:
    confirmation, methods = found.token.confirmation, {found.binding.declared, found.proof.mechanism}
    if BindingMethod.DPOP in methods or known.bound_jkt:
        bound = known.bound_jkt or confirmation.jkt
        yield inspect_dpop(request, now=known.now, bound_jkt=bound, nonces=known.nonces)
    if (BindingMethod.MTLS in methods or confirmation.x5t_s256) and found.token.token_class not in _CERTIFICATES:
        yield inspect_mtls(
            request,
            now=known.now,
            certificate=known.certificate,
            confirmation=confirmation if confirmation.members else None,
        )
    if found.token.token_class is TokenClass.HTTP_MESSAGE_SIGNATURE:
        policy = HttpSignaturePolicy(required=(), label=found.token.names[0].removeprefix("label="), max_age=None)
        yield inspect_http_signature(request, now=known.now, keys=None, policy=policy)
    if found.token.token_class is TokenClass.WIT_WPT and request.values("workload-identity-token"):
        yield inspect_wimse(request, now=known.now, issuer_keys=None)


def _joined(proof: Proof, inspections: list[Inspection], checked_by: str) -> Proof:
    """Return the record's part: what capture saw of the proof, with how its checks ended."""
    told = [each.proof(checked_by) for each in inspections]
    stated = {name: getattr(each, name) for each in reversed(told) for name in each.model_fields_set}
    stated |= {
        "checks": (*proof.checks, *(check for each in told for check in each.checks)),
        "result": worst(each.result for each in told),
    }
    return proof.model_copy(update=stated)
