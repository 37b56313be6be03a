"""Our own error paths: whatever fails, and however it is shown, no value of a caller's is in it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import secrets
import sqlite3
import traceback
import warnings
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from structlog.tracebacks import ExceptionDictTransformer

import counterfoil.audit
import counterfoil.exporters
import counterfoil.schemas
from counterfoil.audit import AuditLog, AuditReader, SigningKey
from counterfoil.audit.capture import HttpRequest, parse_raw_request
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters.otlp import otlp_exporter, resolve
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import (
    Action,
    Context,
    CounterfoilError,
    CredentialUse,
    Fingerprint,
    FingerprintKey,
    Resource,
    Token,
    parse_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from conftest import MakeUse, Run

    Leaks = Callable[..., list[str]]

_ROOTS: Final = (counterfoil.audit, counterfoil.exporters, counterfoil.schemas)

_TELLING: Final = frozenset(
    {
        "arguments", "attributes", "body", "claims", "context", "der", "form", "header", "headers", "json", "nonces",
        "parts", "password", "query", "raw", "request", "secret", "signature", "signing_input", "token", "url",
    }
)  # fmt: skip
"""Fields of such names may hold what a caller gave, as it was given."""

_HARMLESS: Final = frozenset(
    {
        "Credential.token", "TokenFacts.token", "_Seen.token",  # a ``Token``, which holds no credential
        "Pending.body", "Redacted.body",  # redacted before
        "Signature.raw",  # of a checkpoint
        "ClientCertificate.der",  # public, and shown by its length
        "Presented.request", "_Stub.request", "Dpop.nonces",  # which show nothing themselves
        "Piece.form",  # a flag
    }
)  # fmt: skip


def _modules() -> Iterator[ModuleType]:
    for root in _ROOTS:
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield importlib.import_module(found.name)


def _records() -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield each of our classes that has fields, with something for each of them."""
    for module in _modules():
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == module.__name__:
                kind = cast("Any", found)
                if dataclasses.is_dataclass(kind):
                    yield kind, {field.name: "x" for field in dataclasses.fields(kind)}
                elif hasattr(kind, "_fields"):
                    yield kind, dict.fromkeys(kind._fields, "x")


def _filled(kind: Any, members: dict[str, str]) -> Any:
    """Return an instance with these members, whatever its constructor would say."""
    if hasattr(kind, "_fields"):
        return kind._make(members.values())
    made = object.__new__(kind)
    for name, member in members.items():
        object.__setattr__(made, name, member)
    return made


def test_no_repr_shows_what_may_be_a_secret() -> None:
    """None of our classes shows a field that may hold what a caller gave: reprs end in logs, and in tracebacks."""
    shown: set[str] = set()
    seen = 0
    for kind, members in _records():
        secret = secrets.token_urlsafe(32)
        for name in _TELLING.intersection(members):
            seen += 1
            if secret in _repr(_filled(kind, {**members, name: secret})):
                shown.add(f"{kind.__name__}.{name}")
    assert seen > 30
    assert shown <= _HARMLESS


def _repr(made: Any) -> str:
    try:
        return repr(made)
    except (AttributeError, TypeError):  # it shows a member of a field, and not the text that stands here
        return ""


def test_open_objects_show_and_pickle_nothing(
    log: AuditLog, address: Path, a_use: MakeUse, secret: str, leaks: Leaks
) -> None:
    """What an application holds in its hands shows no value, and is not written down by a pickle."""
    with log.scope(task="t", attributes={"note": secret}):
        event = a_use(context=Context(attributes={"note": secret}))
        use = log.use(token=Token(), resource=Resource(uri="https://a.example"), action=Action(name=secret))
        asked = log.approval(tool="send", arguments={"body": secret})
    request = HttpRequest("GET", f"https://a.example/?q={secret}", (("Authorization", f"Bearer {secret}"),))
    reader, source = AuditReader.open(address), open_source(str(address))
    exporter = otlp_exporter(log.health and "0" * 32, endpoint=f"http://me:{secret}@127.0.0.1:9")
    held = [log, event, use, asked, request, reader, source, exporter, Redactor(), resolve(f"http://me:{secret}@h")]
    with closing(reader), closing(source), closing(exporter):
        assert leaks(secret, *[repr(each) for each in held], *[str(each) for each in held]) == []
        for each in (log, reader, log.fingerprint_key):
            with pytest.raises(TypeError):
                pickle.dumps(each)


def _closed(address: Path, event: CredentialUse) -> None:
    log = AuditLog.open(address)
    log.close()
    log.record(event)


def _changed(secret: str) -> CredentialUse:
    event = _small(context=Context(attributes={"x": secret}))
    cast("dict[str, Any]", event.context.attributes)["x"] = {secret.encode()}
    return event


def _small(**parts: Any) -> CredentialUse:
    usual: dict[str, Any] = {
        "token": Token(),
        "resource": Resource(uri="https://a.example"),
        "action": Action(name="a"),
    }
    return CredentialUse(**(usual | parts))


