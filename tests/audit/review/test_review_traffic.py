"""The two stubs of real requests, recorded by the instruments of both sides, find each other."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import httpx2
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.instrument.httpx2 import AsyncAuditTransport
from counterfoil.schemas import CredentialUse, Requirement

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from starlette.requests import Request

    from counterfoil.audit.review import Incident
    from counterfoil.schemas import FingerprintKey

_API = "https://api.example"


async def _mail(request: Request) -> Response:
    proof = request.headers.get("dpop", "")
    if proof and "fresh" not in _claims(proof):
        header = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "fresh"}
        return Response(status_code=401, headers=header)
    return JSONResponse([])


async def _old(_request: Request) -> Response:
    return RedirectResponse(f"{_API}/mail?from=old", status_code=307)


def _claims(proof: str) -> str:
    return base64.urlsafe_b64decode(proof.split(".")[1] + "==").decode()


class _DpopAuth(httpx2.Auth):
    """Sends a proof of no worth with a jti of its own, and once more with the nonce that the server asks for."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Try, and try again."""
        request.headers["Authorization"] = f"DPoP {self._token}"
        request.headers["DPoP"] = _proof()
        response = yield request
        if response.status_code == 401:
            request.headers["DPoP"] = _proof(nonce=response.headers["DPoP-Nonce"])
            yield request


def _proof(**more: str) -> str:
    jwk = {"kty": "EC", "crv": "P-256", "x": _part(bytes(32)), "y": _part(bytes(32))}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    claims = {"jti": secrets.token_urlsafe(12), "htm": "GET", "htu": f"{_API}/mail", "iat": 1, **more}
    return ".".join(_part(json.dumps(each).encode()) for each in (header, claims)) + f".{_part(bytes(64))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _play(agent: AuditLog, server: AuditLog, bearer: str, bound: str) -> None:
    app = AuditMiddleware(
        Starlette(routes=[Route("/mail", _mail), Route("/old", _old), Route("/pay", _mail, methods=["POST"])]),
        server,
        resource=_API,
    )
    honest = AsyncAuditTransport(agent, httpx2.ASGITransport(app=app))
    thief = httpx2.ASGITransport(app=app, client=("198.51.100.23", 4000))
    header = {"Authorization": f"Bearer {bearer}"}
    async with (
        httpx2.AsyncClient(transport=honest, base_url=_API) as client,
        httpx2.AsyncClient(transport=thief, base_url=_API) as stolen,
    ):
        with agent.scope(task="t-1"):
            await asyncio.gather(*(client.get("/mail", headers=header) for _ in range(5)))
            await client.get("/old", headers=header, follow_redirects=True)
        with agent.scope(task="t-2", tool="pay_invoice"):
            await client.post("/pay", headers=header, json={"invoice": "4711"})
        with agent.scope(task="t-3"):
            await client.get("/mail", auth=_DpopAuth(bound))
        await stolen.get("/mail", headers=header)


def _policy(tool: str, _arguments: Any) -> Requirement:
    return Requirement.REQUIRED if tool == "pay_invoice" else Requirement.NOT_REQUIRED


def _attempts(found: Incident) -> list[tuple[str, int | None, str | None]]:
    uses = [(each.entry.event, each.matched_by) for each in found.timeline]
    return [(use.context.observer, use.action.attempt, by) for use, by in uses if isinstance(use, CredentialUse)]


def test_real_requests_from_both_sides(address: Path, key: FingerprintKey) -> None:
    """Concurrent calls, redirects, a nonce round trip: all paired. The stolen and the induced one stand out."""
    bearer, bound = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with (
        AuditLog.open(address, fingerprint_key=key, approval_policy=_policy) as agent,
        AuditLog.open(address, fingerprint_key=key) as server,
    ):
        asyncio.run(_play(agent, server, bearer, bound))
    with AuditReader.open(address) as reader:
        found = reader.incident(str(agent.fingerprint(bearer)))
        assert [each.counterpart is None for each in found.timeline].count(True) == 1
        assert [each.sender for each in found.verdicts] == ["somebody_else", "induced"]
        (stolen,) = [each for each in found.timeline if each.alone]
        assert stolen.use is not None
        assert stolen.use.context.peer == "198.51.100.23:4000"
        assert {each.rule.id for each in found.remarks} == {"use.unaccounted", "approval.missing"}
        assert len(reader.incident("t-1").timeline) == 14
        trip = reader.incident(str(agent.fingerprint(bound)))
        assert _attempts(trip) == [
            ("resource_server", None, "proof"),
            ("agent", 1, "proof"),
            ("resource_server", None, "proof"),
            ("agent", 2, "proof"),
        ]
        assert trip.verdicts == ()
        assert reader.incident("t-3").timeline == trip.timeline
