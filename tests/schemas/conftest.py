"""A full event of each kind, ways to wreck it, and what a refusal must keep to itself."""

from __future__ import annotations

import base64
import json
import pickle
import secrets
import traceback
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import strategies as st

from counterfoil.schemas import CounterfoilError, Event, Fingerprint, FingerprintKey, KeyedDigest, Sha256, Thumbprint
from counterfoil.schemas.events import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

NOON = "2026-11-23T12:00:00Z"

VERIFICATION_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
"""The example of C2SP signed-note."""

NOTE = f"""counterfoil/{"0f" * 16}/pruned
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/foo {base64.b64encode(bytes(68)).decode()}
"""
"""A note by form. Nobody signed it."""


@pytest.fixture
def mark() -> str:
    """Give a text that every free text of the samples contains."""
    return f"free{secrets.token_hex(4)}"


@pytest.fixture
def samples(key: FingerprintKey, mark: str) -> tuple[Event, ...]:
    """Make one event of each kind with every member set."""
    context, token, others = _context(mark), _token(key, mark), _others(key, mark)
    digest = KeyedDigest.of(b"arguments", key)
    decided = {"approver": mark, "decided_at": NOON, "expires_at": NOON, "shown_digest": digest}
    members: dict[str, dict[str, Any]] = {
        "credential_use": {"token": token, **others},
        "credential_change": {
            "change": "refreshed",
            "token": token,
            "parent": Fingerprint.of("synthetic parent", key),
            "reason": mark,
            **{name: others[name] for name in ("binding", "key_custody", "signer")},
        },
        "approval": {
            "approval_id": mark,
            "state": "granted",
            "requirement": "required",
            "action": others["action"],
            "rendering_digest": digest,
            "reason": mark,
            **decided,
        },
        "compromise": {
            "leaked": "both",
            "fingerprint": token["fingerprint"],
            "key_thumbprint": token["confirmation"]["jkt"],
            "place": "tool_trace",
            "found_at": NOON,
            "leaked_at": NOON,
            "how_known": mark,
            "reported_by": mark,
        },
        "log": {"change": "gap", "log_id": mark, "fingerprint_key_id": mark, "count": 1, "first": 1, "last": 2,
                "reason": mark, "verification_key": VERIFICATION_KEY, "note": NOTE,
                "erased": [{"seq": 2, "leaf_hash": "0" * 64, "producer": "a1", "numbers": [1, 2], "change": "gap"}]},
    }  # fmt: skip
    return tuple(
        EVENT_TYPES[kind].model_validate({"kind": kind, "context": context, **members[kind]}) for kind in EVENT_TYPES
    )


def _token(key: FingerprintKey, mark: str) -> dict[str, Any]:
    thumbprint = Thumbprint.of_certificate(b"synthetic certificate")
    texts = ("issuer", "subject", "client_id", "typ", "alg", "key_id", "jti", "client_auth_method")
    return {
        **dict.fromkeys(texts, mark),
        **dict.fromkeys(("audience", "scopes", "names"), (mark, f"{mark} 2")),
        "token_class": "dpop_bound_access",
        "format": "jwt",
        "fingerprint": Fingerprint.of("synthetic", key),
        "lifetime": {"issued_at": NOON, "not_before": NOON, "expires_at": NOON, "seconds": 3600},
        "confirmation": {"jkt": thumbprint, "x5t_s256": thumbprint, "kid": mark, "members": (mark,)},
        "presentation": "authorization_header",
        "methods": ("authorization_header", "query"),
        "basis": "verified_jwt",
        "prefix": "abcd_",
        "authorization_server": f"https://{mark}.as.example",
    }


