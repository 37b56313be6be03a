"""What a server says in WWW-Authenticate, read back by the reader of challenges."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.audit.capture.challenge import challenge_error, parse_challenges
from counterfoil.audit.proof.challenges import Challenger

BOTH = Challenger(bearer=True, dpop_algorithms=("ES256", "Ed25519"), metadata_url="https://api.example/.well-known/x")


def shown(challenger: Challenger, *arguments: Any, **options: Any) -> dict[str, dict[str, str]]:
    """Return what the fields say, by scheme."""
    fields = challenger.challenges(*arguments, **options)
    assert {name for name, _ in fields} == {"WWW-Authenticate"}
    return {each.scheme: each.parameters for each in parse_challenges([value for _, value in fields])}


def test_to_whom_presents_nothing() -> None:
    """Both schemes, no error; which algorithms, which scope, and where to learn more (RFC 9449 §7.1, RFC 9728 §5.1)."""
    metadata = {"resource_metadata": "https://api.example/.well-known/x"}
    assert shown(BOTH, None, scopes=["mail:read", "pay"]) == {
        "bearer": {"scope": "mail:read pay", **metadata},
        "dpop": {"scope": "mail:read pay", "algs": "ES256 Ed25519", **metadata},
    }
    assert Challenger(bearer=True).challenges() == (("WWW-Authenticate", "Bearer"),)


@pytest.mark.parametrize(("used", "blamed"), [("Bearer", "bearer"), ("DPoP", "dpop"), ("", "dpop")])
def test_the_error_is_on_the_scheme_that_was_used(used: str, blamed: str) -> None:
    """The other scheme is only offered (RFC 9449 §7.2)."""
    said = shown(BOTH, "invalid_token", used=used, scopes=["mail:read"])
    assert {scheme for scheme, parameters in said.items() if "error" in parameters} == {blamed}
    assert said[blamed]["error"] == "invalid_token"
    assert said[blamed]["error_description"]
    assert "scope" not in said[blamed]


def test_several_methods() -> None:
    """Of a request that used several schemes the error is on each of them (RFC 9449 Figure 19)."""
    assert {each["error"] for each in shown(BOTH, "invalid_request").values()} == {"invalid_request"}


@pytest.mark.parametrize("error", ["invalid_dpop_proof", "use_dpop_nonce", "insufficient_scope", "invalid_token"])
def test_only_one_scheme(error: str) -> None:
    """A server that takes one scheme puts the error there, whichever the request used."""
    alone = Challenger(bearer=False, dpop_algorithms=("ES256",))
    values = [value for _, value in alone.challenges(error, used="Bearer", scopes=["pay"])]
    assert len(values) == 1
    assert challenge_error(values, "DPoP") == error
    assert ('scope="pay"' in values[0]) is (error == "insufficient_scope")


def test_a_value_stays_inside_its_quotes() -> None:
    """Nothing that is configured breaks out of its parameter, its field or its character set."""
    odd = 'https://x/?a="b\\", error="y\r\nSet-Cookie: a=b ä\x00'
    (field,) = Challenger(bearer=True, metadata_url=odd).challenges("invalid_token", used="Bearer")
    assert field[1].isascii()
    assert field[1].isprintable()
    (challenge,) = parse_challenges([field[1]])
    assert challenge.parameters["error"] == "invalid_token"
    assert challenge.parameters["resource_metadata"] == odd.replace("\r", "?").replace("\n", "?").replace(
        "ä", "?"
    ).replace("\x00", "?")
