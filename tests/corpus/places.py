"""Where a credential can stand in what is recorded: as JSON values around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Place:
    """One place."""

    name: str
    told: bool
    """Whether a name says that a secret stands there."""
    put: Callable[[str], Any]
    lines: bool = True
    """Whether a text of several lines can stand there."""


_TRACE = 'Traceback (most recent call last):\n  File "agent.py", line 7, in call\n    send()\nValueError: '

PLACES: Final = (
    Place("by itself", told=False, put=lambda text: text),
    Place("in prose", told=False, put=lambda text: f"The tool answered {text} and then it stopped."),
    Place("after a colon, before a comma", told=False, put=lambda text: f"result: {text}, next", lines=False),
    Place("in brackets", told=False, put=lambda text: f"(see {text})"),
    Place("in quotes", told=False, put=lambda text: f"it said '{text}'"),
    Place("between Chinese characters", told=False, put=lambda text: f"令牌{text}结束", lines=False),
    Place("an innocent member", told=False, put=lambda text: {"note": text, "count": 3}),
    Place("in a list", told=False, put=lambda text: ["first", text, "last"]),
    Place("JSON in a string", told=False, put=lambda text: json.dumps({"note": text, "count": 3})),
    Place("JSON in JSON in a string", told=False, put=lambda text: json.dumps({"body": json.dumps({"note": text})})),
    Place("an innocent header line", told=False, put=lambda text: f"X-Note: {text}\r\nHost: a.example", lines=False),
    Place("an innocent query value", told=False, put=lambda text: f"https://a.example/x?ref={quote(text, '')}&page=2"),
    Place("a path", told=False, put=lambda text: f"https://a.example/x/{quote(text, '')}/y"),
    Place("exception text", told=False, put=lambda text: f"{_TRACE}refused {text!r}"),
    Place("an innocent setting", told=False, put=lambda text: f"export EXAMPLE={text}", lines=False),
    Place("an argument", told=False, put=lambda text: ["run", text, "--fast"]),
    Place(
        "a log line", told=False, put=lambda text: f"2026-11-25T07:00:00Z INFO mail value={text} took=3ms", lines=False
    ),
    Place("Authorization", told=True, put=lambda text: {"headers": {"Authorization": f"Bearer {text}"}}, lines=False),
    Place("a header line", told=True, put=lambda text: f"GET /mail\r\nAuthorization: Bearer {text}\r\n", lines=False),
    Place("a cookie", told=True, put=lambda text: {"headers": {"Cookie": f"sid={text}; theme=dark"}}, lines=False),
    Place("Mcp-Session-Id", told=True, put=lambda text: f"mcp-session-id: {text}", lines=False),
    Place("a secret member", told=True, put=lambda text: {"access_token": text, "expires_in": 60}),
    Place("a secret member, in a string", told=True, put=lambda text: json.dumps({"client_secret": text})),
    Place("a secret query value", told=True, put=lambda text: f"https://a.example/cb?code={quote(text, '')}&page=2"),
    Place("a form", told=True, put=lambda text: f"grant_type=refresh_token&refresh_token={quote(text, '')}"),
    Place("an environment", told=True, put=lambda text: {"env": {"EXAMPLE_TOKEN": text, "HOME": "/root"}}),
    Place("a setting", told=True, put=lambda text: f"export DB_PASSWORD={text}", lines=False),
    Place("an option", told=True, put=lambda text: ["deploy", "--token", text, "--region", "south"]),
    Place("locals of a traceback", told=True, put=lambda text: f"    password = {text!r}\n    retries = 3"),
    Place("YAML", told=True, put=lambda text: f"user: me\npassword: {text}\nport: 5432", lines=False),
)
