"""The report's sections, each a function of the material; a section without anything to say is None."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from evaluation.metrics import calibration, comparison, lengths, panel, ratings, scores, wins
from evaluation.metrics.agreement import Ballot
from evaluation.metrics.comparison import Comparison
from evaluation.metrics.resampling import Estimate
from evaluation.records import PairVerdict, TaskScore
from evaluation.report import radar, tables
from evaluation.report.material import Material
from evaluation.report.tables import Cell, Column, Section, Table

SCORES: Final = (1.0, 10.0)
SHARES: Final = (0.0, 1.0)
DIFFERENCES: Final = {"scores": (-9.0, 9.0), "pairs": (-1.0, 1.0)}
MOST_COMPARED: Final = 6
"""Chat models of which every two are compared; among more, each is compared with the first alone."""

FEWEST_FOR_A_PANEL: Final = 3
"""Of two judges the majority is where both agree, which their own agreement says already."""

Rows = Mapping[str, Mapping[str, Estimate]]
"""Chat model → category → estimate; what is not known is not there."""


def single(material: Material) -> Section | None:
    """Single verdicts: the mean score of each chat model, by turn and by category."""
    rows = scores.mean_scores(material.singles)
    if not any(row.verdicts for row in rows):
        return None
    by_turn = {
        turn: {row.chat_model: row.mean for row in scores.mean_scores(verdicts)}
        for turn, verdicts in scores.by_turn(material.singles).items()
    }
    by_category = _turned(
        {
            category: {row.chat_model: row.mean for row in scores.mean_scores(verdicts)}
            for category, verdicts in scores.by_category(material.singles, material.category_of).items()
        }
    )
    overall = Table(
        _("Mean score"),
        [
            Column(_("Chat model"), numeric=False),
            Column(_("All turns"), span=SCORES),
            *(Column(_("Turn %(number)s") % {"number": turn}, span=SCORES) for turn in by_turn),
            Column(_("Scores")),
            Column(_("No score")),
        ],
        [
            [
                tables.text(row.chat_model),
                _number(row.mean),
                *(_number(found.get(row.chat_model)) for found in by_turn.values()),
                tables.count(row.verdicts),
                tables.count(row.errors),
            ]
            for row in rows
        ],
    )
    return Section(
        "scores",
        _("Scores"),
        _("Judges scored each answer from 1 to 10. Higher is better; intervals are 95 %, over questions."),
        [overall, _category_table(_("Mean score by category"), material, by_category, _number, SCORES)],
        radar=_radar(_("Mean score by category"), material, by_category, SCORES),
    )


def pairwise(material: Material) -> Section | None:
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
    rows = wins.win_rates(pairs)
    by_turn = _rates_by_turn(pairs)
    if not any(row.wins + row.losses + row.ties for row in rows):
        return None
    by_category = _turned(
        {
            category: {row.chat_model: row.adjusted for row in wins.win_rates(found)}
            for category, found in _pairs_by_category(material, pairs).items()
        }
    )
    overall = Table(
        _("Against all opponents"),
        [
            Column(_("Chat model"), numeric=False),
            Column(_("Adjusted win rate"), span=SHARES),
            Column(_("Win rate"), span=SHARES),
            Column(_("At equal length"), span=SHARES),
            *(Column(_("Turn %(number)s") % {"number": turn}, span=SHARES) for turn in by_turn),
            Column(_("Wins")),
            Column(_("Losses")),
            Column(_("Ties")),
            Column(_("No verdict")),
        ],
        [
            [
                tables.text(row.chat_model),
                _share(row.adjusted),
                _share(row.win_rate),
                _share(
                    lengths.controlled(pairs, material.lengths, candidate=row.chat_model)
                    if material.lengths
                    else None
                ),
                *(_share(found.get(row.chat_model)) for found in by_turn.values()),
                *(tables.count(number) for number in (row.wins, row.losses, row.ties, row.errors)),
            ]
            for row in rows
        ],
        _(
            "At equal length: the adjusted rate if all answers were equally long (AlpacaEval's correction). "
            "Turns show the adjusted rate too."
        )
        if by_turn
        else _(
            "At equal length: the adjusted rate if all answers were equally long (AlpacaEval's correction)."
        ),
    )
    names = [row.chat_model for row in rows]
    return Section(
        anchor,
        title,
        intro,
        [
            overall,
            *([_duels(pairs, names), _ratings(pairs)] if len(names) > 2 else []),
            _category_table(_("Adjusted win rate by category"), material, by_category, _share, SHARES),
        ],
        radar=_radar(_("Adjusted win rate by category"), material, by_category, SHARES),
    )


def _rates_by_turn(pairs: Sequence[PairVerdict]) -> dict[int, dict[str, Estimate]]:
    """Turn → chat model → adjusted rate; empty where there is one turn, which is everything then."""
    turns = sorted({pair.turn for pair in pairs})
    if len(turns) < 2:
        return {}
    return {
        turn: {row.chat_model: row.adjusted for row in wins.win_rates(p for p in pairs if p.turn == turn)}
        for turn in turns
    }


def _pairs_by_category(material: Material, pairs: Sequence[PairVerdict]) -> dict[str, list[PairVerdict]]:
    found: dict[str, list[PairVerdict]] = {}
    for pair in pairs:
        found.setdefault(material.category_of.get(pair.question_id, ""), []).append(pair)
    return found


def _duels(pairs: Sequence[PairVerdict], names: Sequence[str]) -> Table:
    rates: dict[tuple[str, str], Estimate] = {}
    for one, other in combinations(names, 2):
        between = [pair for pair in pairs if {pair.model_1, pair.model_2} == {one, other}]
        for row in wins.win_rates(between):
            rates[row.chat_model, other if row.chat_model == one else one] = row.adjusted
    columns = [Column(_("Chat model"), numeric=False), *(Column(name) for name in names)]
    return Table(
        _("One against one"),
        columns,
        [
            [
                tables.text(name),
                *(tables.text("") if name == other else _share(rates.get((name, other))) for other in names),
            ]
            for name in names
        ],
        _("The row's adjusted win rate against the column's chat model."),
    )


def _ratings(pairs: Sequence[PairVerdict]) -> Table:
    """By the arena's own functions, so that the two lists mean the same points."""
    rows = ratings.ratings(pairs)
    notes = [_("Bradley–Terry points around 1000, as on the leaderboard; a tie is half a win.")]
    undecided = [row.chat_model for row in rows if row.undecided]
    if undecided:
        notes.append(
            _("Without a win or without a loss, only a weak prior holds: %(names)s.")
            % {"names": ", ".join(undecided)}
        )
    bounds = [bound for row in rows for bound in (row.rating.low, row.rating.high) if math.isfinite(bound)]
    return Table(
        _("Ratings"),
        [
            Column(_("Chat model"), numeric=False),
            Column(_("Rating"), span=(min(bounds), max(bounds)) if bounds else None),
            Column(_("Verdicts")),
        ],
        [
            [
                tables.text(row.chat_model),
                tables.number(row.rating.value, row.rating.low, row.rating.high, digits=0),
                tables.count(row.verdicts),
            ]
            for row in rows
        ],
        " ".join(notes),
    )


