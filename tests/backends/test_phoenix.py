"""A whole log in Phoenix: every entry arrives once and intact, and is found again by what it says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import format_span_id, format_trace_id

from counterfoil.audit import AuditReader
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters import forward
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.otel import resource_of, span_of
from counterfoil.exporters.otel_attributes import Subject
from counterfoil.exporters.otel_values import attributes_of
from counterfoil.exporters.otlp import otlp_exporter
from counterfoil.exporters.position import Position
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import Compromise, CredentialChange, CredentialUse, Entry
from counterfoil.schemas.vocabulary import (
    BindingMethod,
    CheckId,
    CheckOutcome,
    Kind,
    Observer,
    Outcome,
    Phase,
    ProofResult,
    TokenClass,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Exporting, Phoenix, Record
    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = pytest.mark.backends

USES = 300

QUERIES = {
    "counterfoil.token.class": ("token_class", TokenClass),
    "counterfoil.proof.result": ("proof_result", ProofResult),
    "counterfoil.action.outcome": ("outcome", Outcome),
    "counterfoil.action.phase": ("phase", Phase),
    "counterfoil.binding.method": ("binding_method", BindingMethod),
    "counterfoil.event.kind": ("kind", Kind),
    "counterfoil.observer": ("observer", Observer),
    "counterfoil.task": ("task", [*(f"t-{n}" for n in range(10)), "t-around"]),
    "counterfoil.tenant": ("tenant", ["0", "1", "2"]),
    "gen_ai.agent.id": ("agent", ["agent-3", "mail-agent"]),
    "gen_ai.tool.name": ("tool", ["send_mail"]),
}
"""Each attribute with the member of ``Filter`` that asks the same, and values of which some entry has each."""


@dataclass(frozen=True)
class Arrived:
    """A log that was exported: what the reader finds in it, and what Phoenix has."""

    path: Path
    reader: AuditReader
    project: str
    secrets: list[str] = field(repr=False)
    stored: list[dict[str, Any]] = field(repr=False)

    def ids(self, entries: Iterator[Entry] | list[Entry]) -> set[str]:
        """Return the span ids of entries."""
        return {_id_of(self._span(entry)) for entry in entries}

    @cached_property
    def expected(self) -> dict[str, dict[str, Any]]:
        """Return what Phoenix is to have of each entry, by span id."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.reader.find(Filter()):
            span = self._span(entry)
            assert span.context
            attributes = attributes_of(Subject(entry, entry.event, self.reader.log_id))
            found[_id_of(span)] = {
                "name": span.name,
                "trace": format_trace_id(span.context.trace_id),
                "parent": format_span_id(span.parent.span_id) if span.parent else None,
                "times": (span.start_time, span.end_time),
                "status": span.status.status_code.name,
                "attributes": {name: list(v) if isinstance(v, tuple) else v for name, v in attributes.items()},
            }
        return found

    def _span(self, entry: Entry) -> ReadableSpan:
        return span_of(entry, self.reader.log_id, resource_of())


def _id_of(span: ReadableSpan) -> str:
    assert span.context
    return format_span_id(span.context.span_id)


def _ids(stored: list[dict[str, Any]]) -> list[str]:
    return [span["context"]["span_id"] for span in stored]


