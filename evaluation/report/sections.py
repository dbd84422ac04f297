"""The report's sections, each a function of the material; a section without anything to say is None."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from evaluation.records import PairVerdict, QuestionId, SingleVerdict
from evaluation.report import radar, tables
from evaluation.report.figures import Estimate, mean
from evaluation.report.material import Material
from evaluation.report.questions import ERROR, TIE, order_mattered, pair_outcome
from evaluation.report.tables import Cell, Column, Section, Table

SCORES: Final = (1.0, 10.0)
SHARES: Final = (0.0, 1.0)

Valued = tuple[QuestionId, float]


def scores(material: Material) -> Section | None:
    """Single verdicts: the mean score of each chat model, by turn and by category."""
    known = [verdict for verdict in material.singles if verdict.score is not None]
    if not known:
        return None
    category = {question.id: question.category for question in material.questions}
    turns = sorted({verdict.turn for verdict in known})
    by_turn = {
        name: [_all(_of(known, name)), *(_all(v for v in _of(known, name) if v.turn == t) for t in turns)]
        for name in material.chat_models
    }
    by_category = {
        name: {
            each: _all(v for v in _of(known, name) if category.get(v.question_id) == each)
            for each in material.categories
        }
        for name in material.chat_models
    }
    return Section(
        "scores",
        _("Scores"),
        _("Judges scored each answer from 1 to 10. Higher is better; intervals are 95 %, over questions."),
        [
            Table(
                _("Mean score"),
                [
                    Column(_("Chat model"), numeric=False),
                    Column(_("All turns"), span=SCORES),
                    *(Column(_("Turn %(number)s") % {"number": turn}, span=SCORES) for turn in turns),
                    Column(_("Scores")),
                    Column(_("No score")),
                ],
                [
                    [
                        tables.text(name),
                        *map(_number, by_turn[name]),
                        tables.count(sum(v.chat_model == name for v in known)),
                        tables.count(sum(v.chat_model == name and v.score is None for v in material.singles)),
                    ]
                    for name in _best_first(by_turn)
                ],
            ),
            _category_table(_("Mean score by category"), material, by_category, _number, SCORES),
        ],
        radar=_radar(_("Mean score by category"), material, by_category, SCORES),
    )


def win_rates(material: Material) -> Section | None:
    """Pair verdicts under the conservative rule: how often each chat model won against all it met."""
    return _win_rates(
        material,
        material.pairs,
        "wins",
        _("Win rates"),
        _(
            "Judges saw each pair in both orders. A win counts when both agree; otherwise it is a tie. "
            "The adjusted rate counts a tie as half a win. Intervals are 95 %, over questions."
        ),
    )


def people(material: Material) -> Section | None:
    return _win_rates(
        material,
        material.people,
        "people",
        _("What people prefer"),
        _("People judged the same pairs without knowing whose answers they read."),
    )


def _win_rates(
    material: Material, pairs: Sequence[PairVerdict], anchor: str, title: str, intro: str
) -> Section | None:
    if not any(pair_outcome(pair) != ERROR for pair in pairs):
        return None
    played = {name for pair in pairs for name in (pair.model_1, pair.model_2)}
    names = [name for name in material.chat_models if name in played]
    category = {question.id: question.category for question in material.questions}
    adjusted = {name: [mean(_points(pairs, name, half=True))] for name in names}
    by_category = {
        name: {
            each: mean(_points((p for p in pairs if category.get(p.question_id) == each), name, half=True))
            for each in material.categories
        }
        for name in names
    }
    overall = Table(
        _("Against all opponents"),
        [
            Column(_("Chat model"), numeric=False),
            Column(_("Adjusted win rate"), span=SHARES),
            Column(_("Win rate")),
            Column(_("Wins")),
            Column(_("Losses")),
            Column(_("Ties")),
        ],
        [
            [
                tables.text(name),
                _share(adjusted[name][0]),
                _share(mean(_points(pairs, name, half=False))),
                *(tables.count(count) for count in _record(pairs, name)),
            ]
            for name in _best_first(adjusted)
        ],
    )
    duels = _duels(pairs, names)
    return Section(
        anchor,
        title,
        intro,
        [
            overall,
            *([duels] if len(names) > 2 else []),
            _category_table(_("Adjusted win rate by category"), material, by_category, _share, SHARES),
        ],
        radar=_radar(_("Adjusted win rate by category"), material, by_category, SHARES),
    )


def _duels(pairs: Sequence[PairVerdict], names: Sequence[str]) -> Table:
    cells = []
    for name in names:
        row = [tables.text(name)]
        for other in names:
            between = (pair for pair in pairs if {pair.model_1, pair.model_2} == {name, other})
            row.append(tables.text("") if name == other else _share(mean(_points(between, name, half=True))))
        cells.append(row)
    columns = [Column(_("Chat model"), numeric=False), *(Column(name) for name in names)]
    return Table(
        _("One against one"),
        columns,
        cells,
        _("The row's adjusted win rate against the column's chat model."),
    )


def judges(material: Material) -> Section | None:
    """How each judge behaves: what order, ties and length do to its verdicts."""
    if not material.pairs and not material.singles:
        return None
    made = [table for table in (_position(material), _length(material)) if table]
    return Section(
        "judges",
        _("The judges"),
        _(
            "A judge is an instrument. These tables say how far its verdicts follow "
            "the order, or the length, of answers."
        ),
        made,
    )


def _position(material: Material) -> Table | None:
    by_judge: defaultdict[str, list[PairVerdict]] = defaultdict(list)
    for pair in material.pairs:
        by_judge[pair.judge].append(pair)
    if not by_judge:
        return None
    return Table(
        _("Position and ties"),
        [
            Column(_("Judge"), numeric=False),
            Column(_("Same verdict in both orders"), span=SHARES),
            Column(_("Prefers the first shown")),
            Column(_("Prefers the second shown")),
            Column(_("Ties")),
            Column(_("No verdict")),
            Column(_("Pairs")),
        ],
        [[tables.text(judge), *_position_cells(pairs)] for judge, pairs in sorted(by_judge.items())],
        _("A judge that prefers the first shown gives both games to whoever stands first."),
    )


def _position_cells(pairs: Sequence[PairVerdict]) -> list[Cell]:
    judged = [pair for pair in pairs if pair_outcome(pair) != ERROR]
    return [
        _share(mean((pair.question_id, float(not order_mattered(pair))) for pair in judged)),
        *(
            _share(
                mean((pair.question_id, float((pair.g1_winner, pair.g2_winner) == games)) for pair in judged)
            )
            for games in (("model_1", "model_2"), ("model_2", "model_1"))
        ),
        _share(mean((pair.question_id, float(pair.g1_winner == TIE == pair.g2_winner)) for pair in judged)),
        _share(mean((pair.question_id, float(pair_outcome(pair) == ERROR)) for pair in pairs)),
        tables.count(len(pairs)),
    ]


def _length(material: Material) -> Table | None:
    lengths = {
        (answer.question_id, answer.chat_model, turn): len(text)
        for answer in material.answers
        for turn, text in enumerate(answer.turns, start=1)
    }
    rows = []
    for judge in sorted({pair.judge for pair in material.pairs}):
        longer = [
            (pair.question_id, float(_is_longer(pair, lengths)))
            for pair in material.pairs
            if pair.judge == judge and pair_outcome(pair) not in (TIE, ERROR)
            if _lengths_differ(pair, lengths)
        ]
        if longer:
            rows.append([tables.text(judge), _share(mean(longer)), tables.count(len(longer))])
    if not rows:
        return None
    columns = [
        Column(_("Judge"), numeric=False),
        Column(_("The longer answer won"), span=SHARES),
        Column(_("Decided pairs")),
    ]
    return Table(_("Length"), columns, rows, _("Half is what a judge does who takes no notice of length."))


Lengths = Mapping[tuple[QuestionId, str, int], int]


def _pair_lengths(pair: PairVerdict, lengths: Lengths) -> tuple[int, int]:
    return (
        lengths.get((pair.question_id, pair.model_1, pair.turn), 0),
        lengths.get((pair.question_id, pair.model_2, pair.turn), 0),
    )


def _lengths_differ(pair: PairVerdict, lengths: Lengths) -> bool:
    one, other = _pair_lengths(pair, lengths)
    return one != other and one > 0 and other > 0


def _is_longer(pair: PairVerdict, lengths: Lengths) -> bool:
    """Whether the winner's answer is the longer one."""
    one, other = _pair_lengths(pair, lengths)
    return (pair_outcome(pair) == pair.model_1) == (one > other)


