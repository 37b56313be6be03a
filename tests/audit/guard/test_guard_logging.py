"""The filter for the standard library's logging, with real loggers, handlers and formatters."""

from __future__ import annotations

import io
import logging
import logging.handlers
import queue
import secrets
import traceback
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterfoil.audit.guard.logging import RedactingFilter, install
from counterfoil.audit.instrument.httpx2 import AuditTransport
from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from counterfoil.audit import AuditLog

KEY = "ghp_" + secrets.token_hex(18)
PASSWORD = secrets.token_hex(4)


class Account:
    """Its ``str`` and its ``repr`` show a secret, each in its way."""

    def __str__(self) -> str:
        return f"account of {KEY}"

    def __repr__(self) -> str:
        return f"Account(password={PASSWORD!r})"


class Logged:
    """A logger of its own, and what its one handler has written."""

    def __init__(self, form: str = "%(message)s") -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter(form))
        self.logger = logging.getLogger(f"test.{secrets.token_hex(4)}")
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        self.logger.addHandler(self.handler)

    @property
    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()


@pytest.fixture
def logged() -> Logged:
    """Give a logger whose handler has the filter."""
    made = Logged()
    made.handler.addFilter(RedactingFilter())
    return made


@pytest.fixture
def installed() -> Iterator[None]:
    """Guard every logger for one test."""
    uninstall = install()
    yield
    uninstall()


def _record(message: object, *arguments: Any) -> logging.LogRecord:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, __file__, 1, message, arguments, None)
    RedactingFilter().filter(record)
    return record


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        ("plain", (), "plain"),
        ("100 %", (), "100 %"),
        (f"used {KEY}", (), "used [redacted:github]"),
        ("used %s", (KEY,), "used [redacted:github]"),
        ("%s has %d and %.1f and %5.2f", ("me", 3, 1.25, Decimal("2.5")), "me has 3 and 1.2 and  2.50"),
        ("%s", (Account(),), "account of [redacted:github]"),
        ("%(user)s %(password)s", ({"user": "me", "password": PASSWORD},), "me [redacted:member]"),
        ("%s", ({"user": ("me", 1), "password": PASSWORD},), "{'user': ('me', 1), 'password': '[redacted:member]'}"),
        ("%s", ({"user": ("me", 1)},), "{'user': ('me', 1)}"),
        ("%s %s", ([{"password": PASSWORD}], b"x"), "[{'password': '[redacted:member]'}] b'x'"),
        ({"password": PASSWORD}, (), "{'password': '[redacted:member]'}"),
        (ValueError(KEY), (), "[redacted:github]"),
        ("%s", (ValueError(KEY),), "[redacted:github]"),
    ],
)
def test_the_message_with_its_arguments_is_redacted(message: object, arguments: tuple[Any, ...], shown: str) -> None:
    """By pattern and, in containers, by position; what is clean looks as it would without the filter."""
    assert _record(message, *arguments).getMessage() == shown


def test_an_argument_is_a_secret_where_the_message_says_so() -> None:
    """With all its words, whatever they are; the others stay, and the record has them apart."""
    record = _record("password=%s&user=%s for %d", "correct horse", "me", 5)
    assert (record.msg, record.args) == ("password=%s&user=%s for %d", ("[redacted:argument]", "me", 5))
    assert "horse" not in _record("password=%r", Account()).getMessage()


def test_a_secret_of_message_and_argument_together_is_found() -> None:
    """Then no argument is left in the record."""
    record = _record("it is ghp_%s, %d", KEY.removeprefix("ghp_"), 5)
    assert record.getMessage() == "it is ghp_[redacted:argument], 5"
    record = _record("it is %s%s, %d", KEY[:20], KEY[20:], 5)
    assert (record.msg, record.args) == ("it is [redacted:github], 5", None)


