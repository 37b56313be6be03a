"""What the failure of each check means, and how bad it is, as data: for a reader, for findings, for ``docs/checks.md``.

How bad depends on two axes: how the check ended, and what the server did then. A failed check beside an executed
action is always the worst case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .vocabulary import CheckId, Severity

_INFORMATIONAL: Final = Severity.INFORMATIONAL
_LOW: Final = Severity.LOW
_MEDIUM: Final = Severity.MEDIUM
_HIGH: Final = Severity.HIGH
_CRITICAL: Final = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """What is known about a check before it runs. Where it is defined is ``CheckId.source``."""

    demands: str
    """What has to be true."""
    failure: str
    """What it means when it is not."""
    severity: Severity
    """How bad a failure is by itself, when the request was refused."""
    raised: str = ""
    """What makes it worse, or excuses it."""


_FACTS: Final[dict[CheckId, CheckFacts]] = {
    CheckId.DPOP_SINGLE_HEADER: CheckFacts(
        "one `DPoP` header field, no more",
        "smuggling, or a proxy that merged what two parties sent",
        _MEDIUM,
    ),
    CheckId.DPOP_WELL_FORMED: CheckFacts(
        "the header is one well-formed JWT",
        "a proof was due and is absent, or none that anybody could check; a list joined with commas is two proofs",
        _MEDIUM,
    ),
    CheckId.DPOP_REQUIRED_CLAIMS: CheckFacts(
        "`jti`, `htm`, `htu` and `iat` are there, each of its type",
        "a client that does not follow the specification, or a JWT made for something else",
        _MEDIUM,
    ),
    CheckId.DPOP_TYP: CheckFacts(
        "`typ` is `dpop+jwt`",
        "a JWT of another kind is passed off as a proof (RFC 9449 §11.5)",
        _MEDIUM,
        "worse if it is an access token or an ID token",
    ),
    CheckId.DPOP_ALG: CheckFacts(
        "`alg` is asymmetric and allowed here",
        "`none` or a MAC: a forgery, or an attempt to have the public key taken for a secret; "
        "an algorithm that is only not allowed here: negotiation",
        _HIGH,
        "low where the algorithm is asymmetric and only not allowed here",
    ),
    CheckId.DPOP_SIGNATURE: CheckFacts(
        "the signature verifies with the key in the header",
        "possession was not shown",
        _HIGH,
        "worse if a good token came with it",
    ),
    CheckId.DPOP_NO_PRIVATE_KEY: CheckFacts(
        "the key in the header is public",
        "the private key was sent: it is known to every hop and every log. Revoke and rotate",
        _CRITICAL,
    ),
    CheckId.DPOP_HTM: CheckFacts(
        "`htm` is the method of this request",
        "a proof made for another request: a replay at another endpoint, or a client's mistake",
        _MEDIUM,
        "worse if the `jti` was seen elsewhere",
    ),
    CheckId.DPOP_HTU: CheckFacts(
        "`htu` is the URI of this request, query and fragment left out",
        "a proof made for another request; or the server does not know its own external name",
        _MEDIUM,
        "worse if origin or path differ, not only scheme, port or an alias of the host",
    ),
    CheckId.DPOP_NONCE: CheckFacts(
        "`nonce` is one that the server gave lately",
        "missing or stale: the server gives a new one and the client tries again",
        _INFORMATIONAL,
        "worse after three in a row",
    ),
    CheckId.DPOP_TIME: CheckFacts(
        "the proof was made just now",
        "a clock that is off by a little; an old proof was captured; one from the far future was made in advance",
        _LOW,
        "medium where it is far in the past, high where it is far in the future (RFC 9449 §11.2)",
    ),
    CheckId.DPOP_ATH: CheckFacts(
        "`ath` is the hash of the token that came with it",
        "a proof was moved to another token",
        _HIGH,
        "medium from a client known to be good, which then has a defect",
    ),
    CheckId.DPOP_JKT: CheckFacts(
        "the key of the proof is the one that the token is bound to",
        "somebody without the bound key uses the token",
        _CRITICAL,
    ),
    CheckId.DPOP_JTI_REPLAY: CheckFacts(
        "this `jti` was not seen before from this key",
        "the proof was replayed",
        _HIGH,
        "worse from another peer; low for the same bytes from the same peer within two seconds",
    ),
    CheckId.DPOP_SCHEME: CheckFacts(
        "a token bound to a key comes under the scheme `DPoP`",
        "a bound token was sent as a bearer token: a downgrade",
        _HIGH,
        "worse if it was accepted",
    ),
    CheckId.DPOP_SINGLE_TOKEN_METHOD: CheckFacts(
        "the token is sent in one way only",
        "it is open which token was checked",
        _MEDIUM,
        "worse if the tokens differ",
    ),
    CheckId.DPOP_NONCE_DOWNGRADE: CheckFacts(
        "no proof without a nonce once the server gave one",
        "a proof made in advance, or a client that did not listen",
        _LOW,
        "high if it was accepted",
    ),
    CheckId.MTLS_CERT_PRESENT: CheckFacts(
        "the client showed a certificate",
        "a token bound to a certificate was sent without it",
        _HIGH,
        "medium where a proxy may have lost it",
    ),
    CheckId.MTLS_CNF_PRESENT: CheckFacts(
        "the token names the certificate that it is bound to",
        "nothing ties this token to a certificate",
        _MEDIUM,
    ),
    CheckId.MTLS_X5T_MATCH: CheckFacts(
        "the certificate is the one that the token is bound to",
        "somebody else's certificate; or the client's own was renewed since the token was issued",
        _CRITICAL,
        "low for the same key, or the same subject with a fresh certificate (RFC 8705 §6.3)",
    ),
    CheckId.MTLS_CERT_SOURCE_TRUSTED: CheckFacts(
        "the certificate comes from the TLS layer, or from a proxy that is trusted to hand it on",
        "a client set the header of the proxy (RFC 9440 §4)",
        _CRITICAL,
    ),
    CheckId.MTLS_CERT_VALIDITY: CheckFacts(
        "the certificate is within its dates",
        "for information: possession is what counts here, and the dates do not change it",
        _INFORMATIONAL,
    ),
    CheckId.MTLS_CHAIN: CheckFacts(
        "the chain leads to an authority that is trusted for client authentication",
        "the client is not who the certificate says",
        _HIGH,
    ),
    CheckId.JOSE_CRIT: CheckFacts(
        "every extension named in `crit` is understood",
        "the proof demands something that this check does not know",
        _MEDIUM,
    ),
    CheckId.JOSE_KEY: CheckFacts(
        "the key is of a known kind, on its curve, and in its one canonical form",
        "no usable key; in another form one key would have several thumbprints",
        _MEDIUM,
    ),
    CheckId.JOSE_ALG_KEY: CheckFacts(
        "algorithm and key belong together",
        "an attempt to confuse the verifier",
        _HIGH,
    ),
    CheckId.JOSE_RSA_BITS: CheckFacts(
        "an RSA key has 2,048 to 8,192 bits",
        "a key that can be broken, or one that is made to cost the server time",
        _MEDIUM,
    ),
    CheckId.JOSE_DUPLICATE_MEMBER: CheckFacts(
        "no member stands twice",
        "two readers could see two different proofs",
        _HIGH,
    ),
    CheckId.JOSE_BASE64URL: CheckFacts(
        "each part is base64url as an encoder writes it",
        "two texts for one proof, which a store of seen proofs would not recognise",
        _MEDIUM,
    ),
    CheckId.JOSE_SIZE: CheckFacts(
        "the proof, and each part of it, is of a sensible size",
        "an attempt to make the server work or store too much",
        _MEDIUM,
    ),
    CheckId.HTTP_SIGNATURE_WELL_FORMED: CheckFacts(
        "`Signature-Input` and `Signature` can be read and belong together",
        "no signature that anybody could check",
        _MEDIUM,
    ),
    CheckId.HTTP_SIGNATURE_COVERAGE: CheckFacts(
        "the signature covers what this server demands",
        "what is not covered can be changed on the way",
        _HIGH,
    ),
    CheckId.HTTP_SIGNATURE_KEY: CheckFacts(
        "the key named by `keyid` is known here",
        "a stranger, or a key that was rotated",
        _MEDIUM,
    ),
    CheckId.HTTP_SIGNATURE_ALG: CheckFacts(
        "algorithm and key belong together, and the algorithm is allowed",
        "an attempt to confuse the verifier",
        _HIGH,
    ),
    CheckId.HTTP_SIGNATURE_TIME: CheckFacts(
        "the signature was made lately and has not expired",
        "a clock that is off, or a signature that was captured",
        _LOW,
        "medium where it is far in the past, high where it is far in the future",
    ),
    CheckId.HTTP_SIGNATURE_SIGNATURE: CheckFacts(
        "the signature verifies",
        "possession was not shown, or the message was changed",
        _HIGH,
    ),
    CheckId.HTTP_SIGNATURE_CONTENT_DIGEST: CheckFacts(
        "the covered digest is that of the content",
        "the content was changed",
        _CRITICAL,
    ),
    CheckId.WIMSE_WIT_WELL_FORMED: CheckFacts(
        "the workload identity token is one well-formed JWT of its kind",
        "no identity that anybody could check",
        _MEDIUM,
    ),
    CheckId.WIMSE_WIT_SIGNATURE: CheckFacts(
        "its issuer's signature verifies",
        "a forged identity, or an issuer that is not known here",
        _HIGH,
    ),
    CheckId.WIMSE_WIT_TIME: CheckFacts("it has not expired", "an old identity", _LOW),
    CheckId.WIMSE_WIT_KEY: CheckFacts(
        "it holds a public key and the algorithm for it",
        "an identity that nothing can be proven with",
        _MEDIUM,
    ),
    CheckId.WIMSE_WPT_WELL_FORMED: CheckFacts(
        "the workload proof token is one well-formed JWT of its kind",
        "an identity token was sent alone, as if it were a bearer token",
        _HIGH,
    ),
    CheckId.WIMSE_WPT_SIGNATURE: CheckFacts(
        "the proof verifies with the key of the identity token",
        "possession was not shown",
        _HIGH,
    ),
    CheckId.WIMSE_AUD: CheckFacts(
        "the proof was made for this URI",
        "a proof made for another request",
        _MEDIUM,
        "worse if origin or path differ",
    ),
    CheckId.WIMSE_TIME: CheckFacts("the proof has not expired", "a proof that was captured", _MEDIUM),
    CheckId.WIMSE_WTH: CheckFacts(
        "the proof names the identity token that came with it",
        "a proof was moved to another identity",
        _HIGH,
    ),
    CheckId.WIMSE_ATH: CheckFacts(
        "the proof names the access token that came with it",
        "a proof was moved to another token",
        _HIGH,
    ),
    CheckId.WIMSE_OTHER_HASHES: CheckFacts(
        "every other token that the proof names is there, and is the one named",
        "a token was exchanged on the way, or one is named that is not known here",
        _HIGH,
    ),
    CheckId.WIMSE_JTI_REPLAY: CheckFacts("this `jti` was not seen before", "the proof was replayed", _HIGH),
    CheckId.CNF_AMBIGUOUS: CheckFacts(
        "`cnf` names one key",
        "two keys could each be taken for the bound one",
        _HIGH,
    ),
    CheckId.TOKEN_SIGNATURE: CheckFacts(
        "the issuer's signature verifies",
        "a forged token, or a key that is not known here",
        _HIGH,
    ),
    CheckId.TOKEN_ISSUER: CheckFacts(
        "the issuer is one that this server trusts",
        "a token from elsewhere",
        _HIGH,
    ),
    CheckId.TOKEN_AUDIENCE: CheckFacts(
        "the token is meant for this server",
        "a token for somebody else was sent here",
        _HIGH,
        "critical if the action was executed",
    ),
    CheckId.TOKEN_TIME: CheckFacts(
        "the token is good now",
        "it expired, or is not good yet",
        _INFORMATIONAL,
        "worse if it was revoked long ago",
    ),
    CheckId.TOKEN_TYP: CheckFacts(
        "`typ` is that of an access token",
        "a token of another kind is passed off as an access token",
        _MEDIUM,
    ),
    CheckId.TOKEN_SCOPE: CheckFacts(
        "the token has the scope that the action needs",
        "the client asked for less than it needs now: it can ask for more",
        _LOW,
        "worse for a wildcard, or after repeated attempts",
    ),
    CheckId.TOKEN_ACTIVE: CheckFacts(
        "whoever issued the credential says that it is active",
        "it expired, was revoked, or was never issued; the answer does not say which",
        _INFORMATIONAL,
        "worse if it was revoked long ago",
    ),
}


def check_facts(check: CheckId) -> CheckFacts:
    """Return what is known about a check."""
    return _FACTS[check]
