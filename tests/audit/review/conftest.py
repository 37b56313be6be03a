"""What the tests of reviewing share: an agent and a resource server that record into one log, each by itself."""

from __future__ import annotations

import contextvars
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.schemas import (
    Action,
    Binding,
    Context,
    Observer,
    Proof,
    Resource,
    Sha256,
    SignerProcess,
    Thumbprint,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from counterfoil.audit import Use
    from counterfoil.audit.review import Incident, Remark
    from counterfoil.schemas import FingerprintKey

API = "https://api.example"
KEY = Thumbprint.of_certificate(b"the sender's")


@dataclass
class Story:
    """Records what happens, and asks what is known of it.

    ``how`` are parts of a use, as mappings where a part has members; those in ``ours`` and ``theirs`` are what only one
    side states.
    """

    agent: AuditLog
    server: AuditLog
    reader: AuditReader
    token: Token

    def call(self, status: int = 200, **how: Any) -> tuple[int, int]:
        """Let the agent use the token, and the server see it. Returns the two entries that tell how it ended."""
        with self.sent(**how) as use:
            theirs = self.served(status, **how)
            use.status_code = status
        return self.reader.head(), theirs

    def sent(self, **how: Any) -> Use:
        """Return the agent's use, to be entered. Of a proof it knows the id, and no check."""
        proof = {name: how["proof"][name] for name in ("proof_id", "mechanism") if name in how.get("proof", {})}
        return self.agent.use(**self.parts({**how, "proof": proof, **how.get("ours", {})}))

    def served(self, status: int = 200, **how: Any) -> int:
        """Let the server see a use, in surroundings of its own. Returns the entry that tells how it ended."""
        around = {"observer": Observer.RESOURCE_SERVER, "peer": how.get("peer", "10.0.0.7:5001")}
        parts = {**how, "context": around, "signer": SignerProcess(), "approval": None, "arguments": None}
        contextvars.Context().run(self._serve, status, {**parts, **how.get("theirs", {})})
        return self.reader.head()

    def _serve(self, status: int, parts: dict[str, Any]) -> None:
        with self.server.use(**self.parts(parts)) as use:
            use.status_code = status

    def parts(self, how: dict[str, Any]) -> dict[str, Any]:
        """Return the parts of a use as it was described."""
        uri = how.get("uri", f"{API}/mail")
        resource = {"uri": uri, "server": uri.split("/")[2], **how.get("resource", {})}
        action = {"name": "read_mail", "method": "GET", "target": uri, **how.get("action", {})}
        parts = {
            "token": how.get("token", self.token),
            "resource": Resource.model_validate(resource),
            "action": Action.model_validate(action),
            "binding": Binding.model_validate(how.get("binding", {})),
            "proof": Proof.model_validate(how.get("proof", {})),
            "context": Context.model_validate(how["context"]) if how.get("context") else None,
        }
        given = {name: how[name] for name in ("signer", "approval", "arguments") if how.get(name) is not None}
        return parts | given

    @property
    def bound(self) -> dict[str, Any]:
        """The binding of a token that was presented with a DPoP proof, by its sender."""
        return {"declared": "dpop", "presented": "dpop", "method": "dpop", "key_thumbprint": KEY}

    def proof(self, *failed: str, **more: Any) -> dict[str, Any]:
        """Return a proof as a server that checked it records it: a fresh one, good but for what failed."""
        ids = ["dpop.06_signature", "dpop.12b_jkt", "dpop.13_jti_replay", "token.audience"]
        checks = [{"id": each, "outcome": "pass"} for each in ids if each not in failed]
        checks += [{"id": each, "outcome": "fail"} for each in failed]
        told = {"mechanism": "dpop", "result": "fail" if failed else "pass", "checks": checks, "checked_by": "api"}
        return {**told, "proof_id": Sha256.of(secrets.token_bytes(16)), **more}

    def incident(self, subject: str | None = None) -> Incident:
        """Return what is known, of the token unless something else is named."""
        return self.reader.incident(subject or str(self.token.fingerprint))

    def remarks(self, rule: str, subject: str | None = None) -> list[Remark]:
        """Return what one rule says."""
        return [each for each in self.incident(subject).remarks if each.rule.id == rule]

    def end(self) -> None:
        """Let the agent stop, and say so in the log: nothing of it can follow any more."""
        self.agent.close()


@contextmanager
def _story(address: Path, key: FingerprintKey) -> Generator[Story]:
    with ExitStack() as stack:
        agent = stack.enter_context(AuditLog.open(address, fingerprint_key=key))
        server = stack.enter_context(AuditLog.open(address, fingerprint_key=key))
        reader = stack.enter_context(AuditReader.open(address))
        fingerprint = agent.fingerprint(secrets.token_urlsafe(32))
        token = Token.model_validate({"token_class": "bearer_jwt_at", "fingerprint": fingerprint, "audience": [API]})
        stack.enter_context(agent.scope(agent="mail-agent", task="t-1", tenant="acme"))
        yield Story(agent, server, reader, token)


@pytest.fixture
def story(address: Path, key: FingerprintKey) -> Iterator[Story]:
    """Give an agent and a resource server that record into one log."""
    with _story(address, key) as made:
        yield made