def _nanoseconds(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


@pytest.fixture(scope="module", params=["command line over HTTP", "library over gRPC"])
def arrived(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    phoenix: Phoenix,
    record: Record,
    exporting: type[Exporting],
) -> Iterator[Arrived]:
    """Record a log, export it, wait until Phoenix has stored it."""
    path, project = tmp_path_factory.mktemp("arrived") / "audit.db", request.param.replace(" ", "-")
    secrets = record(path, USES)
    with AuditReader.open(path) as reader:
        if request.param.startswith("command"):
            code, said = exporting(path, project).run("--endpoint", phoenix.endpoint)
            assert (code, f"{reader.head()} entries sent" in said) == (0, True), said
        else:
            _forward(path, project, phoenix)
        yield Arrived(path, reader, project, secrets, phoenix.settled(project, reader.head()))


def _forward(path: Path, project: str, phoenix: Phoenix, *, again: bool = False) -> None:
    resource = resource_of().merge(Resource({"openinference.project.name": project}))
    with closing(open_source(str(path))) as source:
        exporter = otlp_exporter(source.log_id, endpoint=phoenix.grpc_endpoint, protocol="grpc", resource=resource)
        with closing(exporter):
            assert forward(Position(source) if again else source, exporter).sent == source.head()


def test_every_entry_arrives_exactly_once(arrived: Arrived) -> None:
    """All kinds of event, several hundred entries, each one span with the id that derives from it."""
    assert {entry.event.kind for entry in arrived.reader.find(Filter())} == set(Kind)
    assert len(arrived.stored) == arrived.reader.head() > USES
    assert sorted(_ids(arrived.stored)) == sorted(arrived.expected)
    sequence = [span["attributes"]["counterfoil.entry.seq"] for span in arrived.stored]
    assert sorted(sequence) == list(range(1, arrived.reader.head() + 1))


def test_what_arrives_is_what_was_sent(arrived: Arrived) -> None:
    """Names, ids, times, status, every attribute with its type. Phoenix adds names of its own to those of GenAI."""
    for span in arrived.stored:
        expected = arrived.expected[span["context"]["span_id"]]
        ours = [
            name for name in span["attributes"] if name.startswith("counterfoil.") or name in expected["attributes"]
        ]
        assert expected == {
            "name": span["name"],
            "trace": span["context"]["trace_id"],
            "parent": span["parent_id"],
            "times": (_nanoseconds(span["start_time"]), _nanoseconds(span["end_time"])),
            "status": span["status_code"],
            "attributes": {name: span["attributes"][name] for name in ours},
        }


@pytest.mark.parametrize("attribute", QUERIES)
def test_an_attribute_finds_what_the_same_filter_finds(arrived: Arrived, phoenix: Phoenix, attribute: str) -> None:
    """For each value: the same entries in Phoenix as in the log, some of them, never all."""
    member, values = QUERIES[attribute]
    for value in values:
        wanted = arrived.ids(arrived.reader.find(replace(Filter(), **{member: str(value)})))
        found = _ids(phoenix.spans(arrived.project, {attribute: value}))
        assert sorted(found) == sorted(wanted), value
        assert 0 < len(found) < len(arrived.stored), value


def test_a_fingerprint_finds_every_trace_of_a_credential(arrived: Arrived, phoenix: Phoenix) -> None:
    """Uses, changes and the report of a leak; two attributes together narrow it down."""
    entries = list(arrived.reader.find(Filter(kind="compromise")))
    fingerprints = {entry.event.fingerprint for entry in entries if isinstance(entry.event, Compromise)}
    assert len(fingerprints) == len(entries) == 12
    for fingerprint in map(str, fingerprints):
        attributes = {"counterfoil.token.fingerprint": fingerprint}
        wanted = list(arrived.reader.find(Filter(token_fingerprint=fingerprint)))
        assert {type(entry.event) for entry in wanted} == {CredentialUse, CredentialChange, Compromise}
        assert sorted(_ids(phoenix.spans(arrived.project, attributes))) == sorted(arrived.ids(wanted))
        narrow = arrived.ids(arrived.reader.find(Filter(token_fingerprint=fingerprint, outcome="refused")))
        found = phoenix.spans(arrived.project, attributes | {"counterfoil.action.outcome": "refused"})
        assert sorted(_ids(found)) == sorted(narrow)
        assert 0 < len(narrow) < len(wanted)


def test_a_failed_check_finds_the_uses_that_failed_it(arrived: Arrived, phoenix: Phoenix) -> None:
    """Lists are asked in Phoenix's own filter language. A check that is asked for by half its id finds nothing."""
    for check in CheckId:
        endings = [Filter(checks={check: outcome}) for outcome in (CheckOutcome.FAIL, CheckOutcome.ERROR)]
        wanted = {each for ending in endings for each in arrived.ids(arrived.reader.find(ending))}
        assert phoenix.spans_where(arrived.project, _failed_check(check)) == wanted
        assert 0 < len(wanted) < USES, check
    assert phoenix.spans_where(arrived.project, _failed_check("dpop.08")) == set()


def _failed_check(check: str) -> str:
    return f"""'"{check}"' in attributes["counterfoil"]["proof"]["failed_checks"]"""


def test_the_whole_log_once_more_changes_nothing(arrived: Arrived, phoenix: Phoenix) -> None:
    """A resend is the same spans: what Phoenix has, it keeps, and has once."""
    _forward(arrived.path, arrived.project, phoenix, again=True)
    assert _ids(phoenix.settled(arrived.project, len(arrived.stored))) == _ids(arrived.stored)


def test_number_and_chain_hash_find_the_one_entry(arrived: Arrived, phoenix: Phoenix) -> None:
    """So the backend is a witness: what it keeps of an entry can be held against the log."""
    for seq in {1, *range(10, arrived.reader.head(), 25), arrived.reader.head()}:
        entry = arrived.reader.entry(seq)
        assert entry
        by_number = phoenix.spans(arrived.project, {"counterfoil.entry.seq": seq})
        by_hash = phoenix.spans(arrived.project, {"counterfoil.entry.chain_hash": entry.chain_hash.hex()})
        assert _ids(by_number) == _ids(by_hash) == list(arrived.ids([entry]))


@pytest.mark.parametrize(
    "attributes",
    [
        {"counterfoil.token.class": "no_such_class"},
        {"counterfoil.tokenclass": "api_key"},
        {"counterfoil.tenant": 1},
        {"counterfoil.entry.seq": 10**6},
        {"counterfoil.entry.chain_hash": "00" * 32},
        {"counterfoil.token.class": "api_key", "counterfoil.event.kind": "compromise"},
    ],
)
def test_what_nothing_has_finds_nothing(arrived: Arrived, phoenix: Phoenix, attributes: dict[str, object]) -> None:
    """The filter does filter: Phoenix answers a query that it does not understand with everything."""
    assert phoenix.spans(arrived.project, attributes) == []


def test_no_secret_reaches_phoenix(arrived: Arrived, phoenix: Phoenix, leaks: Callable[..., list[str]]) -> None:
    """Neither a credential nor the key of its fingerprint, in no file of Phoenix's and no value in its database."""
    fingerprint = phoenix.spans(arrived.project, {"counterfoil.event.kind": "compromise"})[0]
    kept = _everything_in(phoenix)
    assert leaks(fingerprint["attributes"]["counterfoil.token.fingerprint"], kept)
    for secret in arrived.secrets:
        assert leaks(secret, kept, phoenix.folder) == []


class Blind(Redactor):
    """A redactor that removes nothing."""

    def event(self, body: dict[str, Any]) -> list[Any]:
        """Let everything through."""
        del body
        return []


def test_the_search_would_find_a_leak(
    tmp_path: Path, phoenix: Phoenix, record: Record, leaks: Callable[..., list[str]]
) -> None:
    """Without redaction, the same search finds every credential, in the files and in the values."""
    *credentials, _key = record(tmp_path / "audit.db", 12, redactor=Blind())
    _forward(tmp_path / "audit.db", "unredacted", phoenix)
    phoenix.settled("unredacted", 12)
    kept = _everything_in(phoenix)
    for credential in credentials:
        assert leaks(credential, kept)
        assert leaks(credential, phoenix.folder)


def _everything_in(phoenix: Phoenix) -> bytes:
    """Return every value in Phoenix's database: in the file itself a long one may stand in pieces."""
    with closing(sqlite3.connect(f"file:{phoenix.folder}/phoenix.db?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        values = [value for table in tables for row in database.execute(f'SELECT * FROM "{table}"') for value in row]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
