"""An agent that does its work: five tasks for two tenants, with five credentials.

Two lines make it accountable: a transport that records every credential it sends, and a scope that says for which
task and tenant. Its tool trace is as careless as many are, and keeps the headers of every request: that is the leak.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from counterfoil.schemas import Agent, AssertedBy, CustodyStore, Isolation, KeyCustody, Requirement

from ..instrument.httpx2 import AsyncAuditTransport
from ..instrument.mcp_client import call_tool
from .certificates import Identity
from .possession import DpopAuth, ProofKey
from .receipts import WitnessedLog
from .role import end_with_parent, read_brief

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from counterfoil.schemas import Approval

    from ..log import AuditLog

    Credential = dict[str, str] | DpopAuth

tracer = trace.get_tracer("counterfoil.demo")

AGENT: Final = Agent(id="office-agent", name="Office agent", version="1.0")

CUSTODY: Final = KeyCustody(
    store=CustodyStore.SOFTWARE_PROCESS_MEMORY,
    exportable=True,
    isolation=Isolation.AGENT,
    source=AssertedBy.SELF_ASSERTED,
)
"""Every key lies in the memory of this process, for each task alike: nothing isolates them."""

PAYMENT: Final = {"invoice": "4711", "amount": "1200.00", "currency": "EUR"}


def policy(tool: str, _arguments: Mapping[str, Any] | None) -> Requirement:
    """Say which calls need a person's approval: those that move money."""
    return Requirement.REQUIRED if tool == "pay_invoice" else Requirement.NOT_REQUIRED


class Clients:
    """The agent's HTTP clients: each records what it sends, and shows its requests to the tool trace."""

    def __init__(self, log: AuditLog, identity: Identity) -> None:
        self._log = log
        self._identity = identity
        self.plain = self._client(present=False)
        self.certified = self._client(present=True)
        self.mcp = self._client(present=False)

    def _client(self, *, present: bool) -> httpx2.AsyncClient:
        inner = httpx2.AsyncHTTPTransport(verify=self._identity.client_context(present=present))
        recording = AsyncAuditTransport(self._log, inner, certificate=self._identity.der() if present else None)
        return httpx2.AsyncClient(transport=recording, event_hooks={"request": [keep_headers]})


