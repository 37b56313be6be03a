"""The key that signs for what is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import SigningKeyError

if TYPE_CHECKING:
    from ..integrity.signing_key import SigningKey


def require_signing_key(given: SigningKey | None) -> SigningKey:
    """Return the key that was given, or that of the environment. Raises ``SigningKeyError`` for neither."""
    from ..integrity.signing_key import load_signing_key

    key = given or load_signing_key()
    if key is None:
        raise SigningKeyError(
            "what is removed has to be signed for, and there is no signing key",
            advice="Make one with `counterfoil key new FILE`, elsewhere than beside the log, and name it in "
            "COUNTERFOIL_SIGNING_KEY_FILE. Unsigned, a removal could not be told from an attack.",
        )
    return key
