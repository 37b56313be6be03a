"""An API that checks every credential itself, and records each use that it sees, accepted or refused.

The recording is a layer of its own around the application (``Recorded``): the credential is checked, the intent is
written, the application answers, the outcome is written. Whoever sent the request cannot keep it out of the log.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterfoil.schemas import (
    BindingMethod,
    CheckOutcome,
    Context,
    Observer,
    Proof,
    ProofResult,
    SignerProcess,
)

from ..capture import HttpRequest, action_of, capture_credentials, resource_of
from ..log import AuditLog
from .guard import SEVERAL, Guard
from .role import read_brief, serve

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..capture import Credential
    from ..use import Use
    from .guard import Verdict


class Recorded:
    """ASGI around an application: nothing is answered before the use of the credential is in the log."""

    def __init__(self, app: ASGIApp, log: AuditLog, guard: Guard, base_url: str) -> None:
        self._app = app
        self._log = log
        self._guard = guard
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, record the intent, answer, record the outcome."""
        request = Request(scope)
        wire = HttpRequest(request.method, self._url_of(scope), tuple(request.headers.items()))
        several = len(capture_credentials(wire, self._log.fingerprint_key)) > 1
        verdict = SEVERAL if several else await self._guard.decide(request)
        async with AsyncExitStack() as stack:
            uses = [await stack.enter_async_context(use) for use in self._uses_of(wire, verdict, _peer_of(request))]

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    for use in uses:
                        use.status_code = message["status"]
                await send(message)

            await (verdict.refusal or self._app)(scope, receive, answer)

    def _uses_of(self, wire: HttpRequest, verdict: Verdict, peer: str | None) -> list[Use]:
        resource = resource_of(wire).model_copy(update={"accepted_audiences": (self._base_url,)})
        return [
            self._log.use(
                token=found.token,
                binding=found.binding.model_copy(update={"verified": BindingMethod.NONE}),
                proof=_proof_of(found, verdict),
                signer=SignerProcess(),  # which process sent it is not on the wire
                resource=resource,
                action=action_of(wire),
                context=Context(observer=Observer.RESOURCE_SERVER, peer=peer),
            )
            for found in capture_credentials(wire, self._log.fingerprint_key, facts=verdict.facts)
        ]

    def _url_of(self, scope: Scope) -> str:
        """Return the target URI under our own name: the Host header is the sender's."""
        path: str = scope["raw_path"].decode("latin-1")
        query: str = scope["query_string"].decode("latin-1")
        return self._base_url + path + (f"?{query}" if query else "")


def _peer_of(request: Request) -> str | None:
    return f"{request.client.host}:{request.client.port}" if request.client else None


def _proof_of(found: Credential, verdict: Verdict) -> Proof:
    outcomes = {check.outcome for check in verdict.checks}
    bad = (ProofResult(each.value) for each in (CheckOutcome.FAIL, CheckOutcome.ERROR) if each in outcomes)
    result = next(bad, found.proof.result)
    return found.proof.model_copy(update={"checks": verdict.checks, "checked_by": "demo-api", "result": result})


async def mail(_request: Request) -> JSONResponse:
    """Return the inbox."""
    return JSONResponse([{"from": "supplier@acme.example", "subject": "Invoice 4711", "text": "Due on Friday."}])


async def contacts(_request: Request) -> JSONResponse:
    """Return the address book."""
    return JSONResponse([{"name": "Dana", "address": "dana@acme.example"}])


async def payments(request: Request) -> JSONResponse:
    """Accept a payment."""
    return JSONResponse({"paid": (await request.json())["invoice"]}, status_code=201)


async def invoices(_request: Request) -> JSONResponse:
    """Return invoices."""
    return JSONResponse([{"id": "4711", "amount": "1200.00", "currency": "EUR"}])


async def calendar(_request: Request) -> JSONResponse:
    """Return appointments."""
    return JSONResponse([{"at": "2026-12-01T09:00:00Z", "title": "Budget"}])


def build(log: AuditLog, brief: dict[str, Any]) -> ASGIApp:
    """Return the application with the recording around it."""
    app = Starlette(
        routes=[
            Route("/mail", mail),
            Route("/contacts", contacts),
            Route("/payments", payments, methods=["POST"]),
            Route("/invoices", invoices),
            Route("/calendar", calendar),
        ]
    )
    return Recorded(app, log, Guard(brief), brief["audience"])


def main() -> None:
    """Play the API."""
    brief = read_brief()
    with AuditLog.open(brief["db"]) as log:
        serve(build(log, brief), brief)


if __name__ == "__main__":
    main()