def differences(material: Material) -> Section | None:
    """Is B better than A? On the same questions, by the same judges."""
    made = [
        table
        for table in (
            _comparisons(
                _("By scores"),
                material,
                DIFFERENCES["scores"],
                lambda one, other: comparison.of_scores(material.singles, candidate=one, parent=other),
            ),
            _comparisons(
                _("By pairs"),
                material,
                DIFFERENCES["pairs"],
                lambda one, other: comparison.of_pairs(material.pairs, candidate=one, parent=other),
            ),
        )
        if table
    ]
    return Section(
        "differences",
        _("Is one better than the other?"),
        _(
            "Differences on the same questions by the same judges. An interval that leaves zero out, and a small p, "
            "speak for a true difference; with many pairs some small p come by chance."
        ),
        made,
    )


def _comparisons(
    title: str,
    material: Material,
    span: tuple[float, float],
    compare: Callable[[str, str], Comparison],
) -> Table | None:
    names = material.chat_models
    couples = list(combinations(names, 2))
    if len(names) > MOST_COMPARED:
        couples = [couple for couple in couples if couple[0] == names[0]]
    # The later name is the candidate: the first is the baseline, where there is one.
    compared = [(f"{one} − {other}", compare(one, other)) for other, one in couples]
    rows = [
        [
            tables.text(name),
            _number(found.difference),
            tables.number(found.effect),
            tables.number(found.p_value, digits=4),
            tables.count(found.questions),
        ]
        for name, found in compared
        if found.questions
    ]
    columns = [
        Column(_("Chat models"), numeric=False),
        Column(_("Difference"), span=span),
        Column(_("Effect (d)")),
        Column(_("p")),
        Column(_("Questions")),
    ]
    return Table(title, columns, rows) if rows else None