class OfficeAgent:
    """The agent, with what it was given to work with."""

    def __init__(self, log: AuditLog, brief: dict[str, Any], clients: Clients) -> None:
        self._log = log
        self._api: str = brief["api"]
        self._mcp: str = brief["mcp"]
        self._token_endpoint = f"{brief['issuer']}/token"
        self._client = ("office-agent", brief["client_secret"])
        self._http = clients
        self._api_key = {"X-API-Key": brief["api_key"]}
        self._session = {"Cookie": f"session={brief['session']}"}

    async def fetch_tokens(self) -> None:
        """Get three access tokens: a bearer token, one bound to a key, one bound to the agent's certificate."""
        key = ProofKey()
        proof = {"DPoP": key.prove("POST", self._token_endpoint)}
        self._bearer = _bearer(await self._fetch(self._http.plain, self._mcp))
        self._by_proof = DpopAuth(key, await self._fetch(self._http.plain, self._api, proof))
        self._by_certificate = _bearer(await self._fetch(self._http.certified, self._api))
        self._http.mcp.headers.update(self._bearer)

    async def sort_mail(self) -> None:
        """Do the first task, for acme: read the mail, with a proof of possession; have a tool sum it up."""
        with self._task("t-1", tenant="acme"):
            await self._call("read_mail", "GET", "/mail", self._by_proof)
            await self._call_tool("read_inbox", {"folder": "inbox"})

    async def pay_invoice(self) -> None:
        """Do the second task, for acme: look an invoice up, have the payment approved, pay with the certificate."""
        with self._task("t-2", tenant="acme"):
            await self._call("read_invoice", "GET", "/invoices", self._api_key)
            question = await self._log.aapproval(tool="pay_invoice", arguments=PAYMENT, approval_id="approval-1")
            approval = await question.agranted(approver="dana@acme.example")  # here the person is played
            await self._call("pay_invoice", "POST", "/payments", self._by_certificate, PAYMENT, approval=approval)

    async def plan_week(self) -> None:
        """Do the third task, for globex: with the same proof key, and the session of a browser."""
        with self._task("t-3", tenant="globex"):
            await self._call("read_mail", "GET", "/mail", self._by_proof)
            await self._call("read_calendar", "GET", "/calendar", self._session)
            await self._call_tool("look_up_contact", {"name": "Dana"})

    async def obey_a_mail(self) -> None:
        """Do the fourth task as a mail commands it: pay a stranger. The key signs; nobody was asked."""
        with self._task("t-4", tenant="acme"):
            command = (await self._call("read_mail", "GET", "/mail", self._by_proof)).json()[-1]["text"]
            await self._call("pay_invoice", "POST", "/payments", self._by_proof, _induced_by(command))

    async def mistake_the_address(self) -> None:
        """Do the fifth task with the wrong token: what was issued for the MCP server goes to the API."""
        with self._task("t-5", tenant="acme"):
            await self._call("archive_mail", "GET", "/mail", self._bearer, refused=True)

    @contextmanager
    def _task(self, task: str, *, tenant: str) -> Generator[None]:
        with tracer.start_as_current_span(f"invoke_agent {AGENT.name}"), self._log.scope(task=task, tenant=tenant):
            yield

    async def _call(  # noqa: PLR0913 -- what a tool call is made of
        self,
        tool: str,
        method: str,
        path: str,
        credential: Credential,
        arguments: dict[str, Any] | None = None,
        *,
        approval: Approval | None = None,
        refused: bool = False,
    ) -> httpx2.Response:
        """Run a tool of the agent's own: inside its span and its scope, send one request with one credential."""
        http = self._http.certified if credential is self._by_certificate else self._http.plain
        shown: dict[str, Any] = {"headers": credential} if isinstance(credential, dict) else {"auth": credential}
        with (
            tracer.start_as_current_span(f"execute_tool {tool}"),
            self._log.scope(tool=tool, arguments=arguments or {}, approval=approval),
        ):
            answer = await http.request(method, self._api + path, json=arguments, **shown)
        if answer.is_success is refused:
            sys.exit(f"{tool} was answered with {answer.status_code}")
        return answer

    async def _call_tool(self, name: str, arguments: dict[str, Any]) -> None:
        """Call a tool of the MCP server, with the bearer token (MCP has no other)."""
        with tracer.start_as_current_span(f"execute_tool {name}"):
            async with Client(streamable_http_client(self._mcp, http_client=self._http.mcp)) as client:
                result = await call_tool(self._log, client, name, arguments)
        if result.is_error:
            sys.exit(f"{name} failed")

    async def _fetch(self, http: httpx2.AsyncClient, resource: str, headers: dict[str, str] | None = None) -> str:
        """Get an access token as a client of its own (RFC 6749 §4.4, RFC 8707 §2)."""
        form = {"grant_type": "client_credentials", "resource": resource}
        answer = await http.post(self._token_endpoint, auth=self._client, data=form, headers=headers)
        token: str = answer.raise_for_status().json()["access_token"]
        return token


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _induced_by(command: str) -> dict[str, Any]:
    """Take an order out of a mail, as a model does that cannot tell a text from a command."""
    _, _, order = command.partition("pay ")
    amount, _, account = order.partition(" EUR to ")
    return {"invoice": "none", "amount": amount, "currency": "EUR", "account": account.rstrip(".")}


async def keep_headers(request: httpx2.Request) -> None:
    """Put a request whole onto the current span, as careless instrumentation does: this is the leak."""
    told = json.dumps([request.method, str(request.url), dict(request.headers)])
    trace.get_current_span().set_attribute("http.request.headers", told)


def keep_tool_trace(file: IO[str]) -> None:
    """Write every finished span to ``file``, with all its attributes, as tool traces do."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file)))
    trace.set_tracer_provider(provider)


async def work(log: AuditLog, brief: dict[str, Any]) -> None:
    """Do all five tasks."""
    agent = OfficeAgent(log, brief, Clients(log, Identity.of(brief)))
    await agent.fetch_tokens()
    await agent.sort_mail()
    await agent.pay_invoice()
    await agent.plan_week()
    await agent.obey_a_mail()
    await agent.mistake_the_address()


def main() -> None:
    """Play the agent."""
    brief = read_brief()
    end_with_parent()
    with (
        Path(brief["trace"]).open("w", encoding="utf-8") as file,
        WitnessedLog.open_for(brief, approval_policy=policy) as log,
        log.scope(agent=AGENT, key_custody=CUSTODY),
    ):
        keep_tool_trace(file)
        asyncio.run(work(log, brief))


if __name__ == "__main__":
    main()
