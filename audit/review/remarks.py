"""Everything that stands out in what an incident gathered: all rules, worst first.

Each rule is a pure function over the evidence, has an id that stays, and the section of the document behind it. What
alike uses show is one remark with many entries as its evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .remark import RANK, Remark, Rule
from .rules import approval, check, token, use

if TYPE_CHECKING:
    from .evidence import Evidence

RULES: Final[tuple[Rule, ...]] = (*use.RULES, *check.RULES, *token.RULES, *approval.RULES.values())
"""Every rule."""


def remarks_on(evidence: Evidence) -> tuple[Remark, ...]:
    """Return what stands out, worst first, then in the order of the log."""
    found = [
        *use.use_remarks(evidence),
        *check.check_remarks(evidence),
        *token.token_remarks(evidence),
        *approval.approval_remarks(evidence),
    ]
    return tuple(sorted(found, key=lambda each: (-RANK[each.severity], each.seqs, each.rule.id)))
