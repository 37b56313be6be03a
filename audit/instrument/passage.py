"""One request on its way through a transport: what it shows, whence it comes, and what its answer says.

Whether httpx or httpx2 made it is no matter here; ``ClientRequest`` and ``ClientResponse`` are the face they share.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from counterfoil.schemas import CertificateSource, Context, Outcome, Principal

from ..capture import HttpRequest, action_of, capture_credentials, resource_of
from ..capture.challenge import MAX_ANSWER, USE_DPOP_NONCE, challenge_error, token_error
from ..capture.observe import uri_of
from ..capture.seen import remember_set_cookies
from ..scope import current_scope
from .overheard import may_hold_tokens, overheard
from .trail import Attempt, Shown, Trail, shown, trail_in, with_trail

if TYPE_CHECKING:
    from counterfoil.schemas import Action

    from ..capture import Credential
    from ..log import AuditLog
    from ..use import Use

CHECKED_BY: Final = "counterfoil (agent side)"
"""Who checked what leaves."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class ClientHeaders(Protocol):
    """Header fields."""

    def multi_items(self) -> list[tuple[str, str]]:
        """Return the field lines in order."""
        ...


class ClientUrl(Protocol):
    """A URL; ``str`` gives it in full."""

    @property
    def host(self) -> str:
        """Return the host."""
        ...

    def join(self, url: str, /) -> ClientUrl:
        """Resolve a reference."""
        ...

    def copy_with(self, *, host: str) -> ClientUrl:
        """Return the same with another host."""
        ...


class ClientRequest(Protocol):
    """A request of httpx or httpx2."""

    extensions: dict[str, Any]

    @property
    def method(self) -> str:
        """Return the method."""
        ...

    @property
    def url(self) -> Any:
        """Return the ``ClientUrl``."""
        ...

    @property
    def headers(self) -> ClientHeaders:
        """Return the header fields."""
        ...

    @property
    def stream(self) -> Any:
        """Return the body as it will be sent."""
        ...


class ClientResponse(Protocol):
    """A response of httpx or httpx2."""

    stream: Any

    @property
    def status_code(self) -> int:
        """Return the status."""
        ...

    @property
    def headers(self) -> ClientHeaders:
        """Return the header fields."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What an instrument was made with."""

    log: AuditLog
    in_memory: type[Any]
    """The library's ``ByteStream``: a body that can be read as often as one likes."""
    certificate: bytes | None = None
    """DER of the client certificate that the TLS context offers."""
    inspect: bool = False
    """Whether the proofs are checked before they leave."""

    def __post_init__(self) -> None:
        """Raise ``MissingExtra`` now rather than when a request is to be sent."""
        if self.inspect:
            importlib.import_module("..proof.signatures", __package__)


