"""Reading a signed JWS strictly, and saying by which rule it broke.

Each rule is a check of its own, so that a record tells what was wrong:

1. ``jose.size``: at most so many characters; a longer text is not looked at (RFC 9449 §11.1).
2. The well-formed check of the caller: three parts with dots between them, header and claims JSON objects in UTF-8,
   nested at most 32 deep, all numbers finite (RFC 7515 §7.1, RFC 7519 §7.2).
3. ``jose.base64url``: each part is written as an encoder would write it (RFC 7515 §2). Where it is not, the text is not
   well-formed either.
4. ``jose.duplicate_member``: no member stands twice, at any depth (RFC 7515 §4). Neither value is taken.
5. ``jose.crit``: no extension is declared critical, since none is understood here (RFC 7515 §4.1.11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from counterfoil.schemas import CheckId, CheckOutcome

from ..capture.jose import decode_base64url, read_object

if TYPE_CHECKING:
    from .inspection import Outcomes

JWS_CHECKS: Final = (CheckId.JOSE_CRIT, CheckId.JOSE_DUPLICATE_MEMBER, CheckId.JOSE_BASE64URL, CheckId.JOSE_SIZE)
"""The checks that ``read_jws`` settles, beside the one that it is given."""


class Jws(NamedTuple):
    """What was read, none of it verified. Its ``repr`` shows nothing of it."""

    header: dict[str, Any]
    """The JOSE header."""
    claims: dict[str, Any]
    """The payload: the claims of a JWT."""
    signing_input: bytes
    """What the signature is made over (RFC 7515 §5.1 step 8)."""
    signature: bytes
    """The signature, decoded."""
    ambiguous: bool
    """Whether a member stood twice and was left out, so that a missing one may have been there."""

    def __repr__(self) -> str:
        return "<Jws>"


def read_jws(text: str, outcomes: Outcomes, well_formed: CheckId, *, max_size: int) -> Jws | None:
    """Read a compact JWS and settle its checks; None where it cannot be read. ``max_size`` in characters."""
    if len(text) > max_size:
        expected = f"at most {max_size:,} characters"
        outcomes.judge(CheckId.JOSE_SIZE, good=False, expected=expected, observed=f"{len(text):,}")
        return None
    outcomes.settle(CheckId.JOSE_SIZE, CheckOutcome.PASS)
    parts = text.split(".", 3)
    if len(parts) != 3:
        outcomes.judge(well_formed, good=False, expected="three parts", observed=_number(parts))
        return None
    raw = [decode_base64url(part) for part in parts]
    strict = outcomes.judge(CheckId.JOSE_BASE64URL, None not in raw)
    header, claims = read_object(raw[0]), read_object(raw[1])
    if not outcomes.judge(well_formed, strict and header and claims) or not (header and claims):
        return None
    ambiguous = header[1] or claims[1]
    outcomes.judge(CheckId.JOSE_DUPLICATE_MEMBER, not ambiguous)
    outcomes.judge(CheckId.JOSE_CRIT, "crit" not in header[0])
    signing_input = text[: -len(parts[2]) - 1].encode("ascii")
    return Jws(header[0], claims[0], signing_input, raw[2] or b"", ambiguous)


def _number(parts: list[str]) -> str:
    return f"{len(parts)}" if len(parts) < 4 else "more"
