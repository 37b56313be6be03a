"""Printing what the demo's log has to say."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from .render import add_row, plain, short, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.table import Table

    from counterfoil.audit.demo.story import Approved, Reach, Story, Unaccounted, Use
    from counterfoil.audit.integrity import Verification


def print_story(story: Story, kept: Path | None) -> None:
    """Print it, with the next commands to try if the log was ``kept``."""
    out = Console(highlight=False)
    _say(out, *_INTRODUCTION)
    _chapter(out, "The agent's work, as the agent recorded it", _work(story.work))
    _chapter(
        out, "How far each credential reached, and the uses of it that each side recorded", _reaches(story.reaches)
    )
    _say(out, *_spread(story.reaches))
    _chapter(out, "The approval")
    for approved in story.approved:
        _say(out, *_approval(approved))
    _chapter(out, "What the API saw and no agent recorded", _unaccounted(story.unaccounted))
    _say(out, *(_EXPLANATION if story.unaccounted else ["Nothing: the agent recorded every use that the API saw."]))
    _chapter(out, "Is the record whole?")
    _say(out, *_verdict(story.verification))
    _chapter(out, "Ask the log yourself")
    if kept:
        _say(out, *_commands(story, shlex.quote(str(kept))), indent=2)
    else:
        _say(out, "This log was temporary. To keep one: counterfoil demo --db demo.db")


_INTRODUCTION = (
    "Five processes on the loopback: an authorization server, an API, an agent, a thief, and their parent.",
    "The first three recorded into one log, each by itself; the thief did not. What follows is read from that log.",
)

_EXPLANATION = (
    "An agent that does not record here sent these, or somebody else holds the token. (The thief does: it found it in",
    "the agent's tool trace.) Nothing ties a bearer token to its sender, so every check can pass; what tells the two",
    "apart is the stub that is missing on the agent's side.",
)


def _chapter(out: Console, title: str, shown: Table | None = None) -> None:
    out.print()
    out.print(Text(title, style="bold"))
    if shown:
        out.print(shown)


def _say(out: Console, *sentences: str, indent: int = 0) -> None:
    for sentence in sentences:
        out.print(Text(" " * indent + plain(sentence)), soft_wrap=True)


def _work(uses: Iterable[Use]) -> Table:
    shown = table("seq", "task", "tenant", "tool", "credential", "request", "outcome")
    for use in uses:
        context, token_class = use.event.context, use.event.token.token_class
        tool = context.tool.name if context.tool else None
        add_row(shown, use.seq, context.task, context.tenant, tool, token_class, _request(use), _outcome(use))
    return shown


def _reaches(reaches: Iterable[Reach]) -> Table:
    shown = table("credential", "class", "bound by", "tasks", "tenants", "agent", "API")
    for reach in reaches:
        unequal = 0 < reach.by_resource_server != reach.by_agent
        add_row(
            shown,
            short(reach.fingerprint),
            reach.token_class,
            reach.binding,
            ", ".join(reach.tasks),
            ", ".join(reach.tenants),
            reach.by_agent,
            reach.by_resource_server or "",
            style="bold red" if unequal else None,
        )
    return shown


def _spread(reaches: Iterable[Reach]) -> Iterator[str]:
    for reach in reaches:
        if len(reach.tenants) > 1:
            yield f"One {reach.token_class} serves {len(reach.tenants)} tenants: if it leaks, it leaks for all of them."


def _approval(approved: Approved) -> Iterator[str]:
    for seq, step in approved.steps:
        by = f" by {step.approver}" if step.approver else ""
        yield f"entry {seq}: {step.approval_id} for {step.action.name} {step.state}{by}"
    verdict = "what was shown is what ran" if approved.as_shown else "WHAT RAN IS NOT WHAT WAS SHOWN"
    yield f"entry {approved.use.seq}: {_request(approved.use)} {_outcome(approved.use)}; {verdict}"


def _unaccounted(unaccounted: Iterable[Unaccounted]) -> Table:
    shown = table("seq", "credential", "request", "from", "outcome", "failed checks")
    for each in unaccounted:
        event = each.use.event
        failed = ", ".join(each.failed) or "none"
        credential = short(event.token.fingerprint)
        add_row(
            shown,
            each.use.seq,
            credential,
            _request(each.use),
            event.context.peer,
            _outcome(each.use),
            failed,
            style="red",
        )
    return shown


def _verdict(found: Verification) -> Iterator[str]:
    if found.consistent:
        yield f"Entries 1 to {found.entries} are as they were sealed, and none between them is missing."
        yield f"The head of the chain is {found.chain_hash}."
    else:
        yield f"No. Entry {found.first_bad_seq}: {found.problem}."


def _commands(story: Story, db: str) -> Iterator[str]:
    for each in story.unaccounted[:1]:
        fingerprint = each.use.event.token.fingerprint
        yield f"counterfoil incident {fingerprint} --db {db}"
        yield f"counterfoil query --token {fingerprint} --observer resource_server --db {db}"
        yield f"counterfoil query --token {fingerprint} --observer agent --db {db}"
        yield f"counterfoil show {each.use.seq} --db {db}"
    for approved in story.approved[:1]:
        event = approved.use.event
        yield f"counterfoil query --task {shlex.quote(event.context.task or '')} --db {db}"
        yield f"counterfoil query --approval {shlex.quote(event.approval.approval_id or '')} --db {db}"
    yield f"counterfoil verify --db {db}"


def _request(use: Use) -> str:
    action = use.event.action
    path = (action.target or "").partition("://")[2].partition("/")[2]
    return f"{action.method} /{path}"


def _outcome(use: Use) -> str:
    action = use.event.action
    return f"{action.outcome} {action.status_code}" if action.status_code else action.outcome
