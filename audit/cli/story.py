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

    from counterfoil.audit.demo.story import Approved, Reach, Refused, Story, Use
    from counterfoil.audit.integrity import Verification
    from counterfoil.audit.review import Remark


def print_story(story: Story, kept: Path | None) -> None:
    """Print it, with the next commands to try if the log was ``kept``."""
    out = Console(highlight=False)
    _say(out, *_INTRODUCTION)
    _chapter(out, "The agents' work, as they recorded it", _work(story.work))
    _chapter(out, "How far each credential reached, and the requests with it that each side recorded")
    out.print(_reaches(story.reaches))
    _say(out, *_spread(story.reaches))
    _chapter(out, "The approval")
    for approved in story.approved:
        _say(out, *_approval(approved))
    _chapter(out, "What was refused, and by which check", _refused(story.refused))
    _chapter(out, "What else stands out")
    for remark in story.remarks:
        _say(out, *_remark(remark))
    _chapter(out, "Accepted all the same: stolen, or induced? The stubs tell")
    for verdict in story.verdicts:
        _say(out, verdict.sentence)
        _say(out, *verdict.reasons, indent=2)
    _chapter(out, "Is the record whole?")
    _say(out, *_verdict(story.verification))
    _chapter(out, "Ask the log yourself")
    if kept:
        _say(out, *_commands(story, shlex.quote(str(kept))), indent=2)
    else:
        _say(out, "This log was temporary. To keep one: counterfoil demo --db demo.db")


_INTRODUCTION = (
    "Six processes on the loopback, over TLS: an authorization server, an API, an MCP server, an agent, a thief, and",
    "their parent. The first four recorded into one log, each by itself; the thief did not. What follows is read from",
    "that log.",
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
    shown = table("seq", "for", "tool", "credential", "request", "outcome")
    for use in uses:
        context, token_class = use.event.context, use.event.token.token_class
        tool = context.tool.name if context.tool else None
        agent = context.agent.id if context.agent else None
        task = f"{context.task} {context.tenant}" if context.task else agent
        add_row(shown, use.seq, task, tool, token_class, _request(use), _outcome(use))
    return shown


def _reaches(reaches: Iterable[Reach]) -> Table:
    shown = table("credential", "class", "bound by", "tasks", "tenants", "agents", "servers")
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


def _refused(refused: Iterable[Refused]) -> Table:
    shown = table("seq", "credential", "request", "checked by", "failed checks", "an agent's stub")
    for each in refused:
        event = each.use.event
        add_row(
            shown,
            each.use.seq,
            short(event.token.fingerprint),
            _request(each.use),
            event.proof.checked_by,
            ", ".join(each.failed),
            "none" if each.alone else "yes",
            style="red" if each.alone else None,
        )
    return shown


def _remark(remark: Remark) -> Iterator[str]:
    entries = ", ".join(map(str, remark.seqs))
    yield f"{remark.severity}: {remark.sentence} ({remark.rule.id}; entries {entries})"


def _verdict(found: Verification) -> Iterator[str]:
    if found.consistent:
        yield f"Entries 1 to {found.entries} are as they were sealed, and none between them is missing."
        yield f"The head of the chain is {found.chain_hash}."
    else:
        yield f"No. Entry {found.first_bad_seq}: {found.problem}."


def _commands(story: Story, db: str) -> Iterator[str]:
    for subject in _subjects(story):
        yield f"counterfoil incident {subject} --db {db}"
    for each in story.refused[:1]:
        yield f"counterfoil query --failed-check {each.failed[0]} --db {db}"
    for each in [each for each in story.refused if each.alone][:1]:
        yield f"counterfoil show {each.use.seq} --db {db}"
    for approved in story.approved[:1]:
        event = approved.use.event
        yield f"counterfoil query --task {shlex.quote(event.context.task or '')} --db {db}"
        yield f"counterfoil query --approval {shlex.quote(event.approval.approval_id or '')} --db {db}"
    yield f"counterfoil verify --db {db}"


def _subjects(story: Story) -> Iterator[str]:
    """Yield the credentials that a verdict is about, in the order of the story."""
    for incident in story.incidents:
        if incident.verdicts:
            yield incident.subject


def _request(use: Use) -> str:
    action = use.event.action
    path = (action.target or "").partition("://")[2].partition("/")[2].partition("?")[0]
    return f"{action.method} /{path}"


def _outcome(use: Use) -> str:
    action = use.event.action
    outcome = f"{action.outcome} {action.status_code}" if action.status_code else action.outcome
    return f"{outcome}, attempt {action.attempt}" if action.attempt else outcome
