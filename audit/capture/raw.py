"""Reading a raw HTTP/1.1 request, as people paste it into ``counterfoil inspect``.

The rules (RFC 9112), strict where a lenient reader would guess:

1. Lines end with LF or CRLF; a CR elsewhere, a NUL and other control characters are refused (§2.2, RFC 9110 §5.5).
2. The request line is ``method target version``, with single spaces (§3). The target is in origin-form, which needs
   ``Host`` or a base URL, or in absolute-form (§3.2).
3. A field line is ``name: value`` with no space before the colon (§5.1). A folded line is refused (§5.2).
4. The body is what follows the empty line, as far as ``Content-Length`` goes. Transfer codings are not undone (§6.1).

Each refusal names the number of the line, counted from 1, and never its content.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from counterfoil.schemas import InvalidRequest

from .request import HttpRequest

MAX_LINE: Final = 32 * 1024
"""The longest line, in bytes: twice the longest token that is read."""

MAX_LINES: Final = 256
"""The most lines before the body."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_WORD}) ([^\s]+) HTTP/[0-9](?:\.[0-9])?")
_FIELD_LINE = re.compile(rf"({_WORD}):(.*)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE = re.compile(r"https?://[^/?#\s]+", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")


def parse_raw_request(raw: bytes, base_url: str | None = None) -> HttpRequest:
    """Parse one request. Raises ``InvalidRequest``.

    ``base_url`` (``https://host``, a path prefix may follow) goes before a target in origin-form; without one the
    request is taken to have been sent to its ``Host`` over https, since the request itself does not tell.
    """
    head, body = _head(raw)
    number, line = head[0]
    request_line = _REQUEST_LINE.fullmatch(line)
    if not request_line:
        _refuse(number, "this is not a request line, `METHOD /target HTTP/1.1`")
    method, target = request_line.groups()
    fields = [(number, *_field(number, line)) for number, line in head[1:]]
    url = _url(number, target, [(number, value) for number, name, value in fields if name.lower() == "host"], base_url)
    headers = tuple((name, value) for _, name, value in fields)
    return HttpRequest(method, url, headers, _content(body, headers) or None)


def _refuse(number: int, problem: str) -> NoReturn:
    raise InvalidRequest(f"line {number}: {problem}")


def _head(raw: bytes) -> tuple[list[tuple[int, str]], bytes]:
    """Return the lines before the body with their numbers, and the rest. Empty lines before it are skipped (§2.2)."""
    head: list[tuple[int, str]] = []
    at = 0
    for number in range(1, MAX_LINES + 1):
        end = raw.find(b"\n", at, at + MAX_LINE + 1)
        if end < 0 and len(raw) - at > MAX_LINE:
            _refuse(number, f"the line is longer than {MAX_LINE:,} bytes")
        line = raw[at : end if end >= 0 else len(raw)].removesuffix(b"\r")
        at = end + 1 if end >= 0 else len(raw)
        if _CONTROL.search(line):
            _refuse(number, "the line contains a control character")
        if line:
            head.append((number, line.decode("utf-8", "surrogateescape")))
        if (head and not line) or at >= len(raw):
            break
    else:
        _refuse(MAX_LINES + 1, "there are too many lines before the body")
    if not head:
        raise InvalidRequest("there is no request")
    return head, raw[at:]


def _field(number: int, line: str) -> tuple[str, str]:
    if line[0] in " \t":
        _refuse(number, "the line continues the one before it; write the field on one line")
    match = _FIELD_LINE.fullmatch(line)
    if not match:
        _refuse(number, "this is not a field line, `Name: value`")
    name, value = match.groups()
    if name.lower() == "transfer-encoding":
        _refuse(number, "a transfer coding is not undone here; give the content itself, with Content-Length")
    return name, value.strip(" \t")


def _url(number: int, target: str, hosts: list[tuple[int, str]], base_url: str | None) -> str:
    if base_url is not None and not _ABSOLUTE.match(base_url):
        raise InvalidRequest("the base URL is not an absolute http or https URL")
    if len(hosts) > 1:
        _refuse(hosts[1][0], "there is more than one Host")
    if _ABSOLUTE.match(target):
        return target
    if not target.startswith("/"):
        _refuse(number, "the target is neither a path nor an absolute http or https URL")
    if base_url is not None:
        return base_url.rstrip("/") + target
    if not hosts:
        _refuse(number, "Host is missing; give it, or a base URL")
    host_number, host = hosts[0]
    if not _HOST.fullmatch(host):
        _refuse(host_number, "this is not a host")
    return f"https://{host}{target}"


def _content(rest: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    for name, value in headers:
        if name.lower() == "content-length" and value.isascii() and value.isdigit():
            return rest[: int(value[:18])]
    return rest.rstrip(b"\r\n")  # the line end that an editor or a shell adds is not content
