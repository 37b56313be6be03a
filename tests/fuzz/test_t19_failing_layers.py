"""T19: the same canaries while one layer after the other fails, with errors that quote what they were given.

Nothing that must not come out comes out for that: not in what is recorded after all, not in an error, not in a log.
"""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import closing, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from canaries import Search
from failing import (
    LAYERS,
    Connections,
    Dying,
    QuotingExporter,
    QuotingStream,
    failing_layer,
    locked,
    refused_by_the_database,
)
from planting import MUST, Planter
from world import Application, World

from counterfoil.audit import AuditLog
from counterfoil.exporters import forward
from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.exporters.jsonl import LineExporter
from counterfoil.exporters.otel import OtelExporter
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import Context, CounterfoilError, ExportFailed, InputError, LogEvent

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Tally
    from frame import Scale

    from counterfoil.schemas import FingerprintKey

pytestmark = pytest.mark.fuzz


class Trial:
    """Plants canaries in a log of its own while something fails, and looks for them afterwards."""

    def __init__(
        self, rng: random.Random, key: FingerprintKey, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        diagnostics.cache_clear()
        self._key = key
        self.application = Application()
        self._capfd = capfd
        self.planter = Planter(rng, self.application)
        self.searches = tuple(Search(of, self.planter.mints[of]) for of in MUST)
        self.world = World(folder, self.searches)

    def open(self, **options: Any) -> AuditLog:
        """Open the log."""
        usual: dict[str, Any] = {"fingerprint_key": self._key, "deadline": 1.0}
        return AuditLog.open(self.world.address, **(usual | options))

    def plant(self, failing: Callable[[], AbstractContextManager[object]], events: int, **options: Any) -> None:
        """Record so many events, half of them through the queue, while something fails."""
        for delivery in ("durable", "queued"):
            log = self.open(delivery=delivery, **options)
            self.planter.logs = [log]
            self.world.search_files()
            try:
                with failing():
                    self.planter.plant(events // 2, Exception)
                    with suppress(CounterfoilError):
                        log.flush(deadline=2)
                    self.world.search_files()
            finally:
                log.close()

    def look(self, tally: Tally, what: str) -> None:
        """Look everywhere. Fails where there is a canary."""
        self.world.search("exceptions", *self.planter.said)
        for sink, written in self.application.written.items():
            self.world.search(sink, written.getvalue())
        self.world.search_files()
        out, err = self._capfd.readouterr()
        self.world.search("stdout", out)
        self.world.search("stderr", err)
        first = self.searches[0]
        planted = sum(len(search.mint.planted) for search in self.searches)
        tally("T19", what, events=self.planter.events, planted=planted, sinks=len(first.sinks), bytes=first.searched,
              hits=len(self.world.finds), note=f"{self.planter.refused.total():,} refused")  # fmt: skip


@pytest.fixture
def trial(rng: random.Random, key: FingerprintKey, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Trial:
    """Give a trial."""
    return Trial(rng, key, tmp_path, capfd)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_raises(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    layer: str, trial: Trial, rng: random.Random, scale: Scale, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever raises, and whatever it says, hides the field or refuses the entry, and says nothing of it."""
    trial.plant(partial(failing_layer, layer, rng, monkeypatch), scale(60, 1000))
    trial.look(tally, f"{layer} fails")
    assert trial.world.finds == []


DATABASE: dict[str, Callable[[Trial, Connections], Callable[[], AbstractContextManager[object]]]] = {
    "a trigger refuses entries": lambda trial, _: partial(refused_by_the_database, trial.world.address),
    "the database is locked": lambda trial, _: partial(locked, trial.world.address),
    "the disk is full": lambda _, connections: connections.without_space,
    "errors of SQLite quote the entry": lambda _, connections: connections.that_quote,
}


@pytest.mark.parametrize("fault", DATABASE)
def test_a_database_that_fails(
    fault: str, trial: Trial, scale: Scale, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the database says of an entry that it does not take is not passed on."""
    failing = DATABASE[fault](trial, Connections(monkeypatch))
    trial.plant(failing, scale(10, 200) if "locked" in fault else scale(40, 1000), deadline=0.1)
    assert trial.planter.refused
    trial.look(tally, fault)
    assert trial.world.finds == []


@pytest.mark.parametrize("status", [400, 413, 503])
def test_a_collector_that_quotes_what_it_refuses(status: int, trial: Trial, scale: Scale, tally: Tally) -> None:
    """The answer of a collector, which may quote the batch, is not passed on."""
    trial.plant(nullcontext, scale(40, 400))
    with pytest.raises(ExportFailed) as raised:
        trial.world.export(status)
    trial.planter.hear(raised.value)
    trial.look(tally, "a collector refuses, and quotes the batch")
    assert trial.world.finds == []


def test_an_exporter_that_raises(trial: Trial, scale: Scale, tally: Tally) -> None:
    """What an exporter, or a stream, says of a batch is not passed on."""
    trial.plant(nullcontext, scale(40, 400))
    with closing(open_source(str(trial.world.address))) as source:
        exporters = [
            OtelExporter(QuotingExporter(), log_id=source.log_id, name="quoting"),
            LineExporter(QuotingStream(), name="quoting, too"),
        ]
        for exporter in exporters:
            with pytest.raises(ExportFailed) as raised:
                forward(source, exporter)
            trial.planter.hear(raised.value)
    trial.look(tally, "an exporter raises, and quotes the batch")
    assert trial.world.finds == []


def test_the_thread_of_the_queue_does_not_die(
    trial: Trial, rng: random.Random, scale: Scale, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is no ``Exception`` would end a thread, and Python would print it: it goes on, and says nothing."""
    monkeypatch.setattr("threading.excepthook", threading.__excepthook__)
    log = trial.open(delivery="queued")
    trial.planter.logs = [log]
    with log:
        with failing_layer("the group of the queue", rng, monkeypatch, Dying):
            for _ in range(scale(20, 100)):
                trial.planter.plant(3)
                time.sleep(0.01)
        log.flush(deadline=20)
    trial.look(tally, "the thread of the queue dies")
    assert trial.world.finds == []


def test_objects_that_have_no_json_form(trial: Trial, scale: Scale, tally: Tally) -> None:
    """An event that was changed to hold anything at all is refused, and what it holds is not told."""
    planter = trial.planter
    with trial.open() as log:
        for _ in range(scale(50, 500)):
            secret = planter.runs("an object without a JSON form")
            for odd in (secret.encode(), {secret.encode()}, ValueError(secret), {(secret,): 1}, type(secret, (), {})):
                context = Context(attributes={"a": 1})
                attributes: dict[str, Any] = context.attributes
                attributes[secret] = odd
                with pytest.raises(InputError) as raised:
                    log.record(LogEvent(change="key_rotated", context=context))
                planter.hear(raised.value)
    trial.look(tally, "objects without a JSON form")
    assert trial.world.finds == []


def test_an_error_that_is_let_out_is_seen(
    trial: Trial, rng: random.Random, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seeded defect takes the fence around sealing away: then the errors tell."""
    from counterfoil.audit import sealing

    monkeypatch.setattr("counterfoil.audit.log.redacted", inspect.unwrap(sealing.redacted))
    trial.plant(partial(failing_layer, "the end of a redaction", rng, monkeypatch), 100)
    trial.look(type(tally)(), "")
    assert {find.sink for find in trial.world.finds} >= {"exceptions"}
    tally.defect("T19", "errors of a redactor are passed on")


def test_a_field_that_is_let_through_is_seen(trial: Trial, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded defect passes a field on as it is where redaction fails: then it is in the database."""

    def careless(self: Any, into: Any, key: Any, _step: Any, path: Any) -> None:
        with suppress(ZeroDivisionError):
            self._walk.put(into, key, into[key], path)

    def failing(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("counterfoil.audit.redaction.run.Run.field", careless)
    monkeypatch.setattr("counterfoil.audit.redaction.walk.Walk.put", failing)
    trial.plant(nullcontext, 100)
    trial.look(type(tally)(), "")
    assert {find.sink for find in trial.world.finds} >= {"database", "-wal"}
    tally.defect("T19", "a field on which redaction fails is left as it is")