# --- shared ------------------------------------------------------------------------------------------------


def _of(verdicts: Iterable[SingleVerdict], name: str) -> Iterator[SingleVerdict]:
    return (verdict for verdict in verdicts if verdict.chat_model == name)


def _all(verdicts: Iterable[SingleVerdict]) -> Estimate | None:
    return mean((verdict.question_id, verdict.score) for verdict in verdicts if verdict.score is not None)


def _points(pairs: Iterable[PairVerdict], name: str, *, half: bool) -> Iterator[Valued]:
    """1 for each win, and with `half` 0.5 for each tie; verdicts that are none are left out."""
    for pair in pairs:
        outcome = pair_outcome(pair)
        if name in (pair.model_1, pair.model_2) and outcome != ERROR:
            yield pair.question_id, 1.0 if outcome == name else 0.5 if half and outcome == TIE else 0.0


def _record(pairs: Iterable[PairVerdict], name: str) -> tuple[int, int, int]:
    """Wins, losses, ties."""
    outcomes = [pair_outcome(pair) for pair in pairs if name in (pair.model_1, pair.model_2)]
    wins, ties, errors = outcomes.count(name), outcomes.count(TIE), outcomes.count(ERROR)
    return wins, len(outcomes) - wins - ties - errors, ties


def _best_first(estimates: Mapping[str, Sequence[Estimate | None]]) -> list[str]:
    """Those without a value last."""
    firsts = {name: row[0] for name, row in estimates.items()}
    return sorted(firsts, key=lambda name: -(first.value if (first := firsts[name]) else float("-inf")))


