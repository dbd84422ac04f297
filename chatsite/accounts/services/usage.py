"""Keeps account of the tokens that people use. Sees reports of generations, stores numbers only."""

from chatsite.accounts.models import ApiKey, UsageRecord, User
from workers.protocol import Report


def record(
    *, user_id: int | None, api_key_id: int | None, source: str, report: Report, chat_model: str
) -> None:
    """Note what one generation used. A report that comes twice (a redelivered task) counts once.

    A user or key that was deleted in the meantime is left out: the tokens were used all the same.
    """
    # Every answer of the API ends here, beside the model's own threads: three short statements, no row is read.
    UsageRecord.objects.bulk_create(
        [
            UsageRecord(
                request_id=report.request_id,
                user_id=_if_there(User, user_id),
                api_key_id=_if_there(ApiKey, api_key_id),
                source=UsageRecord.Source(source),
                chat_model=chat_model,
                prompt_tokens=report.usage.prompt_tokens,
                completion_tokens=report.usage.completion_tokens,
                outcome=report.outcome,
            )
        ],
        ignore_conflicts=True,
    )


def disclose(*, request_ids: list[str], chat_model: str) -> None:
    """Put the chat model's name to generations that were recorded without it, while it was a secret."""
    UsageRecord.objects.filter(request_id__in=request_ids).update(chat_model=chat_model)


def _if_there(model: type[User | ApiKey], pk: int | None) -> int | None:
    return pk if pk is not None and model._default_manager.filter(pk=pk).exists() else None
