"""Making conversations of a file of another program. Each comes once, however often the file does."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from arena import chat_files, chat_trees
from arena.chat_files import Chat
from arena.chat_trees import Answer
from arena.models import Conversation, Message, Reply
from arena.services import news
from arena.services.conversations import title_from
from chatsite.accounts.models import User
from workers.models import ChatModel


class Imported(NamedTuple):
    added: int
    known: int
    """Were here already."""
    left_out: int
    """Held nothing to show."""


@transaction.atomic
def import_chats(*, owner: User, content: bytes) -> Imported:
    """Raises `InvalidValue` for a file that holds no conversations; then nothing is stored."""
    chats, left_out = chat_files.read(content)
    User.objects.select_for_update().filter(pk=owner.pk).values_list("pk").first()
    mine = Conversation.objects.filter(owner=owner).exclude(imported_as="")
    known = set(mine.values_list("imported_as", flat=True))
    models = {model.name: model for model in ChatModel.objects.published()}
    new = [chat for chat in chats if chat.key not in known]
    for chat in new:
        _store(owner, chat, models)
    if new:
        news.announce(owner.pk, conversation="")
    return Imported(len(new), len(chats) - len(new), left_out)


def _store(owner: User, chat: Chat, models: dict[str, ChatModel]) -> None:
    begun = min(chat.created_at or timezone.now(), timezone.now())
    conversation = Conversation.objects.create(
        owner=owner,
        title=chat.title or title_from(chat_trees.shown(chat.turns)[0].question),
        system_prompt=chat.system_prompt,
        imported_as=chat.key,
        created_at=begun,
        updated_at=begun,
    )
    messages: list[Message] = []
    answers = []
    for number, turn in enumerate(chat.turns):
        # The order is told by the time, so that each needs one of its own.
        moment = begun + timedelta(milliseconds=number + 1)
        previous = None if turn.previous is None else messages[turn.previous]
        message = Message.objects.create(
            conversation=conversation,
            position=previous.position + 1 if previous else 1,
            previous=previous,
            active=turn.shown,
            text=turn.question,
            created_at=moment,
        )
        messages.append(message)
        answers += [
            _reply(message, answer, models, moment + timedelta(microseconds=version))
            for version, answer in enumerate(turn.answers)
        ]
    Reply.objects.bulk_create(answers)


def _reply(message: Message, answer: Answer, models: dict[str, ChatModel], moment: datetime) -> Reply:
    return Reply(
        message=message,
        chat_model=models.get(answer.chat_model),
        chat_model_name=(answer.chat_model or "imported")[:200],
        status=Reply.Status.FINISHED,
        outcome="stop",
        text=answer.text,
        created_at=moment,
        finished_at=moment,
    )
