"""A request being served, and its record: one use for each credential that it shows."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import (
    Context,
    Observer,
    Outcome,
    Principal,
    Resource,
    SignerProcess,
)

from ..capture import action_of, resource_of
from ..capture.claims import name_of
from ..capture.mcp import message_of
from ..scope import current_trace
from .inbound import InboundUse
from .route import route_template

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from ..capture import HttpRequest
    from ..log import AuditLog
    from ..proof.verdict import Headers, Refusal, Verdict, Verifier
    from ..use import Use
    from .asgi_answer import Answer
    from .asgi_scope import Received, Scope

_SIGNER = SignerProcess()  # which process sent it is not on the wire
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Exchange:
    """One request and what is recorded of it.

    The intents are written before the application runs (``begin``); or, for those who would rather not wait, once it
    has run for so long (``begin_later``). What ends sooner is then one entry, afterwards.
    """

    def __init__(
        self,
        log: AuditLog,
        received: Callable[[], Received],
        verdict: Verdict | None = None,
        verifier: Verifier | None = None,
        *,
        anonymous: bool,
    ) -> None:
        """Nothing is read before it is needed: ``received`` reads the request, once.

        With ``anonymous``, a request that is refused without a credential has a use too, of the class ``none``.
        """
        self._log = log
        self._anonymous = anonymous
        self._received = received
        self._verifier = verifier
        self._started_at = datetime.now(UTC)
        self._uses: list[Use] | None = None
        self._main: Use | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._begun: list[Use] = []
        self._ended = False
        self.inbound = InboundUse(received, log.fingerprint_key, verdict)
        self.refusal: Refusal | None = verdict.refusal if verdict else None
        self.document: bytes | None = verdict.document if verdict else None
        self.headers: Headers = verdict.headers if verdict else ()

    @property
    def uses(self) -> list[Use]:
        """A use for each credential; empty if the request shows none."""
        if self._uses is None:
            seen = self.inbound.seen
            self._resource = _resource(self._received(), self._verifier)
            numbered = range(len(seen.credentials) or bool(self._anonymous and self.refusal))
            self._uses = [self._use(index) for index in numbered]
            self._main = self._uses[seen.main] if self._uses else None
        return self._uses

    def _use(self, index: int) -> Use:
        seen, received = self.inbound.seen, self._received()
        shown = seen if index == seen.main else seen.credentials[index]
        # Said to be absent: what surrounds the server's own uses is not what this one was sent for.
        context: dict[str, Any] = {"observer": Observer.RESOURCE_SERVER, "peer": received.peer, "inbound": None}
        if shown.actors:
            context["principal"] = Principal(actors=shown.actors)
        use = self._log.use(
            token=shown.token,
            binding=shown.binding,
            proof=shown.proof,
            signer=_SIGNER,
            resource=self._resource,
            action=action_of(received.request),
            context=Context(**context, **_trace(received.request)),
        )
        use.started_at = self._started_at
        return use

    async def begin(self) -> None:
        """Record the intents. Raises ``StoreError`` if any cannot be written."""
        begun = await _together([use.__aenter__() for use in self.uses])
        self._begun = [use for use, each in zip(self.uses, begun, strict=True) if not isinstance(each, BaseException)]
        failed = [each for each in begun if isinstance(each, BaseException)]
        if failed:
            raise failed[0]

    async def abandon(self, answer: Answer, scope: Scope) -> None:
        """End the uses that had begun, since the application does not run."""
        self._uses = self._begun
        await self.end(answer, scope)

    def begin_later(self, seconds: float) -> None:
        """Record the intents if the request has not ended after so many seconds."""
        self._waiting = asyncio.get_running_loop().call_later(seconds, self._begin_now)

    def _begin_now(self) -> None:
        self._beginning = asyncio.get_running_loop().create_task(self._begin_late())

    async def _begin_late(self) -> None:
        with suppress(Exception):  # the application runs already: what has no intent is one entry in the end
            await self.begin()

    async def end(self, answer: Answer, scope: Scope, raised: type[BaseException] | None = None) -> None:
        """Record the outcomes, once. Raises nothing but that it is cancelled."""
        if self._ended:
            return
        self._ended = True
        if self._waiting:
            self._waiting.cancel()
        if self._beginning:
            await self._beginning
        try:
            await self._record(answer, scope, raised)
        except Exception as error:  # noqa: BLE001 -- the answer is given, and the host must not hear of our troubles
            self._log.note_lost_outcome(error)

    async def _record(self, answer: Answer, scope: Scope, raised: type[BaseException] | None) -> None:
        uses = self.uses
        if not uses and self._anonymous and answer.status == HTTPStatus.UNAUTHORIZED:
            uses = [self._use(0)]  # the host asked for a credential (RFC 9110 §15.5.2)
        self._settle(uses, answer, scope)
        outcomes = [
            use.__aexit__(raised, None, None) if use in self._begun else use.arecord_whole(raised) for use in uses
        ]
        for failed in await _together(outcomes):
            if isinstance(failed, Exception):
                self._log.note_lost_outcome(failed)

    def _settle(self, uses: list[Use], answer: Answer, scope: Scope) -> None:
        """Take over what the answer taught: status and error, the route that served, what the host reported."""
        words = next(iter(self._received().request.values("authorization")), "").split(None, 1)
        error = answer.error(words[0] if words else "")
        inbound, done = self.inbound, self.inbound.action
        told = answer.status is None or answer.status < HTTPStatus.BAD_REQUEST
        for use in uses:
            use.status_code, use.error_type, use.name = answer.status, error or done.error_type, self._name(scope)
            use.outcome = Outcome.REFUSED if error else done.outcome if told else None
            use.arguments_digest = done.arguments_digest
            use.context = inbound.context(main=use is self._main)
            if inbound.accepted_audiences:
                use.resource = self._resource.model_copy(update={"accepted_audiences": inbound.accepted_audiences})
            if use is self._main:
                use.token, use.binding, use.proof = inbound.token, inbound.binding, inbound.proof

    def _name(self, scope: Scope) -> str | None:
        """Return what the action is called: by the host, by what the request asks of an MCP server, by the route."""
        inbound, request, template = self.inbound, self._received().request, route_template(scope)
        said = inbound.tool.name if inbound.tool else inbound.action.name or message_of(request).name
        return name_of(said or (template and f"{request.method} {template}"))

    async def record_refusal(self, refusal: Refusal) -> None:
        """Record each use whole, refused, or failed where the checking itself failed. Raises ``StoreError``."""
        for use in self.uses:
            use.status_code, use.error_type = refusal.status, refusal.error
            use.outcome = Outcome.FAILED if refusal.status >= 500 else Outcome.REFUSED
        for failed in await _together([use.arecord_whole() for use in self.uses]):
            if isinstance(failed, BaseException):
                raise failed


async def _together(steps: Sequence[Coroutine[Any, Any, object]]) -> list[object]:
    """Run all, so that one commit takes them together, and return what each came to, exceptions too."""
    if len(steps) > 1:
        return await asyncio.gather(*steps, return_exceptions=True)
    try:
        return [await step for step in steps]  # as nearly always: no task is made for it
    except Exception as error:  # noqa: BLE001 -- for the caller to raise
        return [error]


def _resource(received: Received, verifier: Verifier | None) -> Resource:
    found = resource_of(received.request)
    if verifier is None:
        return found
    return Resource(
        uri=found.uri,
        server=found.server,
        accepted_audiences=tuple(verifier.accepted_audiences),
        metadata=verifier.metadata_url,
    )


def _trace(request: HttpRequest) -> dict[str, str]:
    """Return the trace that the sender names (W3C Trace Context §3.2), unless a span of our own is open."""
    named = _TRACEPARENT.fullmatch(next(iter(request.values("traceparent")), ""))
    return {"trace_id": named[1]} if named and not current_trace() else {}
