"""T18: canaries of every kind, along every route, nested at random. Then every sink is searched for them, in all forms.

The log, its database, the exporters, the collector's socket, the command line and the logs are real. What must not come
out comes out nowhere; what docs/redaction.md says is not found is counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from canaries import Mint, Search, forms
from planting import MAY, MUST, Planter
from world import Application, World

from counterfoil.audit import AuditLog
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters.diagnostics import diagnostics

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from conftest import Tally
    from frame import Scale

    from counterfoil.audit.redaction.receipt import Receipt
    from counterfoil.schemas import FingerprintKey

pytestmark = pytest.mark.fuzz


def test_canaries(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    rng: random.Random,
    key: FingerprintKey,
    tmp_path: Path,
    scale: Scale,
    full: bool,  # noqa: FBT001 -- a fixture
    tally: Tally,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through every door into every sink: no canary that must not come out is in any of them, in any form."""
    diagnostics.cache_clear()
    address, most = tmp_path / "audit.db", scale(1, 10)
    durable = AuditLog.open(address, fingerprint_key=key, deadline=60)
    queued = AuditLog.open(address, fingerprint_key=key, deadline=60, delivery="queued")
    application = Application()
    planter = Planter(rng, application)
    planter.logs = (durable, queued)
    searches = {of: Search(of, mint) for of, mint in planter.mints.items()}
    world = World(tmp_path, tuple(searches[of] for of in MUST))
    with durable, queued:
        planter.plant(scale(400, 51_000))
        queued.flush(deadline=60)
        world.search_files()
    world.ask(planter)
    world.run_all()
    world.export()
    world.export_to_files()
    if full:
        world.export_to_terminals()
    world.read(most)
    world.run_all()
    world.search("exceptions", *planter.said)
    for sink, written in application.written.items():
        world.search(sink, written.getvalue())
    world.search_files()
    out, err = capfd.readouterr()
    world.search("stdout", out)
    world.search("stderr", err)
    admitted = Counter(of for body in world.bodies() for of in MAY if searches[of].holds(body))
    for of, search in searches.items():
        hits, seen = (sum(find.of == of for find in world.finds), None) if of in MUST else (None, admitted[of])
        routes, kinds = len(planter.routes.get(of, ())), len(planter.kinds.get(of, ()))
        tally("T18", CLASSES[of], planted=len(search.mint.planted), routes=routes, kinds=kinds, hits=hits, seen=seen)
    first, refused = searches["named"], sum(planter.refused.values())
    tally("T18", "all of them", events=planter.events, sinks=len(first.sinks), bytes=first.searched,
          hits=len(world.finds), note=f"{refused:,} events refused, with an error of ours")  # fmt: skip
    assert not shown(world)


class Blind(Redactor):
    """The seeded defect: it sees nothing."""

    def event(self, body: dict[str, Any]) -> list[Receipt]:
        """Redact nothing."""
        del body
        return []


def test_what_is_not_redacted_is_seen(rng: random.Random, key: FingerprintKey, tmp_path: Path, tally: Tally) -> None:
    """With a redactor that does nothing the canaries are found in each sink that an entry goes to."""
    planter = Planter(rng, Application())
    world = World(tmp_path, tuple(Search(of, planter.mints[of]) for of in MUST))
    with AuditLog.open(world.address, fingerprint_key=key, redactor=Blind()) as log:
        planter.logs = (log,)
        planter.plant(60)
        world.search_files()
    world.export()
    world.export_to_files()
    world.read(4)
    world.run_all()
    world.search_files()
    assert {find.sink for find in world.finds} >= {
        "database", "-wal", "JSON lines", "bytes of OTLP", "exported JSON lines", "exported OTLP/JSON",
        "stdout of query",
    }  # fmt: skip
    assert {"raw"} < {find.form for find in world.finds}
    tally.defect("T18", "a redactor that does nothing: seen in every sink that an entry goes to")


@pytest.mark.parametrize("form", forms("234567"))
def test_each_form_is_searched_for(form: str, rng: random.Random) -> None:
    """A canary is found in this form, whatever stands around it, and one that is cut in two is not."""
    search = Search("x", Mint(rng))
    mark = search.mint.mark("a number")
    needle = forms(mark)[form]
    assert [find.form for find in search("a sink", b"before" + needle + b"after") if find.form == form] == [form]
    assert search("a sink", needle[: len(needle) // 3], b"innocent") == []
    assert search.searched == len(b"beforeafterinnocent") + len(needle) + len(needle) // 3


CLASSES = {
    "named": "the place tells",
    "told": "the look tells",
    "known": "capture saw it before",
    "untold": "nothing tells",
    "known in pieces": "capture saw it: of several runs, or a number",
    "coded": "coded otherwise",
}


def shown(world: World) -> list[str]:
    """Return the finds, in so many words."""
    return [f"{find.of}: {find.sink}: {find.form}: {find.what}" for find in world.finds]
