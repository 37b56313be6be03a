"""The tokens in a token endpoint's answer: remembered while the body passes, so that redaction knows them.

Nothing is read ahead and nothing is kept: the caller's reading is what is listened to. A body is listened to where the
request was a form, as a token request is (RFC 6749 §3.2), or its path names tokens, and the answer is JSON of at most
64 KiB, plain or in gzip or zlib. In another coding its tokens are known once they are used.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from ..capture.seen import remember_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..capture import HttpRequest

_MOST: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 47
_CODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


def may_hold_tokens(request: HttpRequest, status: int, media_type: str, coding: str) -> bool:
    """Whether the answer to a request is one to listen to. ``media_type`` and ``coding`` are its fields' values."""
    if status not in {200, 201} or coding.strip().lower() not in _CODINGS:
        return False
    asked = bool(request.form) or "token" in request.url.partition("?")[0].rpartition("/")[2].lower()
    return asked and media_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def overheard(stream: Any, in_memory: type[Any]) -> Any:
    """Return a body that is listened to while it is read; what lies in memory is heard at once, and stays as it is.

    ``in_memory`` is the library's own class of bodies in memory.
    """
    if type(stream) is not in_memory:
        return _overhearing(in_memory)(stream)
    if len(content := b"".join(stream)) <= _MOST:
        remember_answer(_decoded(content))
    return stream


_classes: dict[type[Any], type[Any]] = {}


def _overhearing(in_memory: type[Any]) -> type[Any]:
    """Return the class of such a body: of the library's own kind, since it takes no other."""
    if in_memory not in _classes:
        _classes[in_memory] = type("Overheard", (_Overheard, in_memory), {})
    return _classes[in_memory]


class _Overheard:
    def __init__(self, stream: Any) -> None:
        self._inner = stream
        self._heard = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                self._hear(piece)
                yield piece
        finally:
            self._remember()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                self._hear(piece)
                yield piece
        finally:
            self._remember()

    def _hear(self, piece: bytes) -> None:
        if len(self._heard) <= _MOST:
            self._heard += piece[: _MOST + 1]

    def _remember(self) -> None:
        heard, self._heard = bytes(self._heard), bytearray()
        if 0 < len(heard) <= _MOST:
            remember_answer(_decoded(heard))

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __repr__(self) -> str:
        return "<Overheard>"


def _decoded(content: bytes) -> bytes:
    if content[:1] in {b"{", b" ", b"\n", b"\r", b"\t"}:
        return content
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(content, _MOST)
    except zlib.error:
        return b""
