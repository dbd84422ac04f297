"""Who may judge: rows of the `Judge` table, and any chat model of the catalog."""

import os
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from evaluation.calls import Caller, CallFailed, CatalogCaller, RemoteCaller, can_keep_to_schema, models_at
from evaluation.errors import CannotEvaluate
from evaluation.models import Judge
from workers import client
from workers.models import ChatModel

MOST_LISTED = 8
"""Names of models in one note."""


@transaction.atomic
def add(**values: Any) -> Judge:
    """Enter a judge. Raises `ValidationError` by field."""
    judge = Judge(**values)
    judge.full_clean()
    judge.save(force_insert=True)
    return judge


def named(*, names: Sequence[str]) -> list[Judge]:
    """The judges called so; a chat model of the catalog becomes one by being named.

    Raises `CannotEvaluate` for a name that nobody has, and for one that cannot judge at this moment.
    """
    judges = [_named(name) for name in dict.fromkeys(names)]
    for judge in judges:
        check(judge=judge)
    return judges


def check(*, judge: Judge) -> None:
    """Raises `CannotEvaluate` when the judge lacks its key or its worker. Makes no call."""
    if judge.remote:
        key_of(judge)
    elif not client.is_served(judge.model):
        raise CannotEvaluate(
            "judge",
            f"No worker serves {judge.model!r}, which is to judge. Start one: manage.py worker --model {judge.model}",
        )


def knock(*, judges: Sequence[Judge]) -> list[str]:
    """Ask the servers of remote judges for their models, which costs nothing, before answers are made for them.

    Raises `CannotEvaluate` for a server that cannot be reached and for a key that is not taken. The texts that come
    back are about models that a server does not list: some serve more than they list, so that is no refusal.
    """
    notes = []
    for judge in judges:
        if not judge.remote:
            continue
        try:
            listed = models_at(base_url=judge.base_url, key=key_of(judge))
        except CallFailed as error:
            raise CannotEvaluate("judge", f"Judge {judge.name!r} ({judge.base_url}): {error}") from None
        if listed and judge.model not in listed:
            shown = ", ".join(listed[:MOST_LISTED]) + (", …" if len(listed) > MOST_LISTED else "")
            notes.append(f"Judge {judge.name!r}: its server does not list {judge.model!r} ({shown}).")
    return notes


def key_of(judge: Judge) -> str:
    """The API key, "" for a judge that needs none. Raises `CannotEvaluate` when its variable is empty."""
    if not judge.key_variable:
        return ""
    key = os.environ.get(judge.key_variable, "").strip()
    if not key:
        raise CannotEvaluate(
            "judge",
            f"Judge {judge.name!r} needs its API key in the environment variable {judge.key_variable}, which is empty. "
            "Set it where evaluations run.",
        )
    return key


def caller_of(judge: Judge, *, timeout: float) -> Caller:
    """`timeout` is in seconds, for one text. Raises `CannotEvaluate` for a remote judge without its key."""
    if judge.remote:
        return RemoteCaller(base_url=judge.base_url, model=judge.model, key=key_of(judge), timeout=timeout)
    return CatalogCaller(judge.model, timeout=timeout)


def _named(name: str) -> Judge:
    judge = Judge.objects.filter(name=name).first()
    if judge is not None:
        return judge
    if ChatModel.objects.filter(name=name).exists():
        return add(name=name, model=name, structured=can_keep_to_schema(name))
    known = ", ".join(
        sorted({name for kind in (Judge, ChatModel) for name in kind.objects.values_list("name", flat=True)})
    )
    raise CannotEvaluate(
        "judge",
        f"{name!r} is neither a judge nor a chat model of the catalog ({known or 'both are empty'}). "
        "Add a remote one: manage.py evaluate judges --add NAME --model … --base-url …",
    )
