"""A review as a pull-request comment, whose length GitHub limits."""

import re
from dataclasses import dataclass, field

from thumbnets.markdown import escaped
from thumbnets.messages import listed
from thumbnets.review.comparing import Review
from thumbnets.review.settings import Change
from thumbnets.review.words import basis, headline, percent, reasons, table

MARK = "<!-- thumbnets review -->"  # the workflow finds its comment by it
LONGEST = 60_000  # characters; GitHub refuses 65,536
_NOTE = 100  # characters reserved for the note that a section is cut


@dataclass(frozen=True)
class Section:
    """A part of the comment that may be cut after any line.

    Attributes:
        head: What comes before its lines.
        lines: Lines of a table or list.
        foot: What comes after them.
    """

    head: str
    lines: list[str] = field(default_factory=list)
    foot: str = ""


def markdown(review: Review, longest: int = LONGEST) -> str:
    """The whole comment, cut to `longest` characters."""
    return _fitted(_sections(review), longest)


def _sections(review: Review) -> list[Section]:
    heads, rows = table(review)
    sections = [
        Section(f"{MARK}\n### {escaped(headline(review))}\n"),
        Section(
            _table_head(heads),
            [_line(row) for row in rows],
            f"\n{escaped(basis(review))}\n",
        ),
        Section("", [f"- {escaped(reason)}" for reason in reasons(review)]),
    ]
    pools = {"New in the pool": review.new, "Removed from the pool": review.removed}
    for title, models in pools.items():
        if models:
            lines = [f"- {escaped(name)}: {percent(models[name])}" for name in models]
            sections.append(Section(f"\n**{title}**\n", lines))
    if review.changes:
        lines = [_line(_of_change(change)) for change in review.changes]
        head = _table_head(["setting", "before", "after", "blocks"])
        sections.append(_folded(f"Changed settings: {len(lines)}", lines, head))
    if review.code:
        lines = [f"- {escaped(part)}" for part in review.code]
        sections.append(_folded(f"Changed code: {len(lines)}", lines))
    if review.retrained:
        lines = [f"- {escaped(name)}" for name in review.retrained]
        title = f"Trainings with changed settings or code (dvc.lock): {len(lines)}"
        sections.append(_folded(title, lines))
    return sections


def _folded(title: str, lines: list[str], head: str = "") -> Section:
    return Section(
        f"\n<details><summary>{title}</summary>\n" + (head and f"\n{head}"), lines, "\n</details>\n"
    )


def _table_head(names: list[str]) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _of_change(change: Change) -> list[str]:
    return [change.key, change.before, change.after, listed(change.blocks, 5) or "run"]


def _line(texts: list[str]) -> str:
    cells = (re.sub(" (?=%)|(?<=&lt;) ", "\u00a0", escaped(text)) for text in texts)
    return f"| {' | '.join(cells)} |"  # in a narrow table a number keeps its unit


def _fitted(sections: list[Section], longest: int) -> str:
    """As many lines of each section as there is room for, the first sections first."""
    fixed = sum(len(section.head) + len(section.foot) + 2 + _NOTE for section in sections)
    room = longest - fixed
    parts = []
    for section in sections:
        kept = []
        for line in section.lines:
            if len(line) + 1 > room:
                break
            kept.append(line)
            room -= len(line) + 1
        left = len(section.lines) - len(kept)
        note = [f"\n{left:,} more lines: `thumbnets review` shows them."] if left else []
        parts.append("\n".join([section.head, *kept, *note, section.foot]))
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).rstrip("\n") + "\n"