_WORDS = st.text(st.sampled_from("abc xyz,.é\n"), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(_WORDS, st.sampled_from(["%s", "%r", "%a"]), _VALUES), max_size=4))
@example([("", "%s", {".": None})])
@example([("", "%s", {".x": 1, "x": 2, "a.": 3})])
@settings(max_examples=60, deadline=None)
def test_a_message_without_secrets_stays_as_it_is(parts: list[tuple[str, str, Any]]) -> None:
    """Whatever is formatted into it, and however."""
    template, arguments = "".join(word + form for word, form, _ in parts), tuple(value for *_, value in parts)
    plain = logging.LogRecord("x", logging.INFO, "here", 1, template, arguments, None)
    before = plain.getMessage()
    RedactingFilter().filter(plain)
    assert plain.getMessage() == before


def test_a_representation_is_searched_as_well() -> None:
    """``%r`` shows what ``repr`` says, without what was found in it."""
    assert PASSWORD not in _record("%r and %d", Account(), 5).getMessage()
    assert _record("%r", "text").getMessage() == "'text'"


def test_clean_arguments_stay_apart() -> None:
    """Handlers that group records by template, or count arguments, still can."""
    record = _record("%s has %d", "me", 3)
    assert (record.msg, record.args) == ("%s has %d", ("me", 3))


