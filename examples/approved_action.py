"""An action that needs an approval: ask, decide, act, and keep the proof that what was shown is what ran.

Run it in an empty folder: ``python approved_action.py``, then ``counterfoil query --db audit.db --approval ap-7``.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from counterfoil.audit import AuditLog
from counterfoil.schemas import Action, Requirement, Resource, Token, TokenClass

TOOL = "pay_invoice"
ARGUMENTS = {"invoice": "2026-117", "amount": "1200.00", "currency": "EUR"}


def policy(tool: str, _arguments: Mapping[str, Any] | None) -> Requirement:
    """Say which calls need an approval. Every use is recorded with the answer, also one for which nobody asked."""
    return Requirement.REQUIRED if tool == TOOL else Requirement.NOT_REQUIRED


def main() -> None:
    """Ask, decide, act."""
    api_key = os.environ.get("BANK_API_KEY", "no real key, for the example")
    with (
        AuditLog.open("audit.db", approval_policy=policy) as log,
        log.scope(agent="billing-agent", task="t-9", tenant="acme", tool=TOOL),
    ):
        question = "Pay invoice 2026-117, 1200.00 EUR?"
        request = log.approval(
            tool=TOOL, arguments=ARGUMENTS, rendering=question, expires_in=timedelta(minutes=10), approval_id="ap-7"
        )
        request.granted(approver="dana@acme.example")  # here somebody would be shown the question, and answer

        token = Token(token_class=TokenClass.API_KEY, fingerprint=log.fingerprint(api_key))
        payments = Resource(uri="https://bank.example/payments")
        pay = Action(name=TOOL, method="POST", target=payments.uri)
        with log.use(token=token, resource=payments, action=pay, approval=request, arguments=ARGUMENTS) as use:
            use.status_code = 201  # the payment itself would stand here


if __name__ == "__main__":
    main()
