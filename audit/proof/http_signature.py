"""Inspecting an HTTP Message Signature of a request (RFC 9421 §3.2).

Rules beyond those of ``inspection``:

1. A good signature says nothing about what it does not cover (§7.2.1): the caller says what must be covered.
2. The content is bound by a covered ``Content-Digest`` alone, and only if that is the digest of the content (§7.2.8).
3. Which algorithm it is follows from the key; ``alg`` may only agree (§3.2 item 6).
4. A shared secret shows that one of its holders signed, not which: ``04`` then passes and says so, and there is no key
   thumbprint.
5. Nothing remembers signatures or nonces: within its time a signature can be replayed (§7.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import (
    BindingMethod,
    CheckId,
    CheckOutcome,
    ConfigurationError,
    ReplayScope,
    Sha256,
)

from ..capture.claims import MAX_NAME
from .content_digest import digest_matches
from .inspection import Inspection, Outcomes
from .message_key import ALGORITHMS, message_key
from .message_signature import Malformed, read_signature
from .shown import shown
from .signature_base import ImpossibleComponent, UnsupportedComponent, signature_base

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..capture.request import HttpRequest
    from .message_key import GivenKey, MessageKey
    from .message_signature import MessageSignature

HTTP_SIGNATURE_CHECKS: Final = tuple(each for each in CheckId if each.startswith("http_signature."))
"""Every check that ``inspect_http_signature`` considers, in the order in which it returns them."""

_DIGEST: Final = "content-digest"
_PARTS: Final = {
    "@target-uri": ("@scheme", "@authority", "@path", "@query"),
    "@request-target": ("@path", "@query"),
}
"""What these components are made of (RFC 9421 §2.2)."""


@dataclass(frozen=True, slots=True)
class HttpSignaturePolicy:
    """What a server demands of a signature. Raises ``ConfigurationError`` for limits that nothing could keep to."""

    required: tuple[str, ...] = ("@method", "@target-uri")
    """What has to be covered; a component with parameters is written as ``@query-param;name="id"``. Empty, if nobody
    asks for anything: ``02`` is then not applicable."""
    label: str | None = None
    """Under which label it stands, if that is agreed."""
    tag: str | None = None
    """For which application it is made (RFC 9421 §2.3)."""
    algorithms: frozenset[str] = ALGORITHMS
    """The algorithms that are accepted (§6.2.2)."""
    max_age: timedelta | None = timedelta(seconds=60)
    """How old it may be by ``created``, which is then demanded; None if any age will do."""
    skew: timedelta = timedelta(seconds=15)
    """How far in the future ``created`` may lie, since clocks differ."""

    def __post_init__(self) -> None:
        """Check that each limit has a meaning."""
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ConfigurationError(f"a policy allows some of these algorithms: {', '.join(sorted(ALGORITHMS))}")
        if (self.max_age is not None and self.max_age <= timedelta()) or self.skew < timedelta():
            raise ConfigurationError("max_age has to be more than zero, and skew not less")


_DEFAULT_POLICY: Final = HttpSignaturePolicy()


def inspect_http_signature(
    request: HttpRequest,
    *,
    now: datetime,
    keys: Mapping[str, GivenKey] | None,
    default_key: GivenKey | None = None,
    policy: HttpSignaturePolicy = _DEFAULT_POLICY,
) -> Inspection:
    """Check ``http_signature.01`` to ``07``. Whatever a client sends ends in an outcome.

    ``now`` is the time of the check. ``keys`` has a key for each ``keyid``, None where none are at hand: the signature
    is then not checked. ``default_key`` is that of signatures that name none. A shared secret is given as bytes. Raises
    ``MissingExtra``, and ``ConfigurationError`` if ``now`` has no zone.
    """
    if now.utcoffset() is None:
        raise ConfigurationError("now has no time zone")
    outcomes = Outcomes(HTTP_SIGNATURE_CHECKS)
    signed = _read(request, keys or {}, policy, outcomes)
    key = None
    if signed:
        _judge_coverage(signed, policy, outcomes)
        if keys is not None:
            key = _judge_key(signed, keys, default_key, outcomes)
        algorithm = _judge_algorithm(signed, key, policy, outcomes) if key else None
        _judge_time(signed, now.timestamp(), policy, outcomes)
        if key and algorithm:
            _judge_signature(request, signed, key, algorithm, outcomes)
        _judge_digest(request, signed, outcomes)
    return Inspection(
        mechanism=BindingMethod.HTTP_SIGNATURE,
        checks=outcomes.checks,
        result=outcomes.result(_required(outcomes, policy)),
        key=key.thumbprint if key else None,
        proof_digest=Sha256.of(signed.signature.bare.text[1:-1].encode("ascii")) if signed else None,
        replay_scope=ReplayScope.NONE,
    )


def _required(outcomes: Outcomes, policy: HttpSignaturePolicy) -> tuple[CheckId, ...]:
    """Return what has to pass: what applies. The digest may stay unchecked where the caller did not ask for it."""
    unasked = () if _DIGEST in policy.required else (CheckId.HTTP_SIGNATURE_CONTENT_DIGEST,)
    return tuple(
        each.id
        for each in outcomes.checks
        if each.outcome is not CheckOutcome.NOT_APPLICABLE and each.id not in unasked
    )


def _read(
    request: HttpRequest, keys: Mapping[str, GivenKey], policy: HttpSignaturePolicy, outcomes: Outcomes
) -> MessageSignature | None:
    try:
        signed = read_signature(request, label=policy.label, tag=policy.tag, known=keys.keys())
    except Malformed as malformed:
        outcomes.judge(
            CheckId.HTTP_SIGNATURE_WELL_FORMED, good=False, expected="one signature", observed=str(malformed)
        )
        return None
    outcomes.settle(CheckId.HTTP_SIGNATURE_WELL_FORMED, CheckOutcome.PASS)
    return signed


def _judge_coverage(signed: MessageSignature, policy: HttpSignaturePolicy, outcomes: Outcomes) -> None:
    """Judge ``02``. A URI covers its parts, and its parts cover it; one member of a field does not cover the field."""
    if not policy.required:
        outcomes.settle(CheckId.HTTP_SIGNATURE_COVERAGE, CheckOutcome.NOT_APPLICABLE)
        return
    covered = {part for component in signed.components for part in _PARTS.get(component, (component,))}
    missing = [each for each in policy.required if not covered.issuperset(_PARTS.get(each, (each,)))]
    outcomes.judge(CheckId.HTTP_SIGNATURE_COVERAGE, not missing, expected=", ".join(missing)[:MAX_NAME])


def _judge_key(
    signed: MessageSignature, keys: Mapping[str, GivenKey], default: GivenKey | None, outcomes: Outcomes
) -> MessageKey | None:
    keyid = signed.text("keyid")
    given = default if keyid is None else keys.get(keyid)
    if given is None:
        outcomes.judge(CheckId.HTTP_SIGNATURE_KEY, good=False, expected="a known keyid", observed=shown(keyid))
        return None
    try:
        key = message_key(given)
    except ConfigurationError as unusable:
        outcomes.judge(CheckId.HTTP_SIGNATURE_KEY, good=False, expected="a key to verify with", observed=str(unusable))
        return None
    outcomes.settle(CheckId.HTTP_SIGNATURE_KEY, CheckOutcome.PASS)
    return key


def _judge_algorithm(
    signed: MessageSignature, key: MessageKey, policy: HttpSignaturePolicy, outcomes: Outcomes
) -> str | None:
    named = signed.text("alg")
    usable = key.algorithms(named)
    allowed = len(usable) == 1 and usable[0] in policy.algorithms
    observed = f"{shown(named)} with a key of kind {key.kind}"
    if not outcomes.judge(CheckId.HTTP_SIGNATURE_ALG, allowed, expected="one that is allowed", observed=observed):
        return None
    if key.is_shared:
        outcomes.settle(CheckId.HTTP_SIGNATURE_ALG, CheckOutcome.PASS, observed=f"{usable[0]}, a shared secret")
    return usable[0]


def _judge_time(signed: MessageSignature, now: float, policy: HttpSignaturePolicy, outcomes: Outcomes) -> None:
    """Judge ``05``: made lately, by ``created``, and not expired."""
    created, expires = signed.seconds("created"), signed.seconds("expires")
    oldest = float("-inf") if policy.max_age is None else -policy.max_age.total_seconds()
    newest = policy.skew.total_seconds()
    lately = policy.max_age is None if created is None else oldest <= created - now <= newest
    in_time = expires is None or (now < expires and (created is None or created <= expires))
    made = "no created" if created is None else f"created {created - now:+,.3f} s"
    ends = "" if expires is None else f", expires {expires - now:+,.3f} s"
    outcomes.judge(
        CheckId.HTTP_SIGNATURE_TIME,
        lately and in_time,
        expected=f"created {oldest:+g} s to {newest:+g} s",
        observed=made + ends,
    )


def _judge_signature(
    request: HttpRequest, signed: MessageSignature, key: MessageKey, algorithm: str, outcomes: Outcomes
) -> None:
    """Judge ``06``. What cannot be told to be good or bad is an ``error``."""
    check = CheckId.HTTP_SIGNATURE_SIGNATURE
    try:
        base = signature_base(request, signed.covered)
        good = key.verifies(algorithm, base, signed.octets)
    except ImpossibleComponent as impossible:
        outcomes.judge(check, good=False, expected="what it covers", observed=str(impossible)[:MAX_NAME])
    except UnsupportedComponent as unsupported:
        outcomes.settle(check, CheckOutcome.ERROR, observed=str(unsupported)[:MAX_NAME])
    except Exception:  # noqa: BLE001 -- a key or a library out of order: nothing is known of the signature
        outcomes.settle(check, CheckOutcome.ERROR)
    else:
        outcomes.judge(check, good)


def _judge_digest(request: HttpRequest, signed: MessageSignature, outcomes: Outcomes) -> None:
    """Judge ``07``: of what is covered of ``Content-Digest``, the digests that can be computed."""
    covered = signed.members(_DIGEST)
    if covered == ():
        outcomes.settle(CheckId.HTTP_SIGNATURE_CONTENT_DIGEST, CheckOutcome.NOT_APPLICABLE)
    elif request.body is not None:
        good = digest_matches(", ".join(request.values(_DIGEST)), request.body, covered)
        if good is not None:
            outcomes.judge(CheckId.HTTP_SIGNATURE_CONTENT_DIGEST, good)
