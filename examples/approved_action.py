"""An action that needs an approval: ask, decide, act, and keep the proof that what was shown is what ran.

Run it in an empty folder: ``python approved_action.py``, then ``counterfoil query --db audit.db --approval ap-7``.
"""

import os
from datetime import UTC, datetime

from counterfoil.audit import AuditLog
from counterfoil.schemas import (
    Action,
    Approval,
    ApprovalEvent,
    ApprovalState,
    Decision,
    Requirement,
    Resource,
    Token,
    TokenClass,
)

TOOL = "pay_invoice"
ARGUMENTS = {"invoice": "2026-117", "amount": "1200.00", "currency": "EUR"}


def main() -> None:
    """Ask, decide, act."""
    api_key = os.environ.get("BANK_API_KEY", "no real key, for the example")
    with AuditLog.open("audit.db") as log, log.scope(agent="billing-agent", task="t-9", tenant="acme", tool=TOOL):
        shown = log.arguments_digest(TOOL, ARGUMENTS)
        pay = Action(name=TOOL, method="POST", target="https://bank.example/payments", arguments_digest=shown)
        log.record(
            ApprovalEvent(
                approval_id="ap-7",
                state=ApprovalState.REQUESTED,
                requirement=Requirement.REQUIRED,
                action=pay,
                shown_digest=shown,
            )
        )
        log.record(
            ApprovalEvent(
                approval_id="ap-7",
                state=ApprovalState.GRANTED,
                action=pay,
                approver="dana@acme.example",
                decided_at=datetime.now(UTC),
                shown_digest=shown,
            )
        )
        approval = Approval(
            requirement=Requirement.REQUIRED,
            approval_id="ap-7",
            decision=Decision.GRANTED,
            approver="dana@acme.example",
            shown_digest=shown,
            executed_digest=log.arguments_digest(TOOL, ARGUMENTS),
        )
        token = Token(token_class=TokenClass.API_KEY, fingerprint=log.fingerprint(api_key))
        with (
            log.scope(approval=approval),
            log.use(token=token, resource=Resource(uri="https://bank.example/payments"), action=pay) as use,
        ):
            use.status_code = 201  # the payment itself would stand here


if __name__ == "__main__":
    main()
