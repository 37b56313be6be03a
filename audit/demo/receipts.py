"""The receipts of the demo: each is written down as soon as it is given, for somebody who doubts the log later."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ..log import AuditLog

if TYPE_CHECKING:
    from counterfoil.schemas import Event, Receipt


class WitnessedLog(AuditLog):
    """A log whose receipts go to a descriptor, each as one line of JSON in one write."""

    receipts: int

    @classmethod
    def open_for(cls, brief: dict[str, Any], **given: Any) -> AuditLog:
        """Open the log that a role was told of; with receipts if it was told where to."""
        if brief.get("receipts") is None:
            return AuditLog.open(brief["db"], **given)
        log = cls.open(brief["db"], **given)
        log.receipts = brief["receipts"]
        return log

    def record(self, event: Event) -> Receipt:
        """Record one event, and write its receipt down."""
        return self._written(super().record(event))

    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop, and write its receipt down."""
        return self._written(await super().arecord(event))

    def _written(self, receipt: Receipt) -> Receipt:
        line = {
            "log_id": receipt.log_id,
            "seq": receipt.seq,
            "event_id": str(receipt.event_id),
            "chain_hash": receipt.chain_hash,
        }
        os.write(self.receipts, json.dumps(line).encode() + b"\n")
        return receipt
