"""What every HTTP client instrument does: record each credential of a request, before it leaves and once answered.

The doors (``httpx``, ``httpx2``) give method, URL, headers and body, send the request themselves, and tell the status.
A request without a credential is not recorded. Traffic is left as it is; nothing here keeps a request.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from counterfoil.schemas import Context, Principal

from ..capture import HttpRequest, action_of, capture_credentials, resource_of
from ..scope import current_scope

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ..log import AuditLog
    from ..use import Use

    Answered = Callable[[int], None]


def uses_of(log: AuditLog, request: HttpRequest) -> list[Use]:
    """Return a use for each credential that the request shows. Tool and approval come from the scope."""
    resource = resource_of(request)
    action = action_of(request, current_scope().tool)
    return [
        log.use(
            token=found.token,
            resource=resource,
            action=action,
            binding=found.binding,
            proof=found.proof,
            context=Context(principal=Principal(actors=found.actors)) if found.actors else None,
        )
        for found in capture_credentials(request, log.fingerprint_key)
    ]


@contextmanager
def recorded(log: AuditLog, request: HttpRequest) -> Generator[Answered]:
    """Surround the sending: intents before, outcomes after. Raises ``AuditUnavailable`` before anything is sent."""
    with ExitStack() as stack:
        uses = [stack.enter_context(use) for use in uses_of(log, request)]
        yield lambda status: _answer(uses, status)


@asynccontextmanager
async def arecorded(log: AuditLog, request: HttpRequest) -> AsyncGenerator[Answered]:
    """Surround the sending, as ``recorded`` does, without blocking the event loop."""
    async with AsyncExitStack() as stack:
        uses = [await stack.enter_async_context(use) for use in uses_of(log, request)]
        yield lambda status: _answer(uses, status)


def _answer(uses: list[Use], status: int) -> None:
    for use in uses:
        use.status_code = status
