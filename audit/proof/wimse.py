"""Inspecting a WIMSE workload identity token and its proof (draft-ietf-wimse-workload-creds, draft-ietf-wimse-wpt).

Rules beyond those of ``inspection``:

1. The proof is verified with the key that the identity names, ``cnf.jwk``, and with the algorithm named there. A key in
   the proof counts for nothing.
2. The identity is verified with the keys that the caller has for its trust domain, the authority of ``sub``. ``iss`` is
   not used to find any.
3. The rules of ``jws`` are checks of the proof's; of the identity they are one, ``01``, which names the broken rule.
4. An identity without a proof fails ``05``: it must not be used as a bearer token.
5. Whatever the proof names must be there: an ``ath``, ``tth`` or ``oth`` whose token is absent or unknown fails. For
   ``oth`` the draft demands it; for the others this is stricter.
6. The replay store is asked last, and only about a proof that passed everything else.
7. Of the hashes no value is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import (
    BindingMethod,
    CheckId,
    CheckOutcome,
    ConfigurationError,
    HtuSource,
    ProofResult,
    ReplayScope,
    Sha256,
)

from ..capture.claims import confirmation_of
from ..capture.proofs import digest_of, proof_id
from .confirmation import check_confirmation
from .inspection import Inspection, Outcomes, plain_check
from .jws import JWS_CHECKS, read_jws
from .keys import ALGORITHMS, KEY_CHECKS, judge_signature, private_members, read_key
from .presented import presented_tokens
from .shown import shown
from .wimse_claims import (
    is_of_type,
    judge_access_token,
    judge_audience,
    judge_expiry,
    judge_identity,
    judge_identity_time,
    judge_other_tokens,
    judge_proof,
    left_out,
    trust_domain,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from ..capture.request import HttpRequest
    from .issuer_keys import IssuerKeys
    from .jws import Jws
    from .keys import ProofKey
    from .replay import ReplayStore

WIMSE_CHECKS: Final = (
    *(each for each in CheckId if each.startswith("wimse.")),
    *(each for each in CheckId if each in {*JWS_CHECKS, *KEY_CHECKS}),
    CheckId.CNF_AMBIGUOUS,
)
"""Every check that ``inspect_wimse`` considers, in the order in which it returns them."""

_GOOD: Final = frozenset({CheckOutcome.PASS, CheckOutcome.NOT_APPLICABLE})
_REPLAY: Final = CheckId.WIMSE_JTI_REPLAY


@dataclass(frozen=True, slots=True)
class WimsePolicy:
    """The limits of a workload proof. Raises ``ConfigurationError`` for limits that nothing could keep to."""

    max_lifetime: timedelta = timedelta(minutes=5)
    """How far ahead ``exp`` of a proof may lie: minutes or seconds."""
    skew: timedelta = timedelta(seconds=15)
    """How far in the future ``nbf`` and ``iat`` of an identity may lie, since clocks differ."""
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    """The signature algorithms that are accepted, of those in ``keys.ALGORITHMS``, of identities and of proofs."""
    max_token: int = 8192
    """The longest identity, and the longest proof, that is read, in characters."""
    max_jti: int = 256
    """The longest ``jti``, in characters."""

    def __post_init__(self) -> None:
        """Check that each limit has a meaning."""
        if not self.algorithms or not self.algorithms <= ALGORITHMS.keys():
            raise ConfigurationError(f"a WIMSE policy allows some of these algorithms: {', '.join(ALGORITHMS)}")
        if self.max_lifetime <= timedelta() or self.skew < timedelta():
            raise ConfigurationError("max_lifetime has to be more than zero, and skew not less")
        if min(self.max_token, self.max_jti) < 1:
            raise ConfigurationError("max_token and max_jti have to be at least 1")


_DEFAULT_POLICY: Final = WimsePolicy()


def inspect_wimse(  # noqa: PLR0913 -- each is a fact of its own
    request: HttpRequest,
    *,
    now: datetime,
    issuer_keys: Mapping[str, IssuerKeys] | None,
    audience: str | Collection[str] = (),
    access_token: str | None = None,
    replay: ReplayStore | None = None,
    policy: WimsePolicy = _DEFAULT_POLICY,
    htu_source: HtuSource = HtuSource.UNKNOWN,
) -> Inspection:
    """Check the workload identity and its proof, ``wimse.01`` to ``12``. Whatever a client sends ends in an outcome.

    ``now`` is the time of the check. ``issuer_keys`` has the keys of each trust domain, as ``example.com``; None where
    none are at hand, and ``02`` is then not performed. ``audience`` are the values of ``aud`` that the server accepts
    beside the URI of the request; that URI has to come from a source that the client does not control.
    ``access_token`` is the OAuth access token of the request, if it is not in one of the usual places. Without a
    ``replay`` store ``12`` is not performed, which the result allows.

    A request that has neither an identity nor a proof is ``not_applicable``. Raises ``MissingExtra``, and
    ``ConfigurationError`` if ``now`` has no zone.
    """
    if now.utcoffset() is None:
        raise ConfigurationError("now has no time zone")
    identities, proofs = request.values("workload-identity-token"), request.values("workload-proof-token")
    if not identities and not proofs:
        return _NOT_CONCERNED
    outcomes = Outcomes(WIMSE_CHECKS)
    identity = _read_identity(identities, policy, outcomes)
    key = _judge_identity(identity, issuer_keys, now.timestamp(), policy, outcomes) if identity else None
    proof = _read_proof(proofs, policy, outcomes)
    if proof:
        if identity and key:
            _judge_proof_signature(proof, key, identity, policy, outcomes)
        accepted = frozenset([audience] if isinstance(audience, str) else audience)
        judge_audience(request.url, accepted, proof, outcomes)
        judge_expiry(now.timestamp(), policy.max_lifetime.total_seconds(), proof, outcomes)
        if len(identities) == 1:
            judge_proof(identities[0], proof, outcomes)
        tokens = (access_token,) if access_token else tuple(each.token for each in presented_tokens(request))
        judge_access_token(tokens, proof, outcomes)
        judge_other_tokens(request, proof, outcomes)
    jti = proof.claims.get("jti") if proof else None
    marked = proof_id(key.thumbprint, jti) if key and isinstance(jti, str) else None
    scope = _judge_replay(marked, replay, now.timestamp() + policy.max_lifetime.total_seconds() + 1, outcomes)
    return Inspection(
        mechanism=BindingMethod.WIT_WPT,
        checks=outcomes.checks,
        result=outcomes.result(_required(outcomes, replay)),
        key=key.thumbprint if key else None,
        proof_digest=digest_of(*proofs) if proofs else None,
        proof_id=marked,
        replay_scope=scope,
        htu_source=htu_source,
    )


_NOT_CONCERNED: Final = Inspection(
    BindingMethod.NONE,
    tuple(plain_check(each, CheckOutcome.NOT_APPLICABLE) for each in WIMSE_CHECKS),
    ProofResult.NOT_APPLICABLE,
)


def _read_identity(identities: tuple[str, ...], policy: WimsePolicy, outcomes: Outcomes) -> Jws | None:
    """Judge ``01``: one field, one JWT that keeps every rule, of its kind, and with one workload for a subject."""
    check = CheckId.WIMSE_WIT_WELL_FORMED
    if len(identities) != 1:
        outcomes.judge(check, good=False, expected="one identity", observed=f"{len(identities)}")
        return None
    of_rules = Outcomes((*JWS_CHECKS, check))
    jws = read_jws(identities[0], of_rules, check, max_size=policy.max_token)
    broken = [each.id.value for each in of_rules.checks if each.outcome is CheckOutcome.FAIL and each.id is not check]
    if jws is None or broken:
        outcomes.judge(check, good=False, expected="a JWT", observed=", ".join(broken) or "no JWT")
        return None
    judge_identity(jws, outcomes)
    return jws


def _judge_identity(
    identity: Jws,
    issuer_keys: Mapping[str, IssuerKeys] | None,
    now: float,
    policy: WimsePolicy,
    outcomes: Outcomes,
) -> ProofKey | None:
    """Judge ``02``, ``03`` and ``04``, and return the key that the identity names."""
    if issuer_keys is not None:
        _judge_identity_signature(identity, issuer_keys, policy, outcomes)
    judge_identity_time(now, policy.skew.total_seconds(), identity, outcomes)
    cnf = identity.claims.get("cnf")
    check_confirmation(outcomes, confirmation_of(cnf))
    jwk: object = cast("dict[str, Any]", cnf).get("jwk") if isinstance(cnf, dict) else None
    members = cast("dict[str, Any]", jwk) if isinstance(jwk, dict) else None
    check = CheckId.WIMSE_WIT_KEY
    if members is None:
        outcomes.judge(check, good=False, expected="cnf.jwk", observed="none")
        return None
    private, alg = private_members(members), members.get("alg")
    key = read_key(members, alg, outcomes)
    allowed = isinstance(alg, str) and alg in policy.algorithms
    observed = f"private members {', '.join(private)}" if private else f"alg {shown(alg)}"
    outcomes.judge(check, key and allowed and not private, expected="a public key and its alg", observed=observed)
    return key


def _judge_identity_signature(
    identity: Jws, issuer_keys: Mapping[str, IssuerKeys], policy: WimsePolicy, outcomes: Outcomes
) -> None:
    """Judge ``02`` with the keys of the trust domain; without a ``kid``, with each of them that fits."""
    check = CheckId.WIMSE_WIT_SIGNATURE
    alg, kid = identity.header.get("alg"), identity.header.get("kid")
    if not isinstance(alg, str) or alg not in policy.algorithms:
        allowed = " ".join(sorted(policy.algorithms))
        outcomes.judge(check, good=False, expected=allowed, observed=f"alg {shown(alg)}")
        return
    keys = issuer_keys.get(trust_domain(identity.claims.get("sub")) or "")
    named = kid is None or isinstance(kid, str)
    candidates = keys.candidates(alg, kid) if keys and named else []
    if not candidates:
        known = "no such key of it" if keys else "no keys of it"
        outcomes.judge(check, good=False, expected="a key of the trust domain", observed=known)
    for candidate in candidates:
        judge_signature(check, candidate, alg, identity, outcomes)
        if outcomes.passed(check):
            return


def _read_proof(proofs: tuple[str, ...], policy: WimsePolicy, outcomes: Outcomes) -> Jws | None:
    """Judge ``05``: one field, one JWT of its kind, with an id."""
    check = CheckId.WIMSE_WPT_WELL_FORMED
    if len(proofs) != 1:
        outcomes.judge(check, good=False, expected="one proof", observed=f"{len(proofs)}")
        return None
    jws = read_jws(proofs[0], outcomes, check, max_size=policy.max_token)
    if jws is None:
        return None
    typ, jti = jws.header.get("typ"), jws.claims.get("jti")
    if not is_of_type(typ, "wpt+jwt"):
        outcomes.judge(check, good=False, expected="typ wpt+jwt", observed=f"typ {shown(typ)}")
    elif not isinstance(jti, str) and not left_out(jws, "jti"):
        outcomes.judge(check, good=False, expected="jti", observed=shown(jti))
    if isinstance(jti, str) and len(jti) > policy.max_jti:
        expected = f"a jti of at most {policy.max_jti:,} characters"
        outcomes.judge(CheckId.JOSE_SIZE, good=False, expected=expected, observed=f"{len(jti):,}")
    return jws


def _judge_proof_signature(proof: Jws, key: ProofKey, identity: Jws, policy: WimsePolicy, outcomes: Outcomes) -> None:
    """Judge ``06``: with the key of the identity, and the algorithm that it names for it."""
    check = CheckId.WIMSE_WPT_SIGNATURE
    alg, named = proof.header.get("alg"), identity.claims["cnf"]["jwk"].get("alg")
    if not isinstance(alg, str) or alg != named or alg not in policy.algorithms:
        outcomes.judge(check, good=False, expected=f"alg {shown(named)}", observed=f"alg {shown(alg)}")
    elif key.verification and outcomes.passed(CheckId.JOSE_CRIT):
        judge_signature(check, key.verification, alg, proof, outcomes)


def _judge_replay(marked: Sha256 | None, replay: ReplayStore | None, expires: float, outcomes: Outcomes) -> ReplayScope:
    """Judge ``12`` if nothing else is amiss: otherwise anybody could fill the store, or use up a ``jti`` of others."""
    amiss = any(each.outcome not in _GOOD for each in outcomes.checks if each.id is not _REPLAY)
    if replay is None or marked is None or amiss:
        return ReplayScope.NONE
    try:
        new = replay.add(marked, expires)
    except Exception:  # noqa: BLE001 -- whatever kept the store from telling, nothing is known of the proof
        outcomes.settle(_REPLAY, CheckOutcome.ERROR)
        return ReplayScope.NONE
    outcomes.judge(_REPLAY, new)
    return ReplayScope.KEY


def _required(outcomes: Outcomes, replay: ReplayStore | None) -> tuple[CheckId, ...]:
    """Return what has to pass: every check that concerns the request, the last only where there is a store."""
    return tuple(
        each.id
        for each in outcomes.checks
        if each.outcome is not CheckOutcome.NOT_APPLICABLE and (each.id is not _REPLAY or replay is not None)
    )