@dataclass(slots=True, repr=False)
class Passage:
    """One request, the uses it makes, and its answer."""

    settings: Settings
    request: ClientRequest
    uses: list[Use] = field(init=False)
    """A use for each credential that the request shows. Tool and approval come from the scope."""
    _facts: HttpRequest = field(init=False)
    _shown: list[Shown] = field(init=False)

    def __post_init__(self) -> None:
        facts = self._facts = _facts(self.request, self.settings.in_memory)
        trail = trail_in(self.request.extensions)
        action = action_of(facts, current_scope().tool)
        if trail and (origin := trail.take_redirect(facts.url)):
            action = action.model_copy(update={"redirected_from": origin})
        certificate = self.settings.certificate if facts.url.startswith("https:") else None
        source = CertificateSource.TLS_LAYER if certificate else CertificateSource.UNKNOWN
        key = self.settings.log.fingerprint_key
        credentials = capture_credentials(facts, key, certificate=certificate, certificate_source=source)
        self._shown = [shown(each.token) for each in credentials]
        self.uses = [self._use(each, action, trail, certificate) for each in credentials]

    def answered(self, response: ClientResponse) -> None:
        """Take the status, the error code of a refusal, and what the answer says of the next request."""
        for use in self.uses:
            use.status_code = response.status_code
        self._learn(response)
        if response.status_code in _REDIRECTS:
            self._leave_redirect(response)
        elif 400 <= response.status_code < 500 and (challenges := _values(response, "www-authenticate")):
            self._refused(response, challenge_error(challenges, self._scheme()))

    def _learn(self, response: ClientResponse) -> None:
        """Let redaction know the cookies that the answer sets and, once its body is read, the tokens in it."""
        if cookies := _values(response, "set-cookie"):
            remember_set_cookies(cookies)
        media_type, coding = (", ".join(_values(response, name)) for name in ("content-type", "content-encoding"))
        if may_hold_tokens(self._facts, response.status_code, media_type, coding):
            response.stream = overheard(response.stream, self.settings.in_memory)

    def answer_tells_why(self, response: ClientResponse) -> bool:
        """Whether the body is the error of a token endpoint: JSON, short, and there at once (RFC 6749 §5.2)."""
        if response.status_code not in {400, 401} or "grant_type" not in self._facts.form:
            return False
        length = (_values(response, "content-length") or [""])[0]
        media_type = (_values(response, "content-type") or [""])[0].partition(";")[0].strip().lower()
        short = length.isascii() and length.isdigit() and len(length) < 5 and int(length) <= MAX_ANSWER
        return short and media_type == "application/json" and not _values(response, "content-encoding")

    def told_why(self, response: ClientResponse, content: bytes) -> None:
        """Take the body of a token endpoint's error, and give it back to the response."""
        response.stream = self.settings.in_memory(content)
        self._refused(response, token_error(content))

    def _use(self, found: Credential, action: Action, trail: Trail | None, certificate: bytes | None) -> Use:
        facts, earlier = self._facts, None
        if trail:
            earlier = trail.take_attempt(facts.method, facts.url, shown(found.token))
        context: dict[str, Any] = {"principal": Principal(actors=found.actors)} if found.actors else {}
        if earlier:
            context["use_id"] = earlier.use_id
            action = action.model_copy(update={"attempt": earlier.number + 1})
        if self.settings.inspect:
            nonces = (earlier.nonce,) if earlier and earlier.nonce else ()
            found = _inspected(facts, found, certificate, nonces)
        return self.settings.log.use(
            token=found.token,
            resource=resource_of(facts),
            action=action,
            binding=found.binding,
            proof=found.proof,
            context=Context(**context) if context else None,
        )

    def _refused(self, response: ClientResponse, code: str | None) -> None:
        if code is None:
            return
        for use in self.uses:
            use.outcome, use.error_type = Outcome.REFUSED, code
        if code == USE_DPOP_NONCE:
            self._leave_attempts(next(iter(_values(response, "dpop-nonce")), None))

    def _leave_attempts(self, nonce: str | None) -> None:
        trail, method, uri = self._trail(), self._facts.method, self._facts.url
        for credential, use in zip(self._shown, self.uses, strict=True):
            use.attempt = use.attempt or 1
            if credential[-1]:
                trail.leave_attempt(method, uri, credential, Attempt(use.use_id, use.attempt, nonce))

    def _leave_redirect(self, response: ClientResponse) -> None:
        target = _target(self.request.url, _values(response, "location"))
        if target:
            origin = uri_of(self.settings.log.redacted_uri(uri_of(self._facts.url)))
            self._trail().leave_redirect(target, origin)

    def _trail(self) -> Trail:
        trail = trail_in(self.request.extensions)
        if trail is None:
            trail = Trail()
            self.request.extensions = with_trail(self.request.extensions, trail)
        return trail

    def _scheme(self) -> str:
        return next(iter(self._facts.values("authorization")), "").partition(" ")[0]


def _facts(request: ClientRequest, in_memory: type[Any]) -> HttpRequest:
    """Return the request as capture reads it. A body is read only where it lies in memory; a stream is not ours."""
    body = b"".join(request.stream) if isinstance(request.stream, in_memory) else None
    return HttpRequest(request.method, str(request.url), tuple(request.headers.multi_items()), body)


def _inspected(facts: HttpRequest, found: Credential, certificate: bytes | None, nonces: tuple[str, ...]) -> Credential:
    from ..proof.sent import Known, inspect_sent

    known = Known(now=datetime.now(UTC), certificate=certificate, nonces=nonces)
    return inspect_sent(facts, found, known, checked_by=CHECKED_BY)


def _values(response: ClientResponse, name: str) -> list[str]:
    return [value for key, value in response.headers.multi_items() if key.lower() == name]


def _target(url: ClientUrl, locations: list[str]) -> str | None:
    """Return where a redirect leads, as the library will work it out: a target without a host keeps the host."""
    if not locations:
        return None
    try:
        target = url.join(locations[0])
        return str(target if target.host else target.copy_with(host=url.host))
    except Exception:  # noqa: BLE001 -- each library has an error of its own for what is no URL, and will raise it
        return None