def test_arguments_that_do_not_fit_are_reported_without_secrets(
    logged: Logged, capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """Logging itself prints message and arguments to stderr then, as they are in the record."""
    logged.handler.handle(logging.makeLogRecord({"msg": "%d", "args": (KEY,)}))
    told = capsys.readouterr().err
    assert "Arguments: ('[redacted:github]',)" in told
    assert leaks(KEY, told) == []


def _fail(token: str) -> None:
    held_here = token
    try:
        {}[token]
    except KeyError as cause:
        cause.add_note(f"with {token}")
        both = [ValueError(f"{token} is bad"), OSError(2, held_here)]
        raise ExceptionGroup(f"two for {token}", both) from cause


def _failure(token: str) -> tuple[type[BaseException], BaseException, TracebackType]:
    with pytest.raises(ExceptionGroup) as raised:
        _fail(token)
    error: BaseException = raised.value
    assert error.__traceback__ is not None
    return type(error), error, error.__traceback__


def test_exceptions_are_redacted_with_all_that_belongs_to_them(logged: Logged, leaks: Callable[..., list[str]]) -> None:
    """Causes, notes and groups; types, files, lines and functions stay, and so does the source line."""
    try:
        _fail(KEY)
    except ExceptionGroup:
        logged.logger.exception("failed", stack_info=True)
    for told in ("KeyError: '[redacted:github]'", "with [redacted:github]", "two for [redacted:github]", "in _fail"):
        assert told in logged.text
    assert 'ExceptionGroup(f"two for {token}", both) from cause' in logged.text
    assert "Stack (most recent call last)" in logged.text
    assert leaks(KEY, logged.text) == []


def test_handlers_that_read_the_exception_itself_find_no_secret(leaks: Callable[..., list[str]]) -> None:
    """``exc_info`` is a stand-in: no text, no local, no caller of a frame leads to the secret; its kind is the same."""
    record = _record("x")
    record.exc_info = _failure(KEY)
    RedactingFilter().filter(record)
    assert record.exc_info is not None
    kind, error, trace = record.exc_info
    assert error is not None
    assert ExceptionGroup in type(error).__mro__
    assert kind is type(error)
    assert (kind.__name__, kind.__module__) == ("ExceptionGroup", "builtins")
    captured = traceback.TracebackException(kind, error, trace, capture_locals=True)
    assert leaks(KEY, "".join(captured.format())) == []
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    assert [frame.f_code.co_name for frame in frames][-1] == "_fail"
    assert all(frame.f_back is None and not frame.f_locals for frame in frames)


def test_an_earlier_handler_may_have_formatted_the_exception(leaks: Callable[..., list[str]]) -> None:
    """Handlers share a record: text that one without the filter has left in it is redacted, too."""
    first, second = Logged(), Logged()
    second.handler.addFilter(RedactingFilter())
    first.logger.addHandler(second.handler)
    try:
        _fail(KEY)
    except ExceptionGroup:
        first.logger.exception("failed %s", KEY)
    assert leaks(KEY, first.text)
    assert leaks(KEY, second.text) == []


def test_text_without_its_exception_is_redacted() -> None:
    """As a ``QueueHandler`` leaves it: formatted, and without ``exc_info``."""
    record = _record("x")
    record.exc_text, record.stack_info = f"ValueError: {KEY}", f"Stack {KEY}"
    RedactingFilter().filter(record)
    assert (record.exc_text, record.stack_info) == ("ValueError: [redacted:github]", "Stack [redacted:github]")


def test_what_capture_has_seen_is_found_in_logs(log: AuditLog, secret: str, logged: Logged) -> None:
    """A token that nothing tells: it was in a request that was recorded, and then it is said in prose."""
    logged.logger.info("before: %s", secret)
    assert secret in logged.text
    with (
        httpx2.Client(transport=AuditTransport(log)) as client,
        log.scope(agent="a"),
        pytest.raises(httpx2.ConnectError),
    ):
        client.get("http://127.0.0.1:9/mail", headers={"Authorization": f"Bearer {secret}"})
    logged.logger.info("after: %s was not accepted", secret)
    assert logged.text.endswith("after: [redacted:known] was not accepted\n")


def test_extra_attributes_and_names_are_redacted(leaks: Callable[..., list[str]]) -> None:
    """By position and pattern; objects become what they show."""
    logged = Logged("%(name)s %(threadName)s %(password)s %(request)s %(count)d")
    logged.handler.addFilter(RedactingFilter())
    record = logging.makeLogRecord(
        {"name": f"l.{KEY}", "levelno": logging.INFO, "msg": "x", "threadName": f"t {KEY}", "args": ()}
    )
    vars(record).update(password=PASSWORD, request=Account(), count=5)
    logged.logger.handle(record)
    assert logged.text.startswith("l.[redacted:github] t [redacted:github] [redacted:member] Account(")
    assert logged.text.endswith(" 5\n")
    assert leaks(PASSWORD, logged.text) == []


def test_attributes_can_be_left_alone_by_a_frightening_name() -> None:
    """A handler that needs the object gets it."""
    account = Account()
    record = logging.makeLogRecord({"request": account})
    RedactingFilter(dangerously_unguarded=["request"]).filter(record)
    assert vars(record)["request"] is account


def test_a_logger_takes_the_filter_as_well() -> None:
    """Then every handler of that logger gets redacted records."""
    logged = Logged()
    logged.logger.addFilter(RedactingFilter())
    logged.logger.info(KEY)
    assert logged.text == "[redacted:github]\n"


def test_filtering_twice_changes_nothing() -> None:
    """So the filter may stand on several handlers, and on a logger."""
    given = {"msg": "%s %s", "args": (KEY, 1), "exc_info": _failure(KEY), "password": KEY}
    record = logging.makeLogRecord(given)
    RedactingFilter().filter(record)
    once = dict(vars(record))
    RedactingFilter().filter(record)
    assert vars(record) == once


@pytest.mark.usefixtures("installed")
def test_one_line_guards_every_logger(tmp_path: Path, leaks: Callable[..., list[str]]) -> None:
    """Handlers made before and after, those of the root, and those behind a queue."""
    file = tmp_path / "log"
    logger = logging.getLogger(f"guarded.{secrets.token_hex(4)}")
    late = logging.FileHandler(file)
    waiting: queue.Queue[Any] = queue.Queue()
    behind = Logged()
    logger.addHandler(late)
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    try:
        _fail(KEY)
    except ExceptionGroup:
        logger.exception("password=%s", PASSWORD, extra={"token": KEY})
    behind.handler.handle(waiting.get())
    late.close()
    logger.handlers.clear()
    assert "ExceptionGroup" in behind.text
    assert leaks(KEY, file, behind.text) + leaks(PASSWORD, file, behind.text) == []


@pytest.mark.usefixtures("installed")
def test_what_logging_reports_of_a_handler_is_guarded_too(
    capsys: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """A handler that fails may quote what it connects with; so may a record whose arguments do not fit."""

    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                _fail(KEY)
            except ExceptionGroup:
                self.handleError(record)

    logger = Logged().logger
    logger.addHandler(Failing())
    logger.info("used %s", KEY)
    told = capsys.readouterr().err
    assert "--- Logging error ---" in told
    assert "ExceptionGroup: two for [redacted:github]" in told
    assert "Message: 'used %s'\nArguments: ('[redacted:github]',)" in told
    assert leaks(KEY, told) == []


@pytest.mark.usefixtures("installed")
def test_captured_warnings_are_guarded(leaks: Callable[..., list[str]]) -> None:
    """``logging.captureWarnings`` makes records of them."""
    logged = Logged()
    logger = logging.getLogger("py.warnings")
    logger.addHandler(logged.handler)
    logging.captureWarnings(capture=True)
    warnings.showwarning(UserWarning(KEY), UserWarning, "file", 1)
    logging.captureWarnings(capture=False)
    logger.handlers.clear()
    assert "UserWarning: [redacted:github]" in logged.text
    assert leaks(KEY, logged.text) == []


@pytest.mark.parametrize("given", [ValueError(KEY), True, (None, None, None)])
def test_odd_exc_info_is_no_failure(given: Any) -> None:
    """Whatever stands there: an exception by itself is one."""
    record = logging.makeLogRecord({"msg": "x", "exc_info": given})
    RedactingFilter().filter(record)
    assert record.getMessage() == "x"
    assert KEY not in repr(vars(record))


def test_what_is_installed_can_be_taken_away() -> None:
    """In any order; without it the secret is there, so the tests above mean something."""
    before = logging.Logger.callHandlers
    first, second = install(), install()
    first()
    second()
    assert logging.Handler.handleError.__module__ == "logging"
    logged = Logged()
    logged.logger.info(KEY)
    assert KEY in logged.text
    logging.Logger.callHandlers = before  # type: ignore[method-assign]


class _Broken(Redactor):
    def text(self, text: str) -> Any:
        raise RuntimeError(text)

    def value(self, value: Any) -> Any:
        raise RuntimeError(str(value))


@pytest.mark.parametrize("message", ["%s", {"event": KEY}, "x"])
def test_a_redactor_that_fails_shows_nothing(message: Any) -> None:
    """The record is still there, with its level, and nothing raises."""
    logged = Logged("%(levelname)s %(message)s %(password)s")
    logged.handler.addFilter(RedactingFilter(_Broken()))
    try:
        _fail(KEY)
    except ExceptionGroup:
        logged.logger.exception(message, *([KEY] if message == "%s" else []), extra={"password": PASSWORD})
    assert logged.text.startswith("ERROR ")
    assert KEY not in logged.text
    assert PASSWORD not in logged.text


def test_a_record_that_cannot_be_redacted_says_only_that() -> None:
    """Its level, its time and its logger stay."""

    class Odd(tuple[Any, ...]):
        __slots__ = ()

        def __iter__(self) -> Any:
            raise RuntimeError(KEY)

    record = logging.makeLogRecord({"name": "here", "levelname": "INFO", "msg": KEY, "exc_info": Odd((1, 2, 3))})
    vars(record)["password"] = PASSWORD
    assert RedactingFilter().filter(record)
    assert (record.getMessage(), record.name, record.levelname) == ("[redacted:error]", "here", "INFO")
    assert vars(record)["password"] == "[redacted:error]"
