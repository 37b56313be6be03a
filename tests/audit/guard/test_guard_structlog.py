"""The redactor as a structlog processor, in real chains of processors."""

from __future__ import annotations

import io
import json
import logging
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import structlog
from structlog.testing import CapturingLogger

from counterfoil.audit.guard.logging import RedactingFilter
from counterfoil.audit.guard.structlog import RedactingProcessor
from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue
    from structlog.typing import Processor

KEY = "ghp_" + secrets.token_hex(18)
PASSWORD = secrets.token_hex(4)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Login:
    """Its ``repr`` shows a password, as that of any dataclass."""

    user: str
    password: str


def _processed(**event: Any) -> dict[str, Any]:
    return RedactingProcessor()(None, "info", event)


def _line(*before: Processor, **event: Any) -> dict[str, Any]:
    captured = CapturingLogger()
    processors = [*before, RedactingProcessor(), structlog.processors.JSONRenderer()]
    structlog.wrap_logger(captured, processors=processors).info(**event)
    rendered: dict[str, Any] = json.loads(captured.calls[0].args[0])
    return rendered


def _log_in(login: Login) -> None:
    raise ValueError(f"{KEY} is not for {login.user}")


def test_message_and_values_are_redacted() -> None:
    """The message by pattern, values by position and pattern, names too."""
    line = _line(structlog.processors.add_log_level, event=f"used {KEY}", password=PASSWORD, headers={"Cookie": "a=b"})
    assert line == {
        "event": "used [redacted:github]",
        "level": "info",
        "password": "[redacted:member]",
        "headers": {"Cookie": "a=[redacted:cookie]"},
    }


@pytest.mark.parametrize("formatter", [structlog.processors.format_exc_info, structlog.processors.dict_tracebacks])
def test_a_formatted_traceback_is_redacted(formatter: Processor) -> None:
    """As text and as a structure, locals included."""
    with pytest.raises(ValueError, match="is not for") as raised:
        _log_in(Login("me", PASSWORD))
    line = _line(formatter, event="failed", exc_info=raised.value)
    assert "ValueError" in json.dumps(line["exception"])
    assert KEY not in json.dumps(line)
    assert PASSWORD not in json.dumps(line)


@pytest.mark.parametrize("form", ["exception", "tuple", "true"])
def test_exc_info_becomes_a_stand_in(form: str) -> None:
    """However it is given, a renderer that formats it shows the type, and neither the secret nor any local."""
    captured = CapturingLogger()
    try:
        _log_in(Login("me", PASSWORD))
    except ValueError as error:
        given: Any = {"exception": error, "tuple": sys.exc_info(), "true": True}[form]
        processors = [RedactingProcessor(), structlog.dev.ConsoleRenderer(colors=False)]
        structlog.wrap_logger(captured, processors=processors).info("failed", exc_info=given)
    shown: str = captured.calls[0].args[0]
    assert "ValueError" in shown
    assert "_log_in" in shown
    assert "redacted:github" in shown  # older versions colour the brackets
    assert KEY not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize("nothing", [None, False, (None, None, None)])
def test_no_exc_info_stays_none(nothing: object) -> None:
    """Where there is no exception, none is made up."""
    assert not _processed(event="x", exc_info=nothing)["exc_info"]


def test_what_a_traceback_has_cut_off_is_removed() -> None:
    """A local that was shortened in the middle of a credential matches no pattern any more: its last word goes."""
    long = "see " + "Bearer " + secrets.token_urlsafe(90)

    def fail(anything: str) -> None:
        raise ValueError(len(anything))

    with pytest.raises(ValueError, match="131") as raised:
        fail(long)
    line = _line(structlog.processors.dict_tracebacks, event="failed", exc_info=raised.value)
    (cut,) = [frame["locals"]["anything"] for frame in line["exception"][0]["frames"] if frame["name"] == "fail"]
    assert cut == "'see Bearer [redacted:cut]'+51"


