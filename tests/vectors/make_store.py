"""Make a small log of every kind of event with the code as it stands: ``python tests/vectors/make_store.py FILE``.

``store-v1.db`` was made so by the last code of schema version 1, ``store-v2.db`` by the first of version 2.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import patch

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import FingerprintKey, Kind, parse_event

ENTRIES = Path(__file__).parent / "entries-v1.json"
KEY = FingerprintKey(b"the key of tests/vectors, no secret")


def make_store(path: Path) -> None:
    """Record the events of ``entries-v1.json``, as a producer of a host that is nobody's, and export most of them."""
    with patch("socket.gethostname", return_value="host-1"), AuditLog.open(path, fingerprint_key=KEY) as log:
        for entry in json.loads(ENTRIES.read_text("utf-8"))["entries"]:
            event = parse_event(entry["body"])
            if event.kind is not Kind.LOG:  # the log writes those of its own life
                log.record(event)
        exported = open_source(str(path))
        exported.move_cursor("otel", 5)
        exported.close()


if __name__ == "__main__":
    make_store(Path(sys.argv[1]))