def judges(material: Material) -> Section | None:
    """A card for each judge, and how far judges and people agree."""
    made = [table for table in (_cards(material), _agreements(material)) if table]
    return Section(
        "judges",
        _("The judges"),
        _(
            "A judge is an instrument. Its card says how far its verdicts follow the order and the length of answers, "
            "and how often they are what people say."
        ),
        made,
    )


def _cards(material: Material) -> Table | None:
    """Measures are the rows, so that judges stand side by side."""
    if not material.judges:
        return None
    voters = _ballots(material.people)
    cards = [_card(material, judge, voters) for judge in material.judges]
    rows = [
        [tables.text(name), *(card[number][1] for card in cards)]
        for number, (name, _cell) in enumerate(cards[0])
    ]
    return Table(
        _("Calibration cards"),
        [Column(_("Measure"), numeric=False), *(Column(judge) for judge in material.judges)],
        [row for row in rows if any(cell.text != tables.NOTHING for cell in row[1:])],
    )


def _card(material: Material, judge: str, voters: Sequence[Ballot]) -> list[tuple[str, Cell]]:
    card = calibration.card(
        judge,
        singles=material.singles,
        pairs=material.pairs,
        people=voters,
        lengths=material.lengths,
        earlier=material.earlier_singles,
        earlier_pairs=material.earlier_pairs,
    )
    position, length, own = card.position, card.length, card.self_preference
    together, decided = card.with_people, card.with_people_decided
    return [
        (_("Pairs judged"), tables.count(card.pairs) if card.pairs else _NONE),
        (_("Answers scored"), tables.count(card.singles) if card.singles else _NONE),
        (_("No verdict"), tables.count(card.errors)),
        (_("Same verdict in both orders"), _share(position.consistent if position else None)),
        (_("Prefers the answer shown first"), _share(position.favours_first if position else None)),
        (_("Prefers the answer shown second"), _share(position.favours_second if position else None)),
        (_("Games that end in a tie"), _share(position.ties if position else None)),
        (_("The longer answer wins"), _share(length.longer_wins if length else None)),
        (_("Gain in win rate by twice the length"), _number(length.slope if length else None)),
        (_("Points too many for its own answers"), tables.number(own.excess if own else None)),
        (_("Agrees with people, ties included"), _share(together.rate if together else None)),
        (_("Agrees with people, ties left out"), _share(decided.rate if decided else None)),
        (_("Points more than at the earlier time"), _number(card.drift.difference if card.drift else None)),
        (_("Scores that are as they were"), _share(card.drift.unchanged if card.drift else None)),
        (_("Pairs that are as they were"), _share(card.same_pairs)),
    ]


_NONE: Final = Cell(tables.NOTHING)


def _agreements(material: Material) -> Table | None:
    """Of every two judges, of judges with people, and of people among themselves; of many judges, their majority."""
    kinds: dict[str, Sequence[Ballot]] = {judge: _votes_of(material, judge) for judge in material.judges}
    if len(kinds) >= FEWEST_FOR_A_PANEL:
        kinds[_("majority of the judges")] = panel.majority(
            ballot for ballots in list(kinds.values()) for ballot in ballots
        )
    kinds[_("people")] = _ballots(material.people)
    rows = [
        [
            tables.text(f"{row.first} – {row.second}"),
            _share(row.with_ties.rate),
            tables.number(row.with_ties.kappa),
            tables.count(round(row.with_ties.pairs)),
            _share(row.without_ties.rate),
            tables.count(round(row.without_ties.pairs)),
        ]
        for row in panel.agreements(kinds)
    ]
    columns = [
        Column(_("Who"), numeric=False),
        Column(_("With ties (S1)"), span=SHARES),
        Column(_("Kappa")),
        Column(_("Votes")),
        Column(_("Without ties (S2)"), span=SHARES),
        Column(_("Votes")),
    ]
    note = _(
        "The share of equal votes on the same pair, as the MT-bench paper counts it; the higher of two scores is a "
        "vote too. Kappa is 0 at chance."
    )
    return Table(_("Agreement"), columns, rows, note) if rows else None


