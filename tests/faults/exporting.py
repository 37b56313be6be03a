"""An exporter that follows a log, as ``counterfoil export otel --follow`` does, but for shorter pauses.

It ends at SIGTERM and says what came of it. Between SIGUSR1 and SIGUSR2 it sends nothing, so that what is recorded
meanwhile can be timed. ``cursor first`` as third argument is the seeded defect: what is sent counts as arrived.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from counterfoil.exporters import follow
from counterfoil.exporters.otlp import otlp_exporter
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import ExportFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.exporters.protocol import Exporter
    from counterfoil.schemas import Entry


class Watched:
    """An exporter that can be told to pause."""

    def __init__(self, exporter: Exporter, *, defect: bool) -> None:
        self._exporter = exporter
        self._defect = defect
        self.going = threading.Event()
        self.going.set()

    @property
    def name(self) -> str:
        """The destination."""
        return self._exporter.name

    def export(self, entries: Sequence[Entry]) -> None:
        """Wait while there is a pause, and send the batch."""
        while not self.going.wait(0.01) and not STOP.is_set():
            pass
        try:
            self._exporter.export(entries)
        except ExportFailed:
            if not self._defect:
                raise

    def close(self) -> None:
        """Close the exporter."""
        self._exporter.close()


STOP = threading.Event()


def main() -> None:
    """Follow until told to end."""
    db, endpoint, *defect = sys.argv[1:]
    module = sys.modules["counterfoil.exporters.forward"]
    module._LONGEST_PAUSE, module._FIRST_PAUSE = 0.3, 0.02  # type: ignore[attr-defined]
    source = open_source(db)
    watched = Watched(otlp_exporter(source.log_id, endpoint=endpoint), defect=bool(defect))
    steps = {signal.SIGTERM: STOP.set, signal.SIGUSR1: watched.going.clear, signal.SIGUSR2: watched.going.set}
    for number, step in steps.items():
        signal.signal(number, lambda _number, _frame, step=step: step())
    print("ready", flush=True)
    done = follow(source, watched, STOP, poll=0.02)
    watched.close()
    print(json.dumps({"cursor": done.cursor, "stubbed": done.stubbed, "kibibytes": _most_used()}))


def _most_used() -> int:
    """Return the most memory that this process had; ``getrusage`` would count that of its parent before it began."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
