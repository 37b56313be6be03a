"""The redactor as a structlog processor, in real chains of processors."""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import structlog
from structlog.testing import CapturingLogger

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.processor import RedactingProcessor

if TYPE_CHECKING:
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


def test_exc_info_is_passed_on() -> None:
    """What structlog keeps as objects stays as it is."""
    error = ValueError(KEY)
    assert _processed(event="x", exc_info=error)["exc_info"] is error


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


def test_a_failure_is_an_event_of_its_own() -> None:
    """A log call never fails for its redactor, and nothing is shown that was not redacted."""

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError(KEY)

    assert _processed(event=KEY, it=Unprintable()) == {"event": "[redacted:error]", "level": "info"}


def test_another_redactor_can_be_given() -> None:
    """The processor uses the redactor that it was made with."""
    redactor = Redactor()
    assert RedactingProcessor(redactor)(None, "info", {"event": KEY}) == {"event": "[redacted:github]"}
