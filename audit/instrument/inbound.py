"""The credential of a request that is being served: what is known of it, for the host to read, and to add to.

The handle stands in the ASGI scope as ``state.counterfoil``, so a Starlette or FastAPI handler has it as
``request.state.counterfoil``. A host that verifies by itself reports what it found, and the outcome entry says who
checked what, and how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import Binding, BindingMethod, Context, Principal, Proof, ProofResult, Token, TokenClass, Tool

from ..capture.claims import names_of
from ..capture.credentials import capture_credentials, main_credential
from ..proof.inspection import Inspection, result_of, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    attributes: Mapping[str, JsonValue] = field(default_factory=dict[str, "JsonValue"])


class InboundUse:
    """What is known of the main credential of a request: the first access token, or else the first of all.

    ``token``, ``binding``, ``proof``
        The parts of the record. Without a verifier they are what the request shows, unchecked.
    ``claims``
        The verified claims, or the introspection response; empty where nobody verified. They are not recorded.
    """

    def __init__(self, received: Received, key: FingerprintKey, verdict: Verdict | None) -> None:
        self._received = received
        self._key = key
        self.claims: Mapping[str, Any] = verdict.claims if verdict else {}
        self.proof = Proof()
        self.tool: Tool | None = None
        self.action = HostAction()
        self.accepted_audiences: tuple[str, ...] = ()
        self._capture(verdict.facts if verdict else None)
        if verdict and verdict.proof:
            marks = {"proof_digest": self.proof.proof_digest, "proof_id": self.proof.proof_id}
            self.proof = verdict.proof if verdict.proof.proof_digest else verdict.proof.model_copy(update=marks)
            self._verified(verdict.verified)

    def _capture(self, facts: TokenFacts | None) -> None:
        received = self._received
        self.credentials = capture_credentials(
            received.request,
            self._key,
            facts=facts,
            certificate=received.certificate,
            certificate_source=received.certificate_source,
        )
        self.main = main_credential(self.credentials)
        main: Credential | None = self.credentials[self.main] if self.credentials else None
        self.token = main.token if main else _NOTHING
        self.binding = main.binding if main else Binding()
        self.proof = main.proof if main else Proof()
        self.actors = main.actors if main else ()

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Which credential it is."""
        return self.token.fingerprint

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
            known = self.proof
            self._capture(facts)
            self.proof = known
        if found or facts or proof or checked_by or verified:
            self._check(proof or self.proof, found, checked_by)
            passed = self.proof.result is ProofResult.PASS
            self._verified(verified or (self.proof.mechanism if passed else BindingMethod.NONE))

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

    def _check(self, proof: Proof | Inspection, checks: tuple[Check, ...], checked_by: str | None) -> None:
        given = proof.proof(checked_by or _HOST) if isinstance(proof, Inspection) else proof
        by_id = {check.id: check for check in (*self.proof.checks, *checks, *given.checks, *checks)}
        told = {name: getattr(given, name) for name in given.model_fields_set}
        told["checks"] = tuple(by_id.values())
        told["result"] = worst((given.result, result_of(told["checks"])))
        told["checked_by"] = checked_by or given.checked_by or self.proof.checked_by or _HOST
        self.proof = Proof(**told)

    def _verified(self, method: BindingMethod) -> None:
        shown = {"method": method} if method is not BindingMethod.NONE else {}
        self.binding = self.binding.model_copy(update={"verified": method, **shown})

    def context(self, *, main: bool) -> Context:
        """Return the members of the context that are known by now: on whose behalf, of the ``main`` credential only."""
        known: dict[str, Any] = {"tool": self.tool} if self.tool else {}
        if self.action.attributes:
            known["attributes"] = self.action.attributes
        if self.actors and main:
            known["principal"] = Principal(actors=self.actors)
        return Context(**known)

    def __repr__(self) -> str:
        return f"<InboundUse of {self.token.token_class}>"
