"""A thief: finds what a tool trace gives away, and tries what can be done with it. It records nothing.

It has no account, no key and no part of the agent; only a certificate of its own, from the same authority as everybody
here. A bearer token is good for whoever holds it (RFC 6750 §1.2). The others are not, and it tries them one by one.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2

from .certificates import Identity
from .possession import ProofKey
from .role import end_with_parent, read_brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VERSION: Final = "2026-07-28"
_CALL: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "read_inbox",
        "arguments": {"folder": "inbox"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": _VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "anything", "version": "1"},
        },
    },
}
_MCP: Final = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": _VERSION,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "read_inbox",
}
"""A call as MCP sends it: one request, which needs no session."""


@dataclass(frozen=True, slots=True, repr=False)
class Loot:
    """One request, as the trace gives it away."""

    method: str
    url: str
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        """The access token."""
        return self.headers["authorization"].partition(" ")[2]


def find_loot(tool_trace: str) -> Iterator[Loot]:
    """Yield every request with an access token that the trace holds."""
    for each in re.findall(r'"http\.request\.headers": (".*?(?<!\\)")', tool_trace):
        method, url, headers = json.loads(json.loads(each))
        if "authorization" in headers:
            yield Loot(method, url, headers)


def main() -> None:
    """Play the thief: one replay that is accepted, and five that are refused."""
    brief = read_brief()
    end_with_parent()
    found = list(find_loot(Path(brief["trace"]).read_text(encoding="utf-8")))
    bearer = next(each for each in found if each.url.startswith(brief["mcp"]))
    read = [each for each in found if "dpop" in each.headers and each.method == "GET"][-1]
    payment = next(each for each in found if each.url.endswith("/payments") and "dpop" not in each.headers)
    with (
        httpx2.Client(trust_env=False, verify=Identity.of(brief).client_context(present=False)) as plain,
        httpx2.Client(trust_env=False, verify=Identity.of(brief).client_context(present=True)) as certified,
    ):
        answers = {
            "the bearer token": _replay(plain, bearer, content=json.dumps(_CALL), **_MCP),
            "a bound token as a bearer token": _send(plain, read, Authorization=f"Bearer {read.token}"),
            "a bound token with a key of its own": _send(plain, read, **_forged(read)),
            "a bound token with the captured proof": _replay(plain, read),
            "the captured proof for another URL": _elsewhere(plain, read),
            "a token bound to a certificate, with a certificate of its own": _replay(certified, payment),
        }
    expected = [200, 401, 401, 401, 401, 401]
    if list(answers.values()) != expected:
        sys.exit(f"the servers answered {answers}, not {expected}")


def _forged(loot: Loot) -> dict[str, str]:
    proof = ProofKey().prove(loot.method, loot.url, token=loot.token)
    return {"Authorization": f"DPoP {loot.token}", "DPoP": proof}


def _elsewhere(http: httpx2.Client, loot: Loot) -> int:
    url = httpx2.URL(loot.url).join("/payments")
    return _replay(http, Loot("POST", str(url), loot.headers))


def _replay(http: httpx2.Client, loot: Loot, content: str = "{}", **more: str) -> int:
    kept = {name: value for name, value in loot.headers.items() if name in {"authorization", "dpop"}}
    return _send(http, loot, content=content, **kept, **more)


def _send(http: httpx2.Client, loot: Loot, content: str = "{}", **headers: str) -> int:
    body: dict[str, Any] = {} if loot.method == "GET" else {"content": content}
    given = {"Content-Type": "application/json", **headers}
    return http.request(loot.method, loot.url, headers=given, **body).status_code


if __name__ == "__main__":
    main()
