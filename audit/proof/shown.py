"""What a failed check may show of a hostile value: short names as they are, of anything else only what it is."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+./:=^_`|~-]{1,32}")


def shown(value: object) -> str:
    """Return a short printable name as it stands; of a longer text its length, of anything else its JSON type.

    A name of 32 characters holds a method, an algorithm or a media type, and no private key.
    """
    if isinstance(value, str):
        return value if _NAME.fullmatch(value) else f"<{len(value):,} characters>"
    return "absent" if value is None else f"<{_JSON_TYPES.get(type(value), 'a value')}>"


_JSON_TYPES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}
