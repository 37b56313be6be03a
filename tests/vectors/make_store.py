"""Make a small log of every kind of event with the code as it stands: ``python tests/vectors/make_store.py FILE``.

``store-v1.db`` was made so by the last code of schema version 1, ``store-v2.db`` and ``store-v3.db`` by the first of
versions 2 and 3. With ``--pruned`` checkpoints are signed and old bodies removed, as in ``store-v2-pruned.db``, with
``--erased`` two bodies are erased, as in ``store-v3-erased.db``; the signing key is thrown away, and its public half
printed.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from counterfoil.audit import AuditLog
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.keeping.erasure import erase
from counterfoil.audit.keeping.retention import retain
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import FingerprintKey, Kind, parse_event

if TYPE_CHECKING:
    from collections.abc import Generator

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
    with _as_ourselves():
        retain(path, before=datetime.now(UTC), signing_key=key, force=True)
    make_store(path, key)
    return key


def make_erased_store(path: Path) -> SigningKey:
    """Do so twice, with two bodies of the first time erased in between. Return the key that signed."""
    key, _ = SigningKey.generate("counterfoil/vectors")
    make_store(path, key)
    with _as_ourselves():
        erase(path, seqs=[3, 5], reason="an API key slipped in", signing_key=key)
    make_store(path, key)
    return key


@contextmanager
def _as_ourselves() -> Generator[None]:
    with (
        patch("socket.gethostname", return_value="host-1"),
        patch.dict("os.environ", COUNTERFOIL_FINGERPRINT_KEY=b"the key of tests/vectors, no secret".hex()),
    ):
        yield


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--pruned", name]:
            print(make_pruned_store(Path(name)).verifier_key)
        case ["--erased", name]:
            print(make_erased_store(Path(name)).verifier_key)
        case name:
            make_store(Path(name[0]))
