"""Which language and categories a battle has: by rules, by a judge model, or by an operator, who has the last word."""

import json
import logging
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from arena.errors import InvalidValue
from arena.labelling import judging, topics
from arena.models import Battle, Topic, Vote
from arena.models.battles import SITE, Labeller
from arena.ratings import categories
from arena.selectors import battles as selectors
from arena.services import counting
from workers import client
from workers.connections import UNREACHABLE
from workers.protocol import (
    Ability,
    ChatMessage,
    Constraint,
    Delta,
    Finished,
    GenerationRequest,
    Sampling,
)

logger = logging.getLogger(__name__)

TOPICS_TASK = "arena.find_topics"
AT_ONCE = 20
"""Battles that a judge is asked about in one run, one after the other."""
PATIENCE = 60.0
"""Seconds for one answer."""
RUN_FOR = 300.0
"""Seconds after which a run asks no further question."""
NOT_OLDER_THAN = timedelta(days=14)
LONGEST_ANSWER = 200
PROMPTS_FOR_TOPICS = 4000
EXAMPLES, LONGEST_EXAMPLE = 5, 300
LONGEST_CATEGORY = 60


class JudgeGone(Exception):  # noqa: N818 - reads as what it is
    """The judge model cannot be asked now. Another time it can."""


@transaction.atomic
def relabel(*, battle: Battle, language: str, categories: Iterable[str], labeller: Labeller) -> bool:
    """Write a battle's labels and move its vote to their slices. False: somebody more trusted has labelled it."""
    battle = Battle.objects.select_for_update().get(pk=battle.pk)
    trust = Labeller.values
    if trust.index(battle.labelled_by) > trust.index(labeller):
        return False
    names = list(
        dict.fromkeys(name.strip().casefold().replace(" ", "_") for name in categories if name.strip())
    )
    if long := [name for name in names if len(name) > LONGEST_CATEGORY]:
        raise InvalidValue(
            f"“{long[0][:20]}…” is longer than {LONGEST_CATEGORY} characters.", field="categories"
        )
    if len(language) > 16:
        raise InvalidValue("A language is a short code such as de.", field="language")
    vote = Vote.objects.filter(battle=battle, entered=True).select_related("battle").first()
    if vote:
        counting.take_out(vote)
    battle.language, battle.categories, battle.labelled_by = language, names, labeller
    battle.save(update_fields=["language", "categories", "labelled_by"])
    if vote:
        vote.battle = battle
        counting.put_in(vote)
    return True


def by_rules(*, battle: Battle) -> bool:
    """Label a battle again by today's rules. False: a judge or an operator has labelled it, or its text is not kept."""
    turns = _texts(battle)
    if not turns:
        return False
    return _write(battle, categories.label(turns), Labeller.RULES)


def judge_recent() -> int:
    """Ask the judge model about battles that were voted on lately; about how many it has answered.

    Without `ARENA_CATEGORY_JUDGE` nobody is asked. An answer that cannot be read leaves the rules' labels for good; a
    judge that is away is asked again in the next run.
    """
    judge = settings.ARENA_CATEGORY_JUDGE
    if not judge:
        return 0
    began, answered = time.monotonic(), 0
    for battle in _unjudged()[:AT_ONCE]:
        if time.monotonic() - began > RUN_FOR:
            break
        try:
            answered += _judge(battle, judge)
        except JudgeGone as error:
            logger.info("the judge of categories %s cannot be asked: %s", judge, error)
            break
    return answered


def find_topics() -> int:
    """Look for topics in the newest prompts, in place of those of the last search; how many there are."""
    prompts = selectors.first_prompts(PROMPTS_FOR_TOPICS)
    found = topics.find(prompts)
    now = timezone.now()
    rows = [
        Topic(
            words=list(topic.words),
            prompts=len(topic.members),
            share=len(topic.members) / len(prompts),
            examples=[prompts[index][:LONGEST_EXAMPLE] for index in topic.members[:EXAMPLES]],
            searched_at=now,
        )
        for topic in found
    ]
    with transaction.atomic():
        Topic.objects.all().delete()
        Topic.objects.bulk_create(rows)
    return len(rows)


def ask_for_topics() -> None:
    """Have `find_topics` run soon. Raises kombu's OperationalError while the broker is away."""
    current_app.send_task(TOPICS_TASK, ignore_result=True)


def _unjudged() -> QuerySet[Battle]:
    lately = timezone.now() - NOT_OLDER_THAN
    battles = Battle.objects.filter(source=SITE, labelled_by=Labeller.RULES, votes__created_at__gte=lately)
    return battles.order_by("-created_at")


def _judge(battle: Battle, judge: str) -> bool:
    turns = _texts(battle)
    if not turns:
        return False
    text = _answer(judge, judging.question([turn.prompt for turn in turns]))
    try:
        found = judging.merged(turns, judging.read(text))
    except judging.Unreadable as error:
        # Without the answer: it may quote what a person wrote.
        logger.info("the judge of categories gave no answer on battle %s: %s", battle.pk, error)
        found = categories.label(turns)
    return _write(battle, found, Labeller.JUDGE)


def _write(battle: Battle, found: categories.Labels, labeller: Labeller) -> bool:
    """Categories that neither rules nor judge know, say of the file it came from, stay."""
    own = [name for name in battle.categories if name not in categories.CATEGORIES]
    names = [*own, *found.categories]
    return relabel(battle=battle, language=found.language, categories=names, labeller=labeller)


def _texts(battle: Battle) -> list[categories.Turn]:
    turns = [
        categories.Turn(turn.prompt, turn.left.text, turn.right.text) for turn in selectors.turns(battle)
    ]
    return [turn for turn in turns if turn.prompt.strip()]


def _answer(judge: str, question: str) -> str:
    """The judge's whole answer. Raises `JudgeGone`."""
    request = GenerationRequest(
        id=uuid.uuid4().hex,
        chat_model=judge,
        messages=(ChatMessage("user", question),),
        deadline=time.time() + PATIENCE,
        sampling=Sampling(temperature=0, max_tokens=LONGEST_ANSWER),
        constraint=Constraint("json_schema", json.dumps(judging.SCHEMA))
        if _keeps_to_schemas(judge)
        else None,
        asker="labelling",
    )
    try:
        client.submit(request)
        pieces = []
        for _, event in client.follow(request.id):
            if isinstance(event, Delta):
                pieces.append(event.text)
            elif isinstance(event, Finished):
                return "".join(pieces)
    except (client.NoWorker, client.QueueFull, *UNREACHABLE) as error:
        raise JudgeGone(type(error).__name__) from error
    raise JudgeGone("its answer failed")


def _keeps_to_schemas(judge: str) -> bool:
    models = [model for status in client.statuses() for model in status.models if model.name == judge]
    return bool(models) and all(model.can(Ability.JSON_SCHEMA) for model in models)
