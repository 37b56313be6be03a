"""A request being served, and its record: one use for each credential that it shows."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import (
    Context,
    CounterfoilError,
    Fingerprint,
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
    from collections.abc import Coroutine, Sequence

    from ..capture import HttpRequest
    from ..log import AuditLog
    from ..proof.verdict import Headers, Refusal, Verdict, Verifier
    from ..use import Use
    from .asgi_answer import Answer
    from .asgi_scope import Received, Scope

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Exchange:
    """One request and what is recorded of it. ``uses`` is empty if it shows no credential."""

    def __init__(
        self, log: AuditLog, received: Received, verdict: Verdict | None, verifier: Verifier | None, *, anonymous: bool
    ) -> None:
        """With ``anonymous``, a request that is refused without a credential has a use too, of the class ``none``."""
        self._log = log
        self._anonymous = anonymous
        self._request = received.request
        self._peer = received.peer
        self._resource = _resource(received, verifier)
        self.inbound = InboundUse(received, log.fingerprint_key, verdict)
        self.refusal: Refusal | None = verdict.refusal if verdict else None
        self.document: bytes | None = verdict.document if verdict else None
        self.headers: Headers = verdict.headers if verdict else ()
        shown = len(self.inbound.credentials)
        self.uses = [self._use(index) for index in range(shown or bool(anonymous and self.refusal))]
        self._main = self.uses[self.inbound.main] if self.uses else None

    @property
    def fingerprint(self) -> Fingerprint | None:
        """The main credential, for what is sent out while it is served."""
        return self.inbound.token.fingerprint

    def _use(self, index: int) -> Use:
        main = index == self.inbound.main
        shown = self.inbound if main else self.inbound.credentials[index]
        # Said to be absent: what surrounds the server's own uses is not what this one was sent for.
        context: dict[str, Any] = {"observer": Observer.RESOURCE_SERVER, "peer": self._peer, "inbound": None}
        if shown.actors:
            context["principal"] = Principal(actors=shown.actors)
        return self._log.use(
            token=shown.token,
            binding=shown.binding,
            proof=shown.proof,
            signer=SignerProcess(),  # which process sent it is not on the wire
            resource=self._resource,
            action=action_of(self._request),
            context=Context(**context, **_trace(self._request)),
        )

    async def begin(self) -> None:
        """Record the intents. Raises ``StoreError`` if any cannot be written; those that were have still to end."""
        begun = await _together([use.__aenter__() for use in self.uses])
        failed = [each for each in begun if isinstance(each, BaseException)]
        if failed:
            self.uses = [use for use, each in zip(self.uses, begun, strict=True) if not isinstance(each, BaseException)]
            raise failed[0]

    async def end(self, answer: Answer, scope: Scope, raised: type[BaseException] | None = None) -> None:
        """Record the outcomes, once. Raises nothing."""
        uses, self.uses = self.uses, []
        if uses:
            self._settle(uses, answer, scope)
            await _together([use.__aexit__(raised, None, None) for use in uses])
        elif self._anonymous and answer.status == HTTPStatus.UNAUTHORIZED and not self.inbound.credentials:
            await self._end_without_credential(answer, scope)

    async def _end_without_credential(self, answer: Answer, scope: Scope) -> None:
        """Record that the host asked for a credential (RFC 9110 §15.5.2), in one entry, since nothing was done."""
        self._anonymous = False
        use = self._use(0)
        self._settle([use], answer, scope)
        try:
            await use.arecord_whole()
        except CounterfoilError as error:
            self._log.note_lost_outcome(error)

    def _settle(self, uses: list[Use], answer: Answer, scope: Scope) -> None:
        """Take over what the answer taught: status and error, the route that served, what the host reported."""
        words = next(iter(self._request.values("authorization")), "").split(None, 1)
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
        inbound, template = self.inbound, route_template(scope)
        said = inbound.tool.name if inbound.tool else inbound.action.name or message_of(self._request).name
        return name_of(said or (template and f"{self._request.method} {template}"))

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