_MISTAKES: Final[dict[str, Callable[[AuditLog, Path, str], object]]] = {
    "a raw token as fingerprint": lambda _, __, s: _small(token={"fingerprint": s}),
    "an unknown member": lambda _, __, s: _small(**{s: s}),
    "a member that is no text": lambda _, __, s: Context(attributes={"x": {1: s}}),
    "a digest that is none": lambda _, __, s: Fingerprint(s),
    "JSON that is cut off": lambda _, __, s: parse_event(f'{{"kind":"log","change":"{s}"'),
    "a member twice": lambda _, __, s: parse_event(f'{{"kind":"log","change":"gap","change":"{s}"}}'),
    "NUL": lambda log, _, s: log.record(_small(context=Context(attributes={"x": f"{s}\0"}))),
    "too much": lambda log, _, s: log.record(_small(context=Context(attributes={"x": s * 10_000}))),
    "changed afterwards": lambda log, _, s: log.record(_changed(s)),
    "no event at all": lambda log, _, s: log.record(cast("Any", s)),
    "arguments that are no JSON": lambda log, _, s: log.approval(tool="a", arguments={s: float("nan")}),
    "a scope that is none": lambda log, _, s: log.scope(task=s * 100).__enter__(),
    "a closed log": lambda _, path, s: _closed(path.with_name("c.db"), _small(context=Context(attributes={"x": s}))),
    "a request that is none": lambda _, __, s: parse_raw_request(f"GET / HTTP/1.1\n{s}\n {s}\n\n".encode()),
    "an address with a password": lambda _, __, s: AuditLog.open(f"postgresql+psycopg://me:{s}@127.0.0.1:9/x"),
    "an address of nothing": lambda _, __, s: AuditLog.open(f"mysql://me:{s}@127.0.0.1/x"),
    "an endpoint that is none": lambda _, __, s: otlp_exporter("0" * 32, endpoint=f"ftp://me:{s}@h/{s}"),
    "a key that is none": lambda _, __, s: FingerprintKey(s[:8].encode()),
    "a signing key that is none": lambda _, __, s: SigningKey.from_text(s),
}  # fmt: skip


@pytest.mark.parametrize("mistake", _MISTAKES)
def test_an_error_says_no_value(mistake: str, log: AuditLog, address: Path, secret: str, leaks: Leaks) -> None:
    """Neither its text, nor its arguments, notes, members, pickle, chain or traceback; and no warning is given."""
    with warnings.catch_warnings(record=True) as warned, pytest.raises(CounterfoilError) as raised:
        _MISTAKES[mistake](log, address, secret)
    error: BaseException | None = raised.value
    told: list[str | bytes] = ["".join(traceback.format_exception(raised.value)), repr(warned)]
    while error is not None:
        told += [str(error), repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", ""))]
        told.append(pickle.dumps(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert leaks(secret, *told, address.parent) == []


@pytest.mark.parametrize("mistake", ["NUL", "too much", "changed afterwards"])
def test_no_frame_of_record_holds_a_body(mistake: str, log: AuditLog, address: Path, secret: str) -> None:
    """Structlog's tracebacks show locals unless told: on the way from an event to its entry ours hold none of it."""
    with pytest.raises(CounterfoilError) as raised:
        _MISTAKES[mistake](log, address, secret)
    show = ExceptionDictTransformer(show_locals=True, locals_max_string=1_000_000, max_frames=100)
    (shown,) = show((raised.type, raised.value, raised.tb))
    ours = [frame for frame in shown["frames"] if "test_error_paths" not in frame["filename"]]
    assert {frame["name"] for frame in ours} >= {"record", "fenced"}
    assert secret not in repr(ours)


class _Quoting(sqlite3.Connection):
    """A connection whose errors quote what they were given."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("INSERT INTO entry"):
            raise sqlite3.OperationalError(f"{sql} {parameters!r}")
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        raise sqlite3.OperationalError(f"{sql} {list(parameters)!r}")


def test_the_database_s_words_are_not_passed_on(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    address: Path, key: FingerprintKey, a_use: MakeUse, secret: str, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the database may quote a row; ours says what kind of error it was."""
    AuditLog.open(address, fingerprint_key=key).close()
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=_Quoting))
    with pytest.raises(CounterfoilError) as raised, AuditLog.open(address, fingerprint_key=key) as log:
        log.record(a_use(secret))
    assert leaks(secret, str(raised.value), *traceback.format_exception(raised.value)) == []


def test_the_command_line_quotes_no_error_that_nobody_expected(
    run: Run, log: AuditLog, secret: str, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours is told by its place and its type: its text could be any value."""

    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError(secret)

    assert log.health
    monkeypatch.setattr("counterfoil.audit.reader.AuditReader.find", failing)
    ended = run("query")
    assert ended.code == 1
    assert "ZeroDivisionError, which is a defect" in ended.err
    assert 'reader.py"' in ended.err or "in query" in ended.err
    assert leaks(secret, ended.out, ended.err) == []
