"""Make a small log of every kind of event with the code as it stands: ``python tests/vectors/make_store.py FILE``.

``store-v1.db`` was made so by the last code of schema version 1, ``store-v2.db`` by the first of version 2. With
``--pruned`` checkpoints are signed and old bodies removed, as in ``store-v2-pruned.db``; the signing key is thrown
away, and its public half printed.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from counterfoil.audit import AuditLog
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.keeping.retention import retain
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import FingerprintKey, Kind, parse_event

ENTRIES = Path(__file__).parent / "entries-v1.json"
KEY = FingerprintKey(b"the key of tests/vectors, no secret")


def make_store(path: Path, signing_key: SigningKey | None = None) -> None:
    """Record the events of ``entries-v1.json``, as a producer of a host that is nobody's, and export most of them."""
    with (
        patch("socket.gethostname", return_value="host-1"),
        AuditLog.open(path, fingerprint_key=KEY, signing_key=signing_key) as log,
    ):
        for entry in json.loads(ENTRIES.read_text("utf-8"))["entries"]:
            event = parse_event(entry["body"])
            if event.kind is not Kind.LOG:  # the log writes those of its own life
                log.record(event)
        exported = open_source(str(path))
        exported.move_cursor("otel", 5)
        exported.close()


def make_pruned_store(path: Path) -> SigningKey:
    """Do so twice, with the bodies of the first time removed in between. Return the key that signed."""
    key, _ = SigningKey.generate("counterfoil/vectors")
    make_store(path, key)
    with (
        patch("socket.gethostname", return_value="host-1"),
        patch.dict("os.environ", COUNTERFOIL_FINGERPRINT_KEY=b"the key of tests/vectors, no secret".hex()),
    ):
        retain(path, before=datetime.now(UTC), signing_key=key, force=True)
    make_store(path, key)
    return key


if __name__ == "__main__":
    if sys.argv[1] == "--pruned":
        print(make_pruned_store(Path(sys.argv[2])).verifier_key)
    else:
        make_store(Path(sys.argv[1]))
