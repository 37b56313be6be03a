"""A thief: finds an access token in a tool trace that was left lying about, and sends it. It records nothing.

It has no account, no key and no part of the agent. A bearer token is good for whoever holds it (RFC 6750 §1.2).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from .role import end_with_parent, read_brief


def find_loot(tool_trace: str) -> tuple[str, str]:
    """Return the URL of an API and an access token for it, both as the trace gives them away."""
    url = re.search(r'"url\.full": "([^"]+)"', tool_trace)
    token = re.search(r"Bearer ([\w.-]+)", tool_trace)
    if not url or not token:
        sys.exit("the trace gives nothing away")
    return url[1], token[1]


def main() -> None:
    """Play the thief: read the mail, then try the contacts, for which the token has no scope."""
    brief = read_brief()
    end_with_parent()
    url, token = find_loot(Path(brief["trace"]).read_text(encoding="utf-8"))
    with httpx2.Client(trust_env=False, headers={"Authorization": f"Bearer {token}"}) as http:
        mail, contacts = http.get(urljoin(url, "/mail")), http.get(urljoin(url, "/contacts"))
    if (mail.status_code, contacts.status_code) != (200, 403):
        sys.exit(f"the API answered {mail.status_code} and {contacts.status_code}, not 200 and 403")


if __name__ == "__main__":
    main()
