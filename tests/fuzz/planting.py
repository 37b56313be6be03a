"""Plants canaries through the doors of a log: events, scopes, uses, approvals, captured requests, bad input.

A canary belongs to one of six classes. Three must never come out: ``named`` (its place tells), ``told`` (its look
tells), ``known`` (capture saw it before, and it is one run of token characters). Three are limits, which
docs/redaction.md admits; of them it is counted how many come out: ``untold``, ``known in pieces``, ``coded``.
"""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx
from canaries import KINDS, Kind, Mint
from routes import BARE, CODED, NAMED, Json, nested

from counterfoil.audit.capture import HttpRequest, action_of, capture_credentials, resource_of
from counterfoil.audit.instrument.httpx import AuditTransport
from counterfoil.schemas import (
    Action,
    Agent,
    ApprovalEvent,
    Check,
    Compromise,
    Context,
    CounterfoilError,
    CredentialChange,
    CredentialUse,
    Event,
    LogEvent,
    Principal,
    Proof,
    Resource,
    SignerProcess,
    Token,
    Tool,
    parse_event,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from world import Application

    from counterfoil.audit import AuditLog

MUST: Final = ("named", "told", "known")
MAY: Final = ("untold", "known in pieces", "coded")

_TOLD: Final = tuple(kind for kind in KINDS if kind.told)
_UNTOLD: Final = tuple(kind for kind in KINDS if not kind.told)
_RUNS: Final = tuple(kind for kind in _UNTOLD if kind.run)
_NAMED_RUNS: Final = frozenset({"a JWK in a string", "a shared key"})  # whose syntax has no room for anything else
_BASE64URL: Final = frozenset(
    {"opaque token", "opaque token, urlsafe", "key in hexadecimal", "JWK member", "AWS secret key"}
)


def _use(**parts: Any) -> CredentialUse:
    usual = {"token": Token(), "resource": Resource(uri="https://api.example/mail"), "action": Action(name="read_mail")}
    return CredentialUse(**(usual | parts))


def _asked(**parts: Any) -> ApprovalEvent:
    return ApprovalEvent(**{"approval_id": "a-1", "state": "requested", "action": Action(name="send_mail"), **parts})


def _changed(**parts: Any) -> CredentialChange:
    return CredentialChange(**{"change": "rotated", "token": Token(), **parts})


def _leaked(**parts: Any) -> Compromise:
    return Compromise(**{"leaked": "both", **parts})


_MADE: Final[tuple[Callable[..., Event], ...]] = (_use, _asked, _changed, _leaked)

TEXTS: Final[dict[str, Callable[[str], Event]]] = {
    "context.task": lambda t: _use(context=Context(task=t)),
    "context.tenant": lambda t: _use(context=Context(tenant=t)),
    "context.conversation": lambda t: _use(context=Context(conversation=t)),
    "context.peer": lambda t: _use(context=Context(peer=t)),
    "context.agent": lambda t: _use(context=Context(agent=Agent(id="a", name=t, version=t, instance=t))),
    "context.tool": lambda t: _use(context=Context(tool=Tool(name=t, call_id=t, server=t))),
    "context.principal": lambda t: _use(context=Context(principal=Principal(subject=t, client_id=t, actors=(t, "b")))),
    "token.issuer": lambda t: _use(token=Token(issuer=t, subject=t, client_id=t)),
    "token.audience": lambda t: _use(token=Token(audience=(t, "b"), scopes=("a", t), names=(t,))),
    "token.jti": lambda t: _use(token=Token(jti=t, typ=t, alg=t, client_auth_method=t)),
    "action.name": lambda t: _use(action=Action(name=t)),
    "action.method": lambda t: _use(action=Action(name="a", method=t, error_type=t)),
    "signer": lambda t: _use(signer=SignerProcess(executable=t, user=t, host=t, container=t, workload_id=t)),
    "proof": lambda t: _use(proof=Proof(checked_by=t, checks=(Check(id="jose.crit", outcome="fail", observed=t),))),
    "resource.server": lambda t: _use(resource=Resource(uri="https://a.example", server=t, accepted_audiences=(t,))),
    "reason of a change": lambda t: _changed(reason=t),
    "reason of a log event": lambda t: LogEvent(change="key_rotated", reason=t),
    "how it is known": lambda t: _leaked(how_known=t, reported_by=t),
    "an approval": lambda t: _asked(approval_id=t, approver=t, reason=t),
}  # fmt: skip
"""The typed texts of events, by where they stand."""

URIS: Final[dict[str, Callable[[str], Event]]] = {
    "resource.uri": lambda u: _use(resource=Resource(uri=u, metadata=u)),
    "action.target": lambda u: _use(action=Action(name="a", target=u, redirected_from=u)),
    "context.reference": lambda u: _use(context=Context(reference=u)),
    "token.authorization_server": lambda u: _use(token=Token(authorization_server=u)),
}

SHAPES: Final[dict[str, Callable[[str], str]]] = {
    "a query": lambda s: f"https://api.example/mail?folder={quote(s, safe='')}&page=2",
    "a query of a bare value": lambda s: f"https://api.example/mail?{quote(s, safe='')}",
    "user information": lambda s: f"https://me:{quote(s, safe='')}@api.example/mail",
    "a user": lambda s: f"https://{quote(s, safe='')}@api.example/mail",
    "a fragment": lambda s: f"https://api.example/cb#access_token={quote(s, safe='')}",
}
"""Where a URI holds a secret; in its path it has to be told by its look."""

_JSON_BODY: Final = (("Content-Type", "application/json"),)
_FORM_BODY: Final = (("Content-Type", "application/x-www-form-urlencoded"),)

_CAPTURED: Final[dict[str, Callable[[str], HttpRequest]]] = {
    "a bearer token": lambda s: _request(("Authorization", f"Bearer {s}")),
    "a DPoP-bound token": lambda s: _request(("Authorization", f"DPoP {s}")),
    "a proxy's token": lambda s: _request(("Proxy-Authorization", f"Bearer {s}")),
    "an API key": lambda s: _request(("X-Api-Key", s)),
    "a cookie": lambda s: _request(("Cookie", f"theme=dark; sid={s}")),
    "a token in a query": lambda s: HttpRequest("GET", f"https://api.example/x?access_token={quote(s, safe='')}"),
    "a token in a form": lambda s: _posted(access_token=s),
    "a refresh token": lambda s: _posted(grant_type="refresh_token", refresh_token=s, client_id="agent"),
    "an authorization code": lambda s: _posted(
        grant_type="authorization_code", code=s, redirect_uri="https://c.example"
    ),
    "a client secret": lambda s: _posted(grant_type="client_credentials", client_id="agent", client_secret=s),
}


def _request(*headers: tuple[str, str]) -> HttpRequest:
    return HttpRequest("GET", "https://api.example/mail", headers)


def _posted(**form: str) -> HttpRequest:
    return HttpRequest("POST", "https://as.example/token", _FORM_BODY, urlencode(form).encode())


class Raised(Exception):
    """What an action under audit raises, with a canary in its message."""


class Planter:
    """Records events with canaries in them, and keeps whatever is said about those that are refused."""

    log: AuditLog
    """The one that is being recorded in."""

    def __init__(self, rng: random.Random, application: Application) -> None:
        self.logs: Sequence[AuditLog] = ()
        self._application = application
        self.rng = rng
        self.mints = {of: Mint(rng) for of in (*MUST, *MAY)}
        """One for each class."""
        self.routes: dict[str, set[str]] = {}
        self.kinds: dict[str, set[str]] = {}
        """What was used, by class."""
        self.said: list[str | bytes] = []
        """What errors said."""
        self.refused: Counter[str] = Counter()
        """Errors by type."""
        self.events = 0
        """How many entries were acknowledged."""

    def plant(self, events: int, tolerated: type[Exception] = CounterfoilError) -> None:
        """Try about so many events. Errors of this type are refusals."""
        doors = [self._event, self._text, self._uri, self._capture, self._limit, self._use, self._ask, self._badly]
        doors += [self._scope, self._send, self._request, self._say]
        weights = [30, 10, 8, 12, 4, 5, 3, 4, 4, 1, 6, 3]
        until = self.events + events
        while self.events + self.refused.total() < until:
            (door,) = self.rng.choices(doors, weights)
            self.log = self.rng.choice(self.logs)
            try:
                door()
            except tolerated as error:
                self.hear(error)

    def hear(self, error: BaseException) -> None:
        """Keep everything that an error says, in whatever way it is asked."""
        self.refused[type(error).__name__] += 1
        seen: BaseException | None = error
        while seen is not None:
            self.said += [
                str(seen),
                repr(seen),
                repr(seen.args),
                repr(getattr(seen, "__notes__", "")),
                repr(vars(seen)),
            ]
            with suppress(TypeError, AttributeError, pickle.PicklingError):
                self.said.append(pickle.dumps(seen))
            seen = seen.__cause__ or seen.__context__
        self.said.append("".join(traceback.format_exception(error)))

    def secret(self, kind: Kind, of: str, route: str) -> str:
        """Return a new secret of this kind and class."""
        self.routes.setdefault(of, set()).add(route)
        self.kinds.setdefault(of, set()).add(kind.name)
        return kind.make(self.rng, self.mints[of].mark(f"{kind.name}, {route}"))

    def carried(self) -> Json:
        """Return a value that carries a canary which must not come out: its place tells, or its look."""
        if self.rng.random() < 0.6:
            route = self.rng.choice([*NAMED])
            kinds = [kind for kind in KINDS if kind.name in _BASE64URL] if route in _NAMED_RUNS else KINDS
            return NAMED[route](self.rng, self.secret(self.rng.choice(kinds), "named", route))
        route, kind = self.rng.choice([*BARE]), self.rng.choice(_TOLD)
        return BARE[route](self.rng, kind.dress(self.secret(kind, "told", route)))

    def attributes(self, *values: Json) -> dict[str, Json]:
        """Return values as free form, deep within others."""
        return {f"part{place}": nested(self.rng, value, self.rng.randint(0, 8)) for place, value in enumerate(values)}

    def keep(self, event: Event) -> None:
        """Record an event, one way or the other."""
        if self.rng.random() < 0.05:
            asyncio.run(self._arecord(event))
        else:
            self.log.record(event)
        self.events += 1

    async def _arecord(self, event: Event) -> None:
        await self.log.arecord(event)

    def told_text(self, route: str) -> str:
        """Return a text of at most 512 characters with a secret that its look tells."""
        while True:
            kind = self.rng.choice(_TOLD)
            if kind.name not in {"AWS access key id", "AWS session key id"} or route != "token.key_id":
                text = kind.dress(self.secret(kind, "told", route))
                if len(text) <= 500:
                    return self.rng.choice(["", "as ", "it said "]) + text

    def runs(self, route: str) -> str:
        """Return a secret that is one run of token characters, and that its place tells."""
        return self.secret(self.rng.choice(_RUNS), "named", route)

    def _event(self) -> None:
        values = [self.carried() for _ in range(self.rng.randint(1, 3))]
        context = Context(attributes=self.attributes(*values))
        made = self.rng.choice(_MADE)
        self.keep(made(context=context))

    def _text(self) -> None:
        field = self.rng.choice([*TEXTS])
        self.keep(TEXTS[field](self.told_text(field)))

    def _uri(self) -> None:
        field, shape = self.rng.choice([*URIS]), self.rng.choice([*SHAPES, "a path"])
        if shape == "a path":
            uri = f"https://api.example/{quote(self.told_text(f'{field}, a path'), safe='')}/x"
        else:
            uri = SHAPES[shape](self.secret(self.rng.choice(KINDS), "named", f"{field}, {shape}"))
        self.keep(URIS[field](uri))

    def _capture(self) -> None:
        """Let capture see a credential, and then have it come up where nothing else tells it."""
        kind, place, route = self.rng.choice(_UNTOLD), self.rng.choice([*_CAPTURED]), self.rng.choice([*BARE])
        of = "known" if kind.run else "known in pieces"
        secret = self.secret(kind, of, f"{place}, then {route}")
        request = _CAPTURED[place](secret)
        (seen, *_) = capture_credentials(request, self.log.fingerprint_key)
        context = Context(attributes=self.attributes(BARE[route](self.rng, secret)))
        parts: dict[str, Any] = {"binding": seen.binding, "proof": seen.proof, "context": context}
        self.keep(_use(token=seen.token, resource=resource_of(request), action=action_of(request), **parts))
        if kind.run:
            field = self.rng.choice([*TEXTS])
            self.keep(TEXTS[field](f"it said {secret} again"))

    def _limit(self) -> None:
        """Plant what docs/redaction.md says is not found."""
        if self.rng.random() < 0.5:
            kind, route = self.rng.choice(_UNTOLD), self.rng.choice([*BARE])
            value = BARE[route](self.rng, self.secret(kind, "untold", route))
        else:
            kind, route = self.rng.choice(_TOLD), self.rng.choice([*CODED])
            value = CODED[route](self.rng, kind.dress(self.secret(kind, "coded", route)))
        self.keep(_use(context=Context(attributes=self.attributes(value))))

    def _use(self) -> None:
        """Use a credential in an action that fails, and says the secret."""
        secret = self.secret(self.rng.choice(KINDS), "named", "the exception of an action")
        action = Action(name="read_mail", target=f"https://api.example/mail?token={quote(secret, safe='')}")
        parts: dict[str, Any] = {"token": Token(fingerprint=self.log.fingerprint(secret)), "action": action}
        with suppress(Raised), self.log.use(resource=Resource(uri="https://api.example"), **parts) as use:
            use.error_type = None
            raise Raised(secret)
        self.events += 2

    def _ask(self) -> None:
        secret = self.secret(self.rng.choice(KINDS), "named", "arguments of an approval")
        reason = self.told_text("reason of a decision")
        asked = self.log.approval(tool="send_mail", arguments={"body": secret, "n": 1})
        asked.granted(approver="dana", reason=reason)
        with self.log.use(token=Token(), resource=Resource(uri="https://a.example"), action=Action(name="send_mail"),
                          arguments={"body": secret, "n": 1}, approval=asked):  # fmt: skip
            pass
        self.events += 4

    def _scope(self) -> None:
        attributes = self.attributes(self.carried())
        with self.log.scope(
            agent="mail-agent", task=self.told_text("scope"), attributes=attributes, arguments={"a": 1}
        ):
            self.keep(_use())

    def _send(self) -> None:
        """Send a request through the instrument of httpx, to a server that repeats what it got."""
        secret = self.secret(self.rng.choice(_RUNS), "named", "a request through httpx")
        echo = httpx.MockTransport(lambda request: httpx.Response(401, text=str(request.headers) + str(request.url)))
        url = f"https://me:{secret}@api.example/mail?access_token={secret}"
        with httpx.Client(transport=AuditTransport(self.log, echo)) as client:
            client.post(url, headers={"X-Api-Key": secret, "Authorization": f"Bearer {secret}"}, data={"code": secret})
        self.events += 2

    def _say(self) -> None:
        """Say it in the application's own logs and spans."""
        self._application.say(self.told_text("a log message"), self.attributes(self.carried()))

    def _request(self) -> None:
        """Record a captured request with its URL as it is."""
        kind, shape = self.rng.choice(KINDS), self.rng.choice([*SHAPES])
        secret = self.secret(kind, "named", f"a captured URL, {shape}")
        request = HttpRequest("GET", SHAPES[shape](secret), (("Authorization", f"Bearer {quote(secret)}"),))
        seen = capture_credentials(request, self.log.fingerprint_key)
        for each in seen[:1]:
            self.keep(_use(token=each.token, resource=resource_of(request), action=action_of(request)))

    def _badly(self) -> None:
        """Give a secret where it cannot be recorded at all."""
        secret = self.secret(self.rng.choice(KINDS), "named", "bad input")
        made: list[Callable[[], Any]] = [
            lambda: Token(fingerprint=secret),
            lambda: _use(token={"fingerprint": secret}),
            lambda: _use(token=Token(), **{secret: secret}),
            lambda: Context(event_id=secret),
            lambda: Context(attributes={secret: float("nan")}),
            lambda: Context(attributes={"x": {1: secret}}),
            lambda: Context(trace_id=secret, occurred_at=secret),
            lambda: _use(action={"name": secret * 100, "phase": secret}),
            lambda: parse_event('{"kind":"credential_use","token":{"fingerprint":' + quote(secret)),
            lambda: parse_event(
                _use(context=Context(task="t")).model_dump_json().replace("read_mail", secret + "\\ud800")
            ),
            lambda: self.log.record(_use(context=Context(attributes={"note": f"{secret}\0"}))),
            lambda: self.log.record(_use(context=Context(attributes={secret: "x" * 300_000}))),
            lambda: self.log.record(secret),  # type: ignore[arg-type]
            lambda: self.log.use(
                token=Token(), resource=Resource(uri="x:"), action=Action(name="a"), arguments={secret: 1e400}
            ),
        ]
        for make in self.rng.sample(made, 3):
            try:
                make()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it must not say the secret
                self.hear(error)
