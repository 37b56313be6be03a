"""How much of the corpus redaction finds, and how much of what is benign it takes away: the tables of a page.

``uv run python tests/corpus/rates.py`` writes them between the marks of docs/redaction.md.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from benign import BENIGN
from formats import FORMATS
from places import PLACES

from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from formats import Format
    from places import Place

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "redaction.md"
BEGIN: Final = "<!-- From here to the next mark tests/corpus/rates.py writes. -->"
END: Final = "<!-- Here ends what tests/corpus/rates.py writes. -->"

SEED: Final = 5
BODIES: Final = 2
WINDOW: Final = 12
"""So many characters in a row of a credential are a part of it that has stayed."""

_redactor = Redactor()


def missed(form: Format, place: Place, random: Random) -> bool:
    """Invent a credential, put it there, redact, and say whether any of it is left."""
    made = form.make(random)
    redacted, _ = _redactor.value(place.put(made))
    left = redacted if isinstance(redacted, str) else json.dumps(redacted, ensure_ascii=False)
    return any(part in left for secret in form.secrets(made) for part in parts(secret))


def parts(secret: str) -> Iterator[str]:
    """Yield every run of a secret of 12 characters, as it is and percent-encoded; all of a shorter one."""
    for line in secret.split("\n"):
        for start in range(max(1, len(line) - WINDOW + 1) if line else 0):
            part = line[start : start + WINDOW]
            yield part
            if quote(part, "") != part:
                yield quote(part, "")


def fits(form: Format, place: Place) -> bool:
    """Whether such a credential can stand there."""
    return place.lines or "\n" not in form.make(Random(0))


def found(seed: int = SEED) -> dict[tuple[str, str], bool]:
    """Return, by the names of format and place, whether every credential was found there."""
    results: dict[tuple[str, str], bool] = {}
    for form in FORMATS:
        for place in PLACES:
            if fits(form, place):
                random = Random(f"{seed} {form.name} {place.name}")
                results[form.name, place.name] = not any(missed(form, place, random) for _ in range(BODIES))
    return results


def false_positives() -> dict[str, list[str]]:
    """Return, by kind, the benign values that redaction changed."""
    return {kind: [value for value in values if _redactor.value(value)[0] != value] for kind, values in BENIGN.items()}


def tables() -> str:
    """Return what stands between the marks."""
    return "\n".join([*detection(), "", *benign()])


def detection() -> Iterator[str]:
    """Yield the table of what is found, by group of formats and by whether a name tells."""
    results = found()
    told = {place.name for place in PLACES if place.told}
    counted: Counter[tuple[str, bool, bool]] = Counter()
    groups = {form.name: form.group for form in FORMATS}
    for (form, place), hit in results.items():
        counted[groups[form], place in told, hit] += 1
    yield f"{len(FORMATS)} formats in {len(PLACES)} places, {len(told)} of which a name tells:\n"
    yield "| credentials | formats | where a name tells | anywhere else |"
    yield "|---|---|---|---|"
    for group in dict.fromkeys(groups.values()):
        cells = [_rate(counted[group, by, True], counted[group, by, False]) for by in (True, False)]
        yield f"| {group} | {sum(each == group for each in groups.values())} | {' | '.join(cells)} |"


def benign() -> Iterator[str]:
    """Yield the table of what is taken away though it is benign."""
    wrong = false_positives()
    total = sum(map(len, BENIGN.values()))
    yield f"{total:,} benign values, of which {sum(map(len, wrong.values()))} are changed:\n"
    yield "| benign values | number | changed |"
    yield "|---|---|---|"
    for kind, values in BENIGN.items():
        yield f"| {kind} | {len(values):,} | {len(wrong[kind])} |"


def _rate(hits: int, misses: int) -> str:
    return f"{hits / (hits + misses):.1%} ({hits:,} of {hits + misses:,})"


def main() -> None:
    """Write the tables."""
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{begin}\n\n{tables()}\n\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