def _others(key: FingerprintKey, mark: str) -> dict[str, Any]:
    digest, thumbprint = KeyedDigest.of(b"arguments", key), Thumbprint.of_certificate(b"synthetic certificate")
    return {
        "binding": {**dict.fromkeys(("declared", "presented", "verified", "method"), "dpop"),
                    "key_thumbprint": thumbprint},
        "key_custody": {"store": "software_file", "exportable": True, "isolation": "task", "source": "configured"},
        "signer": {**dict.fromkeys(("executable", "user", "host", "container", "workload_id"), mark),
                   "pid": 7, "is_tool_process": False, "source": "self_asserted"},
        "proof": {
            "mechanism": "dpop",
            "result": "pass",
            "checks": ({"id": "dpop.08_htm", "outcome": "pass", "expected": mark, "observed": mark},),
            "checked_by": mark,
            "proof_digest": Sha256.of(b"proof"),
            "proof_id": Sha256.of(b"jkt and jti"),
            "replay_scope": "key",
            "htu_source": "configured",
            "certificate_source": "tls_layer",
        },
        "resource": {"uri": f"https://{mark}.example/x", "server": mark, "accepted_audiences": (mark,),
                     "metadata": f"https://{mark}.example/metadata"},
        "approval": {"requirement": "required", "approval_id": mark, "decision": "granted", "approver": mark,
                     "decided_at": NOON, "expires_at": NOON,
                     **dict.fromkeys(("shown_digest", "executed_digest", "rendering_digest"), digest)},
        "action": {"name": mark, "method": mark, "target": f"https://{mark}.example/x", "arguments_digest": digest,
                   "started_at": NOON, "ended_at": NOON, "phase": "complete", "outcome": "executed",
                   "status_code": 200, "error_type": mark,
                   "attempt": 2, "redirected_from": f"https://{mark}.example/y"},
    }  # fmt: skip


def _context(mark: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(("task", "tenant", "conversation", "peer"), mark),
        "event_id": "01940000-0000-7000-8000-000000000002",
        "occurred_at": NOON,
        "observer": "resource_server",
        "agent": dict.fromkeys(("id", "name", "version", "instance"), mark),
        "tool": dict.fromkeys(("name", "call_id", "server"), mark),
        "principal": {"subject": mark, "client_id": mark, "actors": (mark,)},
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "use_id": "01940000-0000-7000-8000-000000000001",
        "inbound": Fingerprint.plain_sha256_of(b"inbound"),
        "attributes": {mark: [mark, {mark: mark}, True, 1, 0.5]},
        "reference": f"https://{mark}.example/ticket",
        "recorded_at": NOON,
        "producer": {"id": mark, "seq": 3, "raised": (2,), "pid": 7, "host": mark, "library": mark},
        "salt": "00112233445566778899aabbccddeeff",
        "redactions": (
            {
                "path": mark,
                "rule": mark,
                "length": "17-64",
                "action": "drop",
                "fingerprint": Fingerprint.plain_sha256_of(b"redacted"),
            },
        ),
    }


@pytest.fixture
def wreck(samples: tuple[Event, ...]) -> Callable[..., Any]:
    """Give ``wreck(data, junk)``: the JSON of a sample in which junk stands for one member, and that member's path."""

    def wrecked(data: st.DataObject, junk: Json) -> tuple[Json, tuple[str | int, ...]]:
        document: Json = json.loads(data.draw(st.sampled_from(samples)).model_dump_json())
        path = data.draw(st.sampled_from(list(_members(document))))
        return _replaced(document, path, junk), path

    return wrecked


def _inside(document: Json) -> Iterable[tuple[str | int, Json]]:
    if isinstance(document, dict):
        return document.items()
    return enumerate(document) if isinstance(document, list) else ()


def _members(document: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for step, member in _inside(document):
        yield (*path, step)
        yield from _members(member, (*path, step))


def _replaced(document: Json, path: tuple[str | int, ...], junk: Json) -> Json:
    if not path:
        return junk
    members = {
        step: _replaced(member, path[1:], junk) if step == path[0] else member for step, member in _inside(document)
    }
    return list(members.values()) if isinstance(document, list) else {str(step): each for step, each in members.items()}


@pytest.fixture
def refusal() -> Callable[..., Any]:
    """Give ``refusal(error_type, act, *hidden)``: act() is refused with this error, which shows nothing hidden."""

    def refused(error_type: type[CounterfoilError], act: Callable[[], object], *hidden: str) -> CounterfoilError:
        with pytest.raises(CounterfoilError) as caught:
            act()
        error = caught.value
        assert type(error) is error_type
        for text in _everything_said(error):
            assert not [position for position, value in enumerate(hidden) if value in text]
        return error

    return refused


def _everything_said(error: BaseException) -> Iterator[str]:
    """Yield each text in which an error, or one chained to it, could show a value."""
    chain: list[BaseException] = [error]
    for each in chain:
        yield from (str(each), repr(each), repr(each.args), repr(vars(each)))
        yield from traceback.format_exception(each)
        chain.extend(linked for linked in (each.__cause__, each.__context__) if linked is not None)
    yield pickle.dumps(error, protocol=0).decode("ascii")