def _number(estimate: Estimate | None) -> Cell:
    return tables.number(*(estimate[:3] if estimate else (None,)))


def _share(estimate: Estimate | None) -> Cell:
    return tables.share(*(estimate[:3] if estimate else (None,)))


def _category_table(
    title: str,
    material: Material,
    values: Mapping[str, Mapping[str, Estimate | None]],
    cell: Callable[[Estimate | None], Cell],
    span: tuple[float, float],
) -> Table:
    """Categories are the rows: there are always a few, while chat models may be many."""
    return Table(
        title,
        [Column(_("Category"), numeric=False), *(Column(name, span=span) for name in values)],
        [
            [tables.text(category), *(cell(row[category]) for row in values.values())]
            for category in material.categories
        ],
        ngettext("%(count)s question.", "%(count)s questions.", len(material.questions))
        % {"count": len(material.questions)},
    )


def _radar(
    title: str,
    material: Material,
    values: Mapping[str, Mapping[str, Estimate | None]],
    span: tuple[float, float],
) -> radar.Radar | None:
    drawn = {
        name: {category: estimate.value for category, estimate in row.items() if estimate}
        for name, row in values.items()
    }
    return radar.draw(title, drawn, material.categories, low=span[0], high=span[1])


ALL: Final[Sequence[Callable[[Material], Section | None]]] = (scores, win_rates, people, judges)
