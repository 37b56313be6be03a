"""An agent that does its work: three tasks for two tenants, with an access token, an API key and a session cookie.

Two lines make it accountable: a transport that records every credential it sends, and a scope that says for which
task and tenant. Its tool trace is as careless as many are, and keeps the Authorization header: that is the leak.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import httpx2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    ApprovalEvent,
    ApprovalState,
    AssertedBy,
    Context,
    CustodyStore,
    Decision,
    Isolation,
    KeyCustody,
    Requirement,
)

from ..instrument.httpx2 import AuditTransport
from ..log import AuditLog
from .role import end_with_parent, read_brief

if TYPE_CHECKING:
    from collections.abc import Generator

tracer = trace.get_tracer("counterfoil.demo")

AGENT: Final = Agent(id="office-agent", name="Office agent", version="1.0")

CUSTODY: Final = KeyCustody(
    store=CustodyStore.SOFTWARE_PROCESS_MEMORY,
    exportable=True,
    isolation=Isolation.AGENT,
    source=AssertedBy.SELF_ASSERTED,
)
"""All three credentials lie in the memory of this process, for every task alike: nothing isolates them."""


class OfficeAgent:
    """The agent, with what it was given to work with."""

    def __init__(self, log: AuditLog, http: httpx2.Client, brief: dict[str, Any]) -> None:
        self._log = log
        self._http = http
        self._api: str = brief["audience"]
        self._api_key = {"X-API-Key": brief["api_key"]}
        self._session = {"Cookie": f"session={brief['session']}"}
        self._bearer = {"Authorization": f"Bearer {self._fetch_access_token(brief)}"}

    def sort_mail(self) -> None:
        """Do the first task, for acme: read the mail."""
        with self._task("t-1", tenant="acme"):
            self._call("read_mail", "GET", "/mail", self._bearer)

    def pay_invoice(self) -> None:
        """Do the second task, for acme: look an invoice up, have the payment approved, pay."""
        with self._task("t-2", tenant="acme"):
            self._call("read_invoice", "GET", "/invoices", self._api_key)
            payment = {"invoice": "4711", "amount": "1200.00", "currency": "EUR"}
            approval = self._ask("pay_invoice", payment)
            self._call("pay_invoice", "POST", "/payments", self._bearer, arguments=payment, approval=approval)

    def plan_week(self) -> None:
        """Do the third task, for globex: with the same API key, and with the session of a browser."""
        with self._task("t-3", tenant="globex"):
            self._call("read_invoice", "GET", "/invoices", self._api_key)
            self._call("read_calendar", "GET", "/calendar", self._session)

    @contextmanager
    def _task(self, task: str, *, tenant: str) -> Generator[None]:
        with tracer.start_as_current_span(f"invoke_agent {AGENT.name}"), self._log.scope(task=task, tenant=tenant):
            yield

    def _call(  # noqa: PLR0913 -- what a tool call is made of
        self,
        tool: str,
        method: str,
        path: str,
        credential: dict[str, str],
        *,
        arguments: dict[str, Any] | None = None,
        approval: Approval | None = None,
    ) -> None:
        """Run a tool: inside its span and its scope, send one request with one credential."""
        if approval:
            executed = self._log.arguments_digest(tool, arguments or {})
            approval = approval.model_copy(update={"executed_digest": executed})
        with (
            tracer.start_as_current_span(f"execute_tool {tool}") as span,
            self._log.scope(tool=tool, approval=approval),
        ):
            span.set_attribute("url.full", self._api + path)
            if "Authorization" in credential:  # the leak
                span.set_attribute("http.request.header.authorization", [credential["Authorization"]])
            self._http.request(method, self._api + path, headers=credential, json=arguments).raise_for_status()

    def _ask(self, tool: str, arguments: dict[str, Any]) -> Approval:
        """Have a person decide, and record question and answer. Here the answer is played."""
        shown = self._log.arguments_digest(tool, arguments)
        question = ApprovalEvent(
            approval_id="approval-1",
            state=ApprovalState.REQUESTED,
            requirement=Requirement.REQUIRED,
            action=Action(name=tool, arguments_digest=shown),
            shown_digest=shown,
        )
        self._log.record(question)
        approver, decided_at = "dana@acme.example", datetime.now(UTC)
        answer = {"approver": approver, "decided_at": decided_at}
        self._log.record(question.model_copy(update={"context": Context(), "state": ApprovalState.GRANTED, **answer}))
        return Approval(
            requirement=Requirement.REQUIRED,
            approval_id=question.approval_id,
            decision=Decision.GRANTED,
            approver=approver,
            decided_at=decided_at,
            shown_digest=shown,
        )

    def _fetch_access_token(self, brief: dict[str, Any]) -> str:
        """Get an access token for the API as a client of its own (RFC 6749 §4.4, RFC 8707 §2)."""
        answer = self._http.post(
            f"{brief['issuer']}/token",
            auth=(brief["client_id"], brief["client_secret"]),
            data={"grant_type": "client_credentials", "resource": self._api},
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return token


def keep_tool_trace(file: IO[str]) -> None:
    """Write every finished span to ``file``, with all its attributes, as tool traces do."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file)))
    trace.set_tracer_provider(provider)


def main() -> None:
    """Play the agent."""
    brief = read_brief()
    end_with_parent()
    with (
        Path(brief["trace"]).open("w", encoding="utf-8") as file,
        AuditLog.open(brief["db"]) as log,
        httpx2.Client(transport=AuditTransport(log), trust_env=False) as http,
        log.scope(agent=AGENT, key_custody=CUSTODY),
    ):
        keep_tool_trace(file)
        agent = OfficeAgent(log, http, brief)
        agent.sort_mail()
        agent.pay_invoice()
        agent.plan_week()


if __name__ == "__main__":
    main()
