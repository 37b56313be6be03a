"""``counterfoil export``: send entries to a collector, a file or the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Db, Immutable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from opentelemetry.sdk.trace.export import SpanExporter

    from counterfoil.exporters import Exporter, Forwarded, Source
    from counterfoil.exporters.line_file import LineFile
    from counterfoil.exporters.position import Position
    from counterfoil.exporters.sql import LogSource
    from counterfoil.schemas import ExportFailed

export_app = typer.Typer(
    help="Send entries to a collector, a file or the terminal.", no_args_is_help=True, rich_markup_mode=None
)


class _To(StrEnum):
    COLLECTOR = "collector"
    FILE = "file"
    CONSOLE = "console"


class _Protocol(StrEnum):
    HTTP = "http"
    GRPC = "grpc"


_File = Annotated[Path | None, typer.Argument(help="A file that only grows: a later export goes on behind its end.")]
_Follow = Annotated[bool, typer.Option("--follow", help="Go on as entries come, until interrupted.")]


@export_app.command()
def otel(  # noqa: PLR0913 -- one option a choice
    file: _File = None,
    *,
    db: Db = None,
    to: Annotated[_To, typer.Option(help="Where the spans go; a file gets OTLP/JSON lines.")] = _To.COLLECTOR,
    endpoint: Annotated[str | None, typer.Option(help="Base URL. Default: $OTEL_EXPORTER_OTLP_ENDPOINT.")] = None,
    protocol: Annotated[_Protocol | None, typer.Option(help="Default: $OTEL_EXPORTER_OTLP_PROTOCOL, or http.")] = None,
    follow: _Follow = False,
    immutable: Immutable = False,
) -> None:
    """Send one OpenTelemetry span for each entry.

    A collector gets what follows the entries that it has: the log remembers how far each one has come. The standard
    variables OTEL_EXPORTER_OTLP_* apply. When the collector is down, exit 1: nothing is lost, the next run goes on.
    """
    if (to is _To.FILE) != (file is not None):
        raise typer.BadParameter("name a file together with --to file")
    with _open(db, follow=follow, immutable=immutable) as source:
        if file:
            from counterfoil.exporters.otlp_json import OtlpJsonLines, last_entry

            with _appending(file, source, last_entry) as (lines, position):
                _run(position, _spans(source, OtlpJsonLines(lines), f"otel:{file.name}"), follow=follow)
        elif to is _To.CONSOLE:
            _run(_from_start(source), _spans(source, _console(), "otel:console"), follow=follow)
        else:
            from counterfoil.exporters.otlp import otlp_exporter

            _run(source, otlp_exporter(source.log_id, endpoint=endpoint, protocol=protocol), follow=follow)


@export_app.command()
def jsonl(file: _File = None, *, db: Db = None, follow: _Follow = False, immutable: Immutable = False) -> None:
    """Write one line of JSON for each entry, to the file or to stdout: {"seq", "chain_hash", "event"}."""
    from counterfoil.exporters.jsonl import LineExporter, ascii_json_line, json_line, last_entry

    with _open(db, follow=follow, immutable=immutable) as source:
        if file:
            with _appending(file, source, last_entry) as (lines, position):
                _run(position, LineExporter(lines, name=f"jsonl:{file.name}"), follow=follow)
        else:
            render = ascii_json_line if sys.stdout.isatty() else json_line
            stdout = LineExporter(sys.stdout.buffer, name="jsonl:stdout", render=render)
            _run(_from_start(source), stdout, follow=follow)


@export_app.command()
def text(*, db: Db = None, follow: _Follow = False, immutable: Immutable = False) -> None:
    """Print one readable line for each entry."""
    from counterfoil.exporters.jsonl import LineExporter, readable_line

    with _open(db, follow=follow, immutable=immutable) as source:
        stdout = LineExporter(sys.stdout.buffer, name="text:stdout", render=readable_line)
        _run(_from_start(source), stdout, follow=follow)


def _open(db: str | None, *, follow: bool, immutable: bool) -> closing[LogSource]:
    from counterfoil.audit.address import address_of
    from counterfoil.exporters.sql import open_source

    if follow and immutable:
        raise typer.BadParameter("what nobody changes has nothing to follow", param_hint="--immutable")
    return closing(open_source(address_of(db), immutable=immutable))


@contextmanager
def _appending(
    file: Path, source: Source, last_entry: Callable[[bytes], tuple[int, str]]
) -> Generator[tuple[LineFile, Position]]:
    """Open a file, and find out how far it has come."""
    from counterfoil.exporters.line_file import LineFile
    from counterfoil.exporters.position import position_after

    with closing(LineFile(file)) as lines:
        yield lines, position_after(source, lines.last_line(), last_entry)


def _from_start(source: Source) -> Position:
    from counterfoil.exporters.position import Position

    return Position(source)


def _spans(source: Source, span_exporter: SpanExporter, name: str) -> Exporter:
    from counterfoil.exporters.otel import OtelExporter

    return OtelExporter(span_exporter, log_id=source.log_id, name=name)


def _console() -> SpanExporter:
    """Return the SDK's console exporter, one line of ASCII a span."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=sys.stdout, formatter=lambda span: f"{span.to_json(indent=None)}\n")


def _run(source: Source, exporter: Exporter, *, follow: bool) -> None:
    with closing(exporter):
        result = _follow(source, exporter) if follow else _catch_up(source, exporter)
    pruned = f", but for {result.pruned} that were pruned or erased before" if result.pruned else ""
    typer.echo(f"{exporter.name}: {result.sent} entries sent; it has all up to entry {result.cursor}{pruned}", err=True)
    if result.stubbed:
        refused = ", ".join(map(str, result.stubbed))
        typer.echo(f"{exporter.name} refused entries {refused}; it has a stub of each", err=True)
        raise typer.Exit(1)


def _catch_up(source: Source, exporter: Exporter) -> Forwarded:
    from counterfoil.exporters import forward

    from .progress import progress

    with progress("exporting", source.head() - source.cursor(exporter.name)) as on_progress:
        return forward(source, exporter, on_progress=lambda done, _total: on_progress(done))


def _follow(source: Source, exporter: Exporter) -> Forwarded:
    """Go on until Ctrl-C or SIGTERM. Neither can lose an entry: the cursor follows what arrived."""
    from counterfoil.exporters import follow

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return follow(source, exporter, stop, on_outage=_tell)


def _tell(failure: ExportFailed) -> None:
    typer.echo(f"{failure}; trying again", err=True)
