"""Sentry in its default configuration: the scrubber of its SDK, and the rules of its server."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Value

    Rules = Callable[..., dict[str, Value]]

pytestmark = pytest.mark.backends

TRACE = {"trace_id": "4c79f60c11214eb38604f4ae0781bfb2"}


def sent_by_the_sdk(spans: list[dict[str, Value]]) -> list[dict[str, Value]]:
    """Return the data of spans as a client sends it that nobody configured."""
    sentry: Any = importlib.import_module("sentry_sdk")
    base: Any = importlib.import_module("sentry_sdk.transport").Transport
    envelopes: list[Any] = []

    def capture(_transport: Any, envelope: Any) -> None:
        envelopes.append(envelope)

    client = sentry.Client(
        dsn="http://public@127.0.0.1:9/1",
        transport=type("Transport", (base,), {"capture_envelope": capture}),
        traces_sample_rate=1.0,
        default_integrations=False,
    )
    with sentry.isolation_scope(), sentry.new_scope() as scope:
        scope.set_client(client)
        with sentry.start_transaction(name="task", op="agent"):
            for attributes in spans:
                with sentry.start_span(op="tool", name="send_mail") as span:
                    for name, value in attributes.items():
                        span.set_data(name, value)
    client.close()
    ((item,),) = (envelope.items for envelope in envelopes)
    sent: list[dict[str, Value]] = [span["data"] for span in json.loads(item.payload.get_bytes())["spans"]]
    return [{name: value for name, value in each.items() if not name.startswith("thread.")} for each in sent]


def scrubbed_by_the_sdk(attributes: dict[str, Value], *, recursive: bool) -> list[dict[str, Value]]:
    """Return what the scrubber makes of attributes in each place of an event where an application can put them."""
    scrubber: Any = importlib.import_module("sentry_sdk.scrubber").EventScrubber(recursive=recursive)
    places = [dict(attributes) for _ in range(4)]
    breadcrumbs = {"values": [{"data": places[1]}]}
    event = {"extra": places[0], "breadcrumbs": breadcrumbs, "spans": [{"data": places[2]}], "user": places[3]}
    scrubber.scrub_event(event)
    return places


def test_the_sdk_sends_names_and_values_as_they_are(
    typical: dict[str, Value], spans_of_terms: list[dict[str, Value]]
) -> None:
    """Every attribute of the table, with a typical value and with each term that it can say, on spans."""
    spans = [typical, *spans_of_terms]
    assert sent_by_the_sdk(spans) == spans
    assert sent_by_the_sdk([{"token": "x", "session": "y"}]) == [{"token": "[Filtered]", "session": "[Filtered]"}]


@pytest.mark.parametrize("recursive", [False, True])
def test_the_scrubber_of_the_sdk_leaves_events_alone(
    typical: dict[str, Value], spans_of_terms: list[dict[str, Value]], *, recursive: bool
) -> None:
    """The same wherever else an event can hold them; and it is at work there."""
    for span in (typical, *spans_of_terms):
        assert scrubbed_by_the_sdk(span, recursive=recursive) == [span] * 4
    assert {"token": "x"} not in scrubbed_by_the_sdk({"token": "x"}, recursive=recursive)


def kept_by_the_server(attributes: dict[str, Value], safe_fields: list[str] | None = None) -> dict[str, Value]:
    """Return what is left of a span's data under the rules that a project of Sentry's has by default."""
    relay: Any = importlib.import_module("sentry_relay.processing")
    settings: dict[str, object] = {"scrubData": True, "scrubDefaults": True, "scrubIpAddresses": False}
    settings |= {"sensitiveFields": [], "excludeFields": safe_fields or []}
    rules = relay.convert_datascrubbing_config(settings)
    moments = {"start_timestamp": 1, "timestamp": 2}
    span = {**TRACE, **moments, "span_id": "fa90fdead5f74052", "op": "tool", "data": attributes}
    contexts = {"trace": {**TRACE, "span_id": "fa90fdead5f74053", "type": "trace"}}
    event = {"type": "transaction", "transaction": "task", "contexts": contexts, "spans": [span], **moments}
    kept: dict[str, Value] = relay.pii_strip_event(rules, event)["spans"][0]["data"]
    return kept


def changed(before: dict[str, Value], after: dict[str, Value]) -> set[str]:
    """Return the names of attributes that were changed, or that are gone."""
    return {name for name, value in before.items() if after.get(name) != value}


def test_the_server_hides_every_name_with_token_in_it(typical: dict[str, Value]) -> None:
    """Whatever the value, and no other name of the table."""
    assert changed(typical, kept_by_the_server(typical)) == {name for name in typical if "token" in name}


def test_the_terms_that_the_server_hides_are_those_on_the_page(
    spans_of_terms: list[dict[str, Value]], listed: Callable[[str], list[str]]
) -> None:
    """Each term, under a name that is left alone, passes or is listed."""
    hidden: set[str] = set()
    for span in spans_of_terms:
        renamed = {name.replace("token", "tok"): value for name, value in span.items()}
        for name in changed(renamed, kept_by_the_server(renamed)):
            value = renamed[name]
            hidden |= {str(item) for item in (value if isinstance(value, list) else [value])}
    assert sorted(listed("hidden by Sentry")) == sorted(hidden)


def test_the_safe_fields_on_the_page_keep_everything(
    page: str, typical: dict[str, Value], unlucky: dict[str, Value], spans_of_terms: list[dict[str, Value]]
) -> None:
    """As they stand there, each in quotes: a dotted name without them is another rule, and keeps nothing.

    None is listed that would be kept anyway, and what is listed keeps unlucky values, too.
    """
    (block,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    safe = block.split()
    named = {each.split("'")[1] for each in safe}
    hidden: set[str] = set()
    for span in (typical, *spans_of_terms, {name: unlucky[name] for name in named if name in unlucky}):
        hidden |= changed(span, kept_by_the_server(span))
        assert changed(span, kept_by_the_server(span, safe)) == set()
    assert hidden == named
    bare = [each.replace("'", "") for each in safe]
    assert changed(typical, kept_by_the_server(typical, bare)) == {name for name in typical if "token" in name}
