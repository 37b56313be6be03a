"""What every HTTP client instrument does: record each credential of a request, before it leaves and once answered.

The doors (``httpx``, ``httpx2``) are transports around transports, and share this body: the two libraries have one
face, but no types in common. A request without a credential is not recorded. Traffic is left as it is; nothing here
keeps a request.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from .passage import ClientRequest, ClientResponse, Passage

if TYPE_CHECKING:
    from .passage import Settings


class BlockingResponse(ClientResponse, Protocol):
    """A response of ``Client``."""

    def close(self) -> None:
        """Give its connection back."""
        ...


class AsyncResponse(ClientResponse, Protocol):
    """A response of ``AsyncClient``."""

    async def aclose(self) -> None:
        """Give its connection back."""
        ...


_Request = TypeVar("_Request", bound=ClientRequest)
_Response = TypeVar("_Response", bound=BlockingResponse)
_AsyncResponse = TypeVar("_AsyncResponse", bound=AsyncResponse)
_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)


class BlockingTransport(Protocol[_Request_contra, _Response_co]):
    """A transport of ``Client``."""

    def handle_request(self, request: _Request_contra, /) -> _Response_co:
        """Send one request."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class AsyncTransport(Protocol[_Request_contra, _Response_co]):
    """A transport of ``AsyncClient``."""

    async def handle_async_request(self, request: _Request_contra, /) -> _Response_co:
        """Send one request."""
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...


class BlockingDoor(Generic[_Request, _Response]):
    """The blocking instrument of either library."""

    def __init__(self, settings: Settings, transport: BlockingTransport[_Request, _Response]) -> None:
        self._settings = settings
        self._transport = transport

    def handle_request(self, request: _Request) -> _Response:
        """Send one request. The answer's body is left alone, so that streaming stays streaming.

        Only the short JSON in which a token endpoint says why it refused is read here.
        """
        passage = Passage(self._settings, request)
        with ExitStack() as unless_returned:
            with ExitStack() as uses:
                for use in passage.uses:
                    uses.enter_context(use)
                response = self._transport.handle_request(request)
                unless_returned.callback(response.close)
                passage.answered(response)
                if passage.answer_tells_why(response):
                    content = b"".join(response.stream)
                    response.stream.close()
                    passage.told_why(response, content)
            unless_returned.pop_all()
        return response

    def close(self) -> None:
        """Close the transport inside. The log stays open."""
        self._transport.close()


class AsyncDoor(Generic[_Request, _AsyncResponse]):
    """The same for asynchronous clients."""

    def __init__(self, settings: Settings, transport: AsyncTransport[_Request, _AsyncResponse]) -> None:
        self._settings = settings
        self._transport = transport

    async def handle_async_request(self, request: _Request) -> _AsyncResponse:
        """Send one request, as ``BlockingDoor`` does."""
        passage = Passage(self._settings, request)
        async with AsyncExitStack() as unless_returned:
            async with AsyncExitStack() as uses:
                for use in passage.uses:
                    await uses.enter_async_context(use)
                response = await self._transport.handle_async_request(request)
                unless_returned.push_async_callback(response.aclose)
                passage.answered(response)
                if passage.answer_tells_why(response):
                    content = b"".join([piece async for piece in response.stream])
                    await response.stream.aclose()
                    passage.told_why(response, content)
            unless_returned.pop_all()
        return response

    async def aclose(self) -> None:
        """Close the transport inside. The log stays open."""
        await self._transport.aclose()
