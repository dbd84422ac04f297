"""Puts a report together: which tables there are, what each one is called, and what it says about itself."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _

from evaluation.report import sections
from evaluation.report.material import Material
from evaluation.report.questions import Address, Browser, Line
from evaluation.report.tables import Section


@dataclass(frozen=True)
class Report:
    title: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    sections: Sequence[Section]
    lines: Sequence[Line]
    categories: Sequence[str]
    chat_models: Sequence[str]
    has_pairs: bool


def build(material: Material, address: Address) -> Report:
    """The same material makes the same report, to the last digit: every resampling has a fixed seed."""
    material = material.in_order()
    return Report(
        title=material.title,
        facts=material.facts,
        warnings=warnings(material),
        sections=[
            section for make in sections.ALL if (section := make(material)) is not None and section.tables
        ],
        lines=Browser(material).lines(address),
        categories=material.categories,
        chat_models=material.chat_models,
        has_pairs=bool(material.all_pairs),
    )


def warnings(material: Material) -> list[str]:
    """What a reader must know before believing a number."""
    found = []
    unscored = sum(verdict.score is None for verdict in material.singles)
    unscored += sum("error" in (pair.g1_winner, pair.g2_winner) for pair in material.pairs)
    total = len(material.singles) + len(material.pairs)
    if unscored:
        found.append(
            _("%(count)s of %(total)s judgments gave no verdict. They are counted here and in no score.")
            % {"count": unscored, "total": total}
        )
    answered = {(answer.question_id, answer.chat_model) for answer in material.answers}
    missing = len(material.questions) * len(material.chat_models) - len(answered)
    if material.answers and missing > 0:
        found.append(
            _(
                "%(count)s answers are missing, so chat models are not compared on the same questions throughout."
            )
            % {"count": missing}
        )
    return found


def numbers(report: Report) -> dict[str, Any]:
    """Every number of the tables, for machines: section → table → row → column."""
    return {
        "title": report.title,
        "sections": {
            section.anchor: [
                {
                    "title": table.title,
                    "columns": [column.title for column in table.columns],
                    "rows": [[asdict(cell) for cell in row] for row in table.rows],
                }
                for table in section.tables
            ]
            for section in report.sections
        },
    }