def test_records_of_other_libraries_are_redacted(leaks: Callable[..., list[str]]) -> None:
    """Among the processors of a ``ProcessorFormatter``, where the standard library's records come by."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            RedactingProcessor(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler.setFormatter(formatter)
    logger = logging.getLogger(f"library.{secrets.token_hex(4)}")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        _log_in(Login("me", PASSWORD))
    except ValueError:
        logger.exception(
            "used %s", KEY, stack_info=True, extra={"password": PASSWORD, "http.header.cookie": "a=secret"}
        )
    line = json.loads(stream.getvalue())
    assert line["event"] == "used [redacted:github]"
    assert line["password"] == "[redacted:member]"
    assert line["http.header.cookie"] == "a=[redacted:cookie]"
    assert "ValueError: [redacted:github] is not for me" in line["exception"]
    assert leaks(KEY, stream.getvalue()) == []


def test_what_structlog_hands_to_the_standard_library_is_guarded_there_too(leaks: Callable[..., list[str]]) -> None:
    """A filter of the handler redacts the event that is on its way to the ``ProcessorFormatter``."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    renderer = structlog.dev.ConsoleRenderer(colors=False)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer))
    logger = logging.getLogger(f"application.{secrets.token_hex(4)}")
    logger.propagate = False
    logger.addHandler(handler)
    processors: list[Processor] = [structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    wrapped = structlog.wrap_logger(logger, processors=processors, wrapper_class=structlog.stdlib.BoundLogger)
    try:
        _log_in(Login("me", PASSWORD))
    except ValueError:
        wrapped.exception("failed", password=PASSWORD, token=KEY)
    assert "ValueError" in stream.getvalue()
    assert leaks(KEY, stream.getvalue()) + leaks(PASSWORD, stream.getvalue()) == []


def test_bytes_and_objects_are_what_a_renderer_would_show() -> None:
    """What is searched is what is shown: bytes become text, objects their ``repr``, sets and tuples lists."""
    found = _processed(
        event="x",
        raw=KEY.encode(),
        login=Login("me", PASSWORD),
        tuple=(1, KEY),
        set={KEY},
        names={b"password": b"\xff", 5: 1},
    )
    assert found["raw"] == "[redacted:github]"
    assert PASSWORD not in found["login"]
    assert (found["tuple"], found["set"]) == ([1, "[redacted:github]"], ["[redacted:github]"])
    assert found["names"] == {"password": "[redacted:member]", "5": 1}
    assert _processed(event="x", secret=Login("me", PASSWORD))["secret"] == "[redacted:member]"


def test_plain_values_keep_their_type() -> None:
    """Times, numbers and identifiers are left for the renderer, except where a secret belongs."""
    plain = {"when": NOW, "cost": Decimal("1.50"), "id": UUID(int=1), "n": 5, "ok": True, "none": None}
    assert _processed(**plain) == plain
    assert _processed(password=Decimal("12.5")) == {"password": "[redacted:member]"}


def test_the_standard_library_can_format_its_arguments_afterwards() -> None:
    """``positional_args`` stays a tuple."""
    chain = structlog.stdlib.PositionalArgumentsFormatter()
    event = chain(logging.getLogger(), "info", _processed(event="%s and %d", positional_args=(KEY, 5)))
    assert event == {"event": "[redacted:github] and 5"}


def test_a_cycle_ends() -> None:
    """A container that contains itself is cut where it begins again."""
    cycle: list[Any] = [KEY]
    cycle += [cycle, cycle]
    assert _processed(cycle=cycle) == {"cycle": ["[redacted:github]", "[redacted:depth]", "[redacted:depth]"]}


class Unprintable:
    """Quotes a secret when it is to show itself, and fails."""

    def __repr__(self) -> str:
        raise RuntimeError(KEY)


def test_what_cannot_be_read_hides_only_itself() -> None:
    """An object that fails to show itself is replaced, and the rest of the event stays."""
    assert _processed(event="x", it=Unprintable(), user="me") == {"event": "x", "it": "[redacted:error]", "user": "me"}


def test_a_redactor_that_fails_shows_nothing() -> None:
    """A log call never fails for its redactor, and nothing is shown that was not redacted."""

    class Broken(Redactor):
        def value(self, value: JsonValue) -> tuple[JsonValue, list[dict[str, str]]]:
            raise RuntimeError(str(value))

        def text(self, text: str) -> tuple[str, list[dict[str, str]]]:
            raise RuntimeError(text)

    shown = RedactingProcessor(Broken())(None, "info", {"event": KEY, "exc_info": ValueError(KEY)})
    assert KEY not in repr(shown)
    assert isinstance(shown["exc_info"], ValueError | Exception)


def test_an_event_that_is_none_is_said_to_have_failed() -> None:
    """Where nothing else can be said, the event says that, and its level."""

    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError(KEY)

    assert RedactingProcessor()(None, "info", Odd()) == {"event": "[redacted:error]", "level": "info"}


def test_another_redactor_can_be_given() -> None:
    """The processor uses the redactor that it was made with."""
    redactor = Redactor()
    assert RedactingProcessor(redactor)(None, "info", {"event": KEY}) == {"event": "[redacted:github]"}