def _votes_of(material: Material, judge: str) -> list[Ballot]:
    """A judge that compared pairs has voted; of one that only scored, the scores are read as votes."""
    votes = _ballots(pair for pair in material.pairs if pair.judge == judge)
    return votes or panel.ballots_of_scores(v for v in material.singles if v.judge == judge)


def _ballots(pairs: Iterable[PairVerdict]) -> list[Ballot]:
    return [ballot for pair in pairs if (ballot := Ballot.of(pair))]


# --- shared ------------------------------------------------------------------------------------------------


def _turned(by_category: Mapping[str, Mapping[str, Estimate]]) -> Rows:
    """Category → chat model becomes chat model → category."""
    turned: dict[str, dict[str, Estimate]] = {}
    for category, row in by_category.items():
        for name, estimate in row.items():
            turned.setdefault(name, {})[category] = estimate
    return turned


def _number(estimate: Estimate | None) -> Cell:
    return tables.number(estimate.value, estimate.low, estimate.high) if estimate else _NONE


def _share(estimate: Estimate | None) -> Cell:
    return tables.share(estimate.value, estimate.low, estimate.high) if estimate else _NONE


def _category_table(
    title: str,
    material: Material,
    values: Rows,
    cell: Callable[[Estimate | None], Cell],
    span: tuple[float, float],
) -> Table:
    """Categories are the rows: there are always a few, while chat models may be many."""
    names = [name for name in material.chat_models if name in values]
    return Table(
        title,
        [Column(_("Category"), numeric=False), *(Column(name, span=span) for name in names)],
        [
            [tables.text(category or _("none")), *(cell(values[name].get(category)) for name in names)]
            for category in material.categories
        ],
        ngettext("%(count)s question.", "%(count)s questions.", len(material.questions))
        % {"count": len(material.questions)},
    )


def _radar(title: str, material: Material, values: Rows, span: tuple[float, float]) -> radar.Radar | None:
    drawn = {
        name: {category: estimate.value for category, estimate in values[name].items()}
        for name in material.chat_models
        if name in values
    }
    return radar.draw(title, drawn, material.categories, low=span[0], high=span[1])


def tasks(material: Material) -> Section | None:
    """What lm-evaluation-harness measured: tasks and their metrics are the rows, chat models the columns."""
    values = {(score.task, score.metric, score.chat_model): score for score in material.tasks}
    names = [name for name in material.chat_models if any(key[2] == name for key in values)]
    kinds = list(dict.fromkeys((score.task, score.metric) for score in material.tasks))
    if not kinds:
        return None
    table = Table(
        _("By task"),
        [Column(_("Task"), numeric=False), *(Column(name) for name in names), Column(_("Samples"))],
        [
            [
                tables.text(f"{task}, {metric}{_direction(values, task, metric, names)}"),
                *(_task_cell(values.get((task, metric, name))) for name in names),
                _samples([values[task, metric, name] for name in names if (task, metric, name) in values]),
            ]
            for task, metric in kinds
        ],
        _("Intervals are 95 %, from the standard errors that the harness gives."),
    )
    return Section(
        "tasks",
        _("Tasks of lm-evaluation-harness"),
        _("Compared with right answers by the harness itself; no judge was asked."),
        [table],
    )


def _task_cell(score: TaskScore | None) -> Cell:
    if score is None:
        return _NONE
    spread = 1.96 * score.stderr if score.stderr is not None else None
    bounds = (None, None) if spread is None else (score.value - spread, score.value + spread)
    return tables.number(score.value, *bounds, digits=3)


def _direction(
    values: Mapping[tuple[str, str, str], TaskScore], task: str, metric: str, names: Sequence[str]
) -> str:
    found = [values[task, metric, name] for name in names if (task, metric, name) in values]
    return _(" (lower is better)") if any(score.higher_is_better is False for score in found) else ""


def _samples(scores: Sequence[TaskScore]) -> Cell:
    """Of the chat model with the fewest, where they differ."""
    known = [score.samples for score in scores if score.samples is not None]
    return tables.count(min(known)) if known else _NONE


ALL: Final[Sequence[Callable[[Material], Section | None]]] = (
    tasks,
    single,
    pairwise,
    differences,
    people,
    judges,
)
