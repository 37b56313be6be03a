"""The ASGI instrument: a layer around an application that records each credential presented to it.

::

    app.add_middleware(AuditMiddleware, log=log)                    # Starlette, FastAPI
    app = AuditMiddleware(app, log, resource="https://api.example")  # any ASGI application

1. A request that shows a credential is recorded before the application runs, and once it has answered. If the log does
   not take the intent, the answer is 503 and the application never runs.
2. With ``verify`` the credential is checked first. A refusal is recorded, in one entry, before it is sent.
3. The application finds what is known of the credential in ``state.counterfoil`` (``InboundUse``), and may add to it.
4. What the application sends out meanwhile is recorded with ``context.inbound``: the credential that it served.
5. Bodies pass through untouched and unread, so a credential in a form is not seen. Lifespan passes through as it is.

Of a WebSocket the handshake is recorded: intent before it, outcome when it is accepted or refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.schemas import ConfigurationError

from ..proof.verdict import Refusal
from ..scope import serving
from .asgi_answer import Answer
from .asgi_scope import Surroundings
from .exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..log import AuditLog
    from ..proof.verdict import Verifier
    from .asgi_scope import App, Receive, Scope, Send

_RECORDED: Final = frozenset({"http", "websocket"})
_UNAVAILABLE: Final = Refusal(503)
_ORIGIN: Final = re.compile(r"https?://[^/?#@]+")


class AuditMiddleware:
    """Records each credential that is presented to ``app``; with ``verify`` also decides whether ``app`` may run.

    ``resource`` is the base URL under which clients know the server: path ``/`` of ``app`` is there. Without it the
    origin of what ``verify`` protects serves, if that is a URL; else the target URI is taken from the ``Host`` field,
    which is the sender's word, and recorded as such. ``trusted_hops`` are addresses or networks of
    proxies: from them ``Forwarded`` and ``Client-Cert`` are believed. The server must then give the address of the
    connection, not one that it took from a header (uvicorn: ``proxy_headers=False``).

    ``verify`` is a ``ResourceServer``, or anything else that decides. Of requests without a credential those that it
    refuses, or the application answers with 401, are recorded unless ``anonymous_refusals`` is off; others never are.

    With ``intent_after``, in seconds, the application runs at once. Only a request that takes longer has an intent; one
    that is over sooner is a single entry, written after the answer. It then also runs if the log turns out to be
    unavailable, which a gap entry tells. With queued delivery, whose entries wait a moment anyway, 0.05 costs nothing
    that a crash would not take.

    Raises ``ConfigurationError`` for an option that means nothing.
    """

    def __init__(  # noqa: PLR0913 -- one keyword an option
        self,
        app: App,
        log: AuditLog,
        *,
        resource: str | None = None,
        trusted_hops: Iterable[str] = (),
        verify: Verifier | None = None,
        anonymous_refusals: bool = True,
        intent_after: float = 0.0,
    ) -> None:
        self._app = app
        self._log = log
        self._surroundings = Surroundings(resource or _origin(verify), trusted_hops)
        self._verify = verify
        self._anonymous_refusals = anonymous_refusals
        self._intent_after = intent_after
        if not 0 <= intent_after < float("inf"):
            raise ConfigurationError("intent_after is a number of seconds, 0 or more")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3.0). What the application raises is recorded, and raised as it is."""
        if scope["type"] not in _RECORDED:
            await self._app(scope, receive, send)
            return
        answer = Answer(scope, receive, send)
        try:
            exchange = await self._examine(scope)
        except Exception as error:  # noqa: BLE001 -- whatever a sender found, the application must not run unrecorded
            diagnostics().error("a request could not be examined", error=type(error).__name__)
            await answer.refuse(_UNAVAILABLE)
            return
        if exchange.document is not None:
            await answer.give(exchange.document)
        elif exchange.refusal:
            await answer.refuse(await _recorded(exchange, exchange.refusal))
        else:
            scope.setdefault("state", {})["counterfoil"] = exchange.inbound
            answer.headers = exchange.headers
            await self._serve(exchange, answer, scope)

    async def _examine(self, scope: Scope) -> Exchange:
        shown = {**scope, "headers": tuple(scope["headers"])}  # as it came: the application may change its scope
        received = cache(lambda: self._surroundings.read(shown))
        if not self._verify:
            return Exchange(self._log, received, anonymous=self._anonymous_refusals)
        verdict = await self._verify.decide(
            received().request,
            now=datetime.now(UTC),
            certificate=received().certificate,
            trusted_hop=received().trusted_hop,
            htu_source=received().htu_source,
        )
        return Exchange(self._log, received, verdict, self._verify, anonymous=self._anonymous_refusals)

    async def _serve(self, exchange: Exchange, answer: Answer, scope: Scope) -> None:
        """Record the intent, run the application, record the outcome."""
        if self._intent_after:
            exchange.begin_later(self._intent_after)
        elif not await _begun(exchange):
            await answer.refuse(_UNAVAILABLE)
            await exchange.abandon(answer, scope)
            return
        answer.when_accepted = lambda: exchange.end(answer, scope)
        raised: type[BaseException] | None = None
        try:
            with serving(lambda: exchange.inbound.fingerprint):
                await self._app(scope, answer.receive, answer.send)
        except BaseException as error:
            raised = type(error)
            raise
        finally:
            await exchange.end(answer, scope, raised)


def _origin(verifier: Verifier | None) -> str | None:
    """Return the origin of what a verifier protects, so that no sender says under which name it was reached."""
    named = (_ORIGIN.match(each) for each in (verifier.accepted_audiences if verifier else ()))
    return next((each[0] for each in named if each), None)


async def _begun(exchange: Exchange) -> bool:
    """Record the intents. False if that failed: then the application must not run."""
    try:
        await exchange.begin()
    except Exception as error:  # noqa: BLE001 -- whatever kept the intent away, it is not there
        diagnostics().error("a request was not served: no intent", error=type(error).__name__)
        return False
    return True


async def _recorded(exchange: Exchange, refusal: Refusal) -> Refusal:
    """Record a refusal, and return what to answer: that the log is unavailable, where it is."""
    try:
        await exchange.record_refusal(refusal)
    except Exception as error:  # noqa: BLE001 -- it is refused either way, and the host must not hear of our troubles
        diagnostics().error("a refusal was not recorded", error=type(error).__name__)
        return _UNAVAILABLE
    return refusal
