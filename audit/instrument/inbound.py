"""The credential of a request that is being served: what is known of it, for the host to read, and to add to.

The handle stands in the ASGI scope as ``state.counterfoil``, so a Starlette or FastAPI handler has it as
``request.state.counterfoil``. A host that verifies by itself reports what it found, and the outcome entry says who
checked what, and how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from counterfoil.schemas import Binding, BindingMethod, Context, Principal, Proof, ProofResult, Token, TokenClass, Tool

from ..capture.claims import names_of
from ..capture.credentials import capture_credentials, main_credential
from ..proof.inspection import Inspection, result_of, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import JsonValue

    from counterfoil.schemas import Check, Fingerprint, FingerprintKey, KeyedDigest, Outcome

    from ..capture import Credential, TokenFacts
    from ..proof.verdict import Verdict
    from .asgi_scope import Received

_HOST: Final = "host"
_NOTHING: Final = Token(token_class=TokenClass.NONE)


@dataclass(frozen=True, slots=True)
class HostAction:
    """What the host did: what it called that, and how it ended."""

    name: str | None = None
    arguments_digest: KeyedDigest | None = None
    outcome: Outcome | None = None
    error_type: str | None = None
    attributes: Mapping[str, JsonValue] = field(default_factory=dict[str, "JsonValue"], repr=False)


@dataclass(slots=True)
class _Seen:
    """What a request shows, and what became known of the main credential."""

    credentials: tuple[Credential, ...]
    main: int
    token: Token
    binding: Binding
    proof: Proof
    actors: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, credentials: tuple[Credential, ...]) -> Self:
        if not credentials:
            return cls((), 0, _NOTHING, Binding(), Proof(), ())
        main = main_credential(credentials)
        found = credentials[main]
        return cls(credentials, main, found.token, found.binding, found.proof, found.actors)

    def verify(self, method: BindingMethod) -> None:
        shown = {"method": method} if method is not BindingMethod.NONE else {}
        self.binding = self.binding.model_copy(update={"verified": method, **shown})


class InboundUse:
    """What is known of the main credential of a request: the first access token, or else the first of all.

    ``token``, ``binding``, ``proof``
        The parts of the record. Without a verifier they are what the request shows, unchecked.
    ``claims``
        The verified claims, or the introspection response; empty where nobody verified. They are not recorded.
    """

    def __init__(self, received: Callable[[], Received], key: FingerprintKey, verdict: Verdict | None) -> None:
        """``received`` reads the request, once; nothing is read before somebody asks."""
        self._received = received
        self._key = key
        self._verdict = verdict
        self._seen: _Seen | None = None
        self.claims: Mapping[str, Any] = verdict.claims if verdict else {}
        self.tool: Tool | None = None
        self.action = HostAction()
        self.accepted_audiences: tuple[str, ...] = ()

    @property
    def token(self) -> Token:
        """The credential; of the class ``none`` where the request shows none."""
        return self.seen.token

    @property
    def binding(self) -> Binding:
        """What ties it to its sender."""
        return self.seen.binding

    @property
    def proof(self) -> Proof:
        """The proof that came with it, and its checks."""
        return self.seen.proof

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Which credential it is."""
        return self.seen.token.fingerprint

    @property
    def seen(self) -> _Seen:
        """Everything that the request shows. It is read when it is first asked for."""
        if self._seen is None:
            verdict = self._verdict
            seen = self._seen = self._read(verdict.facts if verdict else None)
            if verdict and verdict.proof:
                marks = {"proof_digest": seen.proof.proof_digest, "proof_id": seen.proof.proof_id}
                seen.proof = verdict.proof if verdict.proof.proof_digest else verdict.proof.model_copy(update=marks)
                seen.verify(verdict.verified)
        return self._seen

    def _read(self, facts: TokenFacts | None) -> _Seen:
        received = self._received()
        credentials = capture_credentials(
            received.request,
            self._key,
            facts=facts,
            certificate=received.certificate,
            certificate_source=received.certificate_source,
        )
        return _Seen.of(credentials)

    def report(  # noqa: PLR0913 -- one keyword a fact
        self,
        *,
        facts: TokenFacts | None = None,
        checks: Iterable[Check] = (),
        checked_by: str | None = None,
        proof: Proof | Inspection | None = None,
        verified: BindingMethod | None = None,
        tool: Tool | str | None = None,
        accepted_audiences: Iterable[str] = (),
    ) -> None:
        """Say what the host found out. What is given replaces what was known of the same; the rest stays.

        ``checks`` are added by their id, those of ``proof`` as well. ``verified`` is by what means possession was
        shown: the mechanism of a proof that passed, unless given, and else none. A ``tool`` names the action. Raises
        ``InvalidEvent`` when a value is not allowed in a record.
        """
        if tool is not None:
            self.tool = Tool(name=tool) if isinstance(tool, str) else tool
        self.accepted_audiences = names_of(accepted_audiences) or self.accepted_audiences
        found = (*(facts.checks if facts else ()), *checks)
        if facts is not None:
            known = self.seen.proof
            self._seen = self._read(facts)
            self._seen.proof = known
        if found or facts or proof or checked_by or verified:
            seen = self.seen
            seen.proof = _checked(seen.proof, proof or seen.proof, found, checked_by)
            passed = seen.proof.result is ProofResult.PASS
            seen.verify(verified or (seen.proof.mechanism if passed else BindingMethod.NONE))

    def report_action(
        self,
        *,
        name: str | None = None,
        arguments_digest: KeyedDigest | None = None,
        outcome: Outcome | None = None,
        error_type: str | None = None,
        attributes: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Say what the host did, where HTTP does not tell. What is given replaces what was said before; the rest stays.

        ``name`` is what the action is called, unless a tool names it. ``outcome`` overrules a status under 400, and
        ``error_type`` goes with it; ``unknown`` is what to say of something that has only begun, should the connection
        break off. ``attributes`` go into the context.
        """
        given = {"name": name, "arguments_digest": arguments_digest}
        known: dict[str, Any] = {member: value for member, value in given.items() if value is not None}
        if outcome is not None:
            known |= {"outcome": outcome, "error_type": error_type}
        self.action = replace(self.action, attributes={**self.action.attributes, **(attributes or {})}, **known)

    def context(self, *, main: bool) -> Context | None:
        """Return the members of the context that are known by now: on whose behalf, of the ``main`` credential only."""
        known: dict[str, Any] = {"tool": self.tool} if self.tool else {}
        if self.action.attributes:
            known["attributes"] = self.action.attributes
        if main and self.seen.actors:
            known["principal"] = Principal(actors=self.seen.actors)
        return Context(**known) if known else None

    def __repr__(self) -> str:
        return f"<InboundUse of {self._seen.token.token_class}>" if self._seen else "<InboundUse>"


def _checked(known: Proof, proof: Proof | Inspection, checks: tuple[Check, ...], checked_by: str | None) -> Proof:
    """Return a proof with the checks that were known and those that are new, by their id."""
    given = proof.proof(checked_by or _HOST) if isinstance(proof, Inspection) else proof
    by_id = {check.id: check for check in (*known.checks, *checks, *given.checks, *checks)}
    told = {name: getattr(given, name) for name in given.model_fields_set}
    told["checks"] = tuple(by_id.values())
    told["result"] = worst((given.result, result_of(told["checks"])))
    told["checked_by"] = checked_by or given.checked_by or known.checked_by or _HOST
    return Proof(**told)
