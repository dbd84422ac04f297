"""Talking to chat models: every change to a conversation. Knows no socket, no page and no worker."""

import textwrap
import time
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

from django.conf import settings as site
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from arena import prompts
from arena.errors import Busy, InvalidValue, NotFound, TooManyReplies, UnknownChatModel
from arena.models import Conversation, Message, Reply
from arena.selectors import attachments as attachment_selectors
from arena.selectors import chat_models
from arena.selectors import conversations as selectors
from arena.services import attachments, news, replies
from chatsite.accounts.models import User
from workers.models import ChatModel
from workers.protocol import Ability, GenerationRequest, Sampling

MAX_MESSAGE_CHARACTERS = 32_000
TITLE_CHARACTERS = 60
TOP_LOGPROBS = 5


class SettingsChange(TypedDict, total=False):
    """A conversation's settings. An absent key stays as it is; None is the chat model's default."""

    system_prompt: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None
    probabilities: bool


@transaction.atomic
def send_message(
    *,
    owner: User,
    text: str,
    conversation_id: uuid.UUID | None = None,
    chat_model_name: str | None = None,
    settings: SettingsChange | None = None,
    client_id: str = "",
    edits: int | None = None,
    attachment_ids: Sequence[uuid.UUID] = (),
) -> Reply:
    """Add a message to a conversation (a new one without `conversation_id`) and start its reply.

    `chat_model_name` and `settings` become the conversation's. A wish that was granted before under the same
    `client_id` is not granted again: the reply of the first time is returned.

    `edits` is the id of a message of the conversation that the new one is another version of: the conversation
    branches there, and what followed the old version stays with it. The new one gets the old one's files.

    `attachment_ids` are files of the owner that no message carries yet.
    """
    _take_turns(owner.pk)
    if granted := _granted_before(owner, client_id):
        return granted
    text = _checked_text(text)
    edited = None if edits is None else selectors.owned_message(owner=owner, message_id=edits)
    if edited and edited.conversation_id != conversation_id:
        raise NotFound(gettext("The message to edit is not in this conversation."), field="edits")
    if conversation_id is None:
        conversation = Conversation(owner=owner, title=title_from(text))
    else:
        conversation = selectors.owned_conversation(owner=owner, conversation_id=conversation_id)
    _refuse_while_running(owner, conversation)
    _choose(conversation, chat_model_name, settings)
    if edited:
        previous, position = edited.previous, edited.position
        _show_up_to(conversation, previous)
    else:
        shown = conversation.messages.filter(active=True)
        previous = shown.order_by("position").last() if conversation_id else None
        position = previous.position + 1 if previous else 1
    message = Message.objects.create(
        conversation=conversation, position=position, previous=previous, text=text
    )
    if edited:
        attachments.copy(source=edited, target=message)
    attachments.hand_over(owner=owner, message=message, attachment_ids=attachment_ids)
    return _start_reply(message, client_id)


@transaction.atomic
def regenerate(
    *,
    owner: User,
    message_id: int,
    chat_model_name: str | None = None,
    settings: SettingsChange | None = None,
    client_id: str = "",
    replays: uuid.UUID | None = None,
) -> Reply:
    """Start another reply to the last message of a conversation. See `send_message` for the rest.

    `replays` is an earlier reply to the message: the new one is made by the same chat model with the same parameters,
    seed and system prompt, and the conversation's own settings stay as they are.
    """
    _take_turns(owner.pk)
    if granted := _granted_before(owner, client_id):
        return granted
    message = selectors.owned_message(owner=owner, message_id=message_id)
    conversation = message.conversation
    if (
        not message.active
        or conversation.messages.filter(active=True, position__gt=message.position).exists()
    ):
        raise InvalidValue(
            gettext("Only the last message of a conversation can be answered again."), field="message"
        )
    _refuse_while_running(owner, conversation)
    if replays is not None:
        return _replay(message, _replayable(message, replays), client_id)
    _choose(conversation, chat_model_name, settings)
    return _start_reply(message, client_id)


@transaction.atomic
def show_version(*, owner: User, message_id: int) -> Conversation:
    """Go over to the branch of this version of a message, down to where its newest messages lead."""
    _take_turns(owner.pk)
    message = selectors.owned_message(owner=owner, message_id=message_id)
    conversation = message.conversation
    if selectors.running(owner).filter(message__conversation=conversation).exists():
        raise Busy(gettext("The last answer is still being written. Wait for it, or stop it first."))
    _show_up_to(conversation, _newest_below(message))
    news.announce(owner.pk, conversation=str(conversation.pk))
    return conversation


def _newest_below(message: Message) -> Message:
    """The end of the branch that starts with `message` and takes the newest message at each fork."""
    newest = dict(
        message.conversation.messages.filter(previous__isnull=False)
        .order_by("pk")
        .values_list("previous_id", "pk")
    )
    pk = message.pk
    while pk in newest:
        pk = newest[pk]
    return message if pk == message.pk else Message.objects.get(pk=pk)


def _show_up_to(conversation: Conversation, last: Message | None) -> None:
    """Make the messages that lead to `last` the active ones (None: no message is)."""
    previous = dict(conversation.messages.values_list("pk", "previous_id"))
    branch = []
    pk = last.pk if last else None
    while pk is not None:
        branch.append(pk)
        pk = previous[pk]
    # In this order: at no moment may two messages of one position be active.
    conversation.messages.filter(active=True).exclude(pk__in=branch).update(active=False)
    conversation.messages.filter(active=False, pk__in=branch).update(active=True)


def stop(*, owner: User, reply_id: uuid.UUID) -> None:
    """Stop a reply. Its stream ends with what it has so far; one that has ended stays as it is."""
    reply = selectors.owned_reply(owner=owner, reply_id=reply_id)
    if reply.running:
        replies.cancel(reply.id)


def rename(*, owner: User, conversation_id: uuid.UUID, title: str) -> Conversation:
    conversation = selectors.owned_conversation(owner=owner, conversation_id=conversation_id)
    conversation.title = " ".join(_without_controls(title).split())
    if not _can_be_seen(conversation.title):
        raise InvalidValue(gettext("A title needs at least one letter."), field="title")
    _check_fields(conversation, prefix="")
    # Not `updated_at`: a new name must not move an old conversation to the top of the list.
    conversation.save(update_fields=["title"])
    news.announce(owner.pk, conversation=str(conversation.pk))
    return conversation


def pin(*, owner: User, conversation_id: uuid.UUID, pinned: bool) -> Conversation:
    """Keep a conversation at the top of the list, or let it go back to its day."""
    conversation = selectors.owned_conversation(owner=owner, conversation_id=conversation_id)
    conversation.pinned = pinned
    conversation.save(update_fields=["pinned"])
    news.announce(owner.pk, conversation=str(conversation.pk))
    return conversation


@transaction.atomic
def delete(*, owner: User, conversation_id: uuid.UUID) -> None:
    """Remove a conversation with all its messages, and stop what still runs in it."""
    erase(conversation=selectors.owned_conversation(owner=owner, conversation_id=conversation_id))


@transaction.atomic
def erase(*, conversation: Conversation) -> None:
    """`delete` for callers who have checked the right to it by themselves (the admin)."""
    _take_turns(conversation.owner_id)  # a message that is being sent would be left without its conversation
    running = Reply.objects.filter(message__conversation=conversation, status=Reply.Status.QUEUED)
    transaction.on_commit(partial(replies.abandon, list(running.values_list("id", flat=True))))
    news.announce(conversation.owner_id, conversation=str(conversation.pk))
    conversation.delete()


@transaction.atomic
def put_into_folder(*, owner: User, conversation_id: uuid.UUID, folder: str) -> Conversation:
    """Show a conversation under a word in the list; "" takes it out again."""
    conversation = selectors.owned_conversation(owner=owner, conversation_id=conversation_id)
    conversation.folder = " ".join(_without_controls(folder).split())
    _check_fields(conversation, prefix="")
    conversation.save(update_fields=["folder"])
    news.announce(owner.pk, conversation=str(conversation.pk))
    return conversation


@transaction.atomic
def update_settings(*, owner: User, conversation_id: uuid.UUID, settings: SettingsChange) -> Conversation:
    """Change what holds for the next message."""
    conversation = selectors.owned_conversation(owner=owner, conversation_id=conversation_id)
    _apply_settings(conversation, settings)
    conversation.save(update_fields=list(settings))
    return conversation


def title_from(text: str) -> str:
    """The first words of `text`, cut between words where there are any."""
    line = _without_controls(text)
    if not _can_be_seen(line):
        return ""
    shortened = textwrap.shorten(line, width=TITLE_CHARACTERS, placeholder="…")
    # `shorten` keeps no part of a first word that is too long by itself (a link; Chinese, which has no blanks).
    return shortened if shortened != "…" else line.strip()[: TITLE_CHARACTERS - 1] + "…"


def _without_controls(text: str) -> str:
    """NUL, for one, is text that PostgreSQL cannot store."""
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)


def _can_be_seen(text: str) -> bool:
    """Whether there is more in it than blanks and signs without a shape, which would be a line that nobody can find."""
    shapeless = {"Cc", "Cf", "Zs", "Zl", "Zp"}
    return any(unicodedata.category(character) not in shapeless for character in text)


def _take_turns(owner_id: int) -> None:
    """Let one wish of a person be granted at a time, whatever tab or process it comes through.

    This is what makes positions, the one running reply and the number of running replies exact. SQLite ignores the
    lock and needs none: its transactions are IMMEDIATE, so they take turns anyway.
    """
    User.objects.select_for_update().filter(pk=owner_id).values_list("pk").first()


def _granted_before(owner: User, client_id: str) -> Reply | None:
    if not client_id:
        return None
    replies_of_owner = Reply.objects.select_related("message__conversation")
    return replies_of_owner.filter(
        client_id=client_id, message__conversation__in=selectors.owned_by(owner)
    ).first()


def _checked_text(text: str) -> str:
    if not text.strip():
        raise InvalidValue(gettext("Write something first: the message is empty."), field="text")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise InvalidValue(
            gettext(
                "The message has %(length)s characters; at most %(limit)s are possible."
                " Shorten it, or send it in parts."
            )
            % {"length": f"{len(text):,}", "limit": f"{MAX_MESSAGE_CHARACTERS:,}"},
            field="text",
        )
    return text


def _refuse_while_running(owner: User, conversation: Conversation) -> None:
    running = list(selectors.running(owner).values_list("message__conversation_id", flat=True))
    if conversation.pk in running:
        raise Busy(gettext("The last answer is still being written. Wait for it, or stop it first."))
    if len(running) >= site.RUNNING_REPLIES_PER_USER:
        raise TooManyReplies(
            gettext(
                "You have %(number)d answers running, which is as many as are possible at once."
                " Wait for one of them, or stop one."
            )
            % {"number": len(running)}
        )


def _choose(conversation: Conversation, chat_model_name: str | None, settings: SettingsChange | None) -> None:
    """Make the wanted chat model and settings the conversation's, and move it to the top of the list."""
    conversation.chat_model = _chat_model(conversation, chat_model_name)
    _apply_settings(conversation, settings or {})
    conversation.updated_at = timezone.now()
    # An existing one's other fields may be changed beside this (its title in another tab).
    changed = ["chat_model", "updated_at", *(settings or {})]
    conversation.save(update_fields=None if conversation._state.adding else changed)


def _chat_model(conversation: Conversation, name: str | None) -> ChatModel:
    if name is None:
        name = conversation.chat_model.name if conversation.chat_model else _default_name()
    chat_model = ChatModel.objects.published().filter(name=name).first()
    if chat_model is None:
        raise UnknownChatModel(
            gettext("There is no chat model “%(name)s”. Pick another one.") % {"name": name[:100]},
            field="chat_model",
        )
    return chat_model


def _default_name() -> str:
    name = chat_models.default(chat_models.choices())
    if name is None:
        raise UnknownChatModel(
            gettext(
                "There is no chat model yet. An administrator publishes one in the admin under “Chat models”."
            ),
            field="chat_model",
        )
    return name


def _apply_settings(conversation: Conversation, change: SettingsChange) -> None:
    values: Mapping[str, object] = change
    for name, value in values.items():
        setattr(conversation, name, "" if name == "system_prompt" and value is None else value)
    _check_fields(conversation, prefix="settings.")


def _check_fields(conversation: Conversation, *, prefix: str) -> None:
    """Hold the values against the model's own validators, and name the first field that fails."""
    try:
        conversation.clean_fields(exclude=["owner", "chat_model"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidValue(" ".join(messages), field=prefix + field) from None


def _start_reply(message: Message, client_id: str) -> Reply:
    """Answer a message as its conversation's settings say."""
    conversation = message.conversation
    chat_model = conversation.chat_model
    assert chat_model is not None  # `_choose` has set it
    system_prompt = conversation.system_prompt or chat_model.system_prompt
    return _answer(message, chat_model, system_prompt, sampling_for(conversation, chat_model), client_id)


def _replayable(message: Message, reply_id: uuid.UUID) -> Reply:
    reply = message.replies.select_related("chat_model").filter(pk=reply_id).first()
    if reply is None:
        raise NotFound(gettext("This answer does not exist (any more)."), field="replays")
    if not reply.repeatable:
        raise InvalidValue(
            gettext(
                "Only an answer with a seed, or with temperature 0, comes out the same again."
                " Set a seed in the settings, and ask again."
            ),
            field="replays",
        )
    if reply.chat_model is None or not reply.chat_model.published:
        raise UnknownChatModel(
            gettext("The chat model “%(name)s” is not here any more.") % {"name": reply.chat_model_name},
            field="replays",
        )
    return reply


def _replay(message: Message, replayed: Reply, client_id: str) -> Reply:
    assert replayed.chat_model is not None  # `_replayable` has seen to it
    made = replayed.sampling
    sampling = Sampling(
        temperature=made.get("temperature"),
        top_p=made.get("top_p"),
        max_tokens=made.get("max_tokens"),
        seed=made.get("seed"),
        logprobs=bool(made.get("logprobs")),
        top_logprobs=made.get("top_logprobs") or 0,
    )
    return _answer(
        message, replayed.chat_model, replayed.system_prompt, sampling, client_id, replays=replayed
    )


def _answer(
    message: Message,
    chat_model: ChatModel,
    system_prompt: str,
    sampling: Sampling,
    client_id: str,
    *,
    replays: Reply | None = None,
) -> Reply:
    """Write down the queued reply, and submit its request once that is safe in the database."""
    conversation = message.conversation
    shown = attachment_selectors.shown_with([message.pk]).get(message.pk, prompts.NOTHING)
    sees = chat_models.can(chat_model.name, Ability.VISION)
    if shown.images and not sees:
        raise InvalidValue(
            gettext("“%(name)s” cannot look at images. Pick a chat model that can, or remove the image.")
            % {"name": chat_model.name},
            field="attachments",
        )
    made_with = stored_sampling(sampling)
    if replays is not None:
        made_with["replays"] = str(replays.pk)
    reply = Reply.objects.create(
        message=message,
        chat_model=chat_model,
        chat_model_name=chat_model.name,
        sampling=made_with,
        system_prompt=system_prompt,
        client_id=client_id,
    )
    past = selectors.past_turns(conversation, before=message.position)
    request = GenerationRequest(
        id=reply.id.hex,
        chat_model=chat_model.name,
        messages=prompts.build(
            system_prompt=system_prompt, past=past, message=message.text, shown=shown, sees=sees
        ),
        deadline=time.time() + site.GENERATION_TIMEOUT,
        sampling=sampling,
        report_task=replies.REPORT_TASK,
        report_key=str(reply.id),
        asker=f"user-{conversation.owner_id}",
    )
    transaction.on_commit(partial(replies.submit, request))
    news.announce(conversation.owner_id, conversation=str(conversation.pk), reply=str(reply.pk))
    return reply


def sampling_for(conversation: Conversation, chat_model: ChatModel) -> Sampling:
    """The conversation's own values, else the chat model's."""
    probabilities = conversation.probabilities and chat_models.can(chat_model.name, Ability.LOGPROBS)
    return Sampling(
        temperature=chat_model.temperature if conversation.temperature is None else conversation.temperature,
        top_p=chat_model.top_p if conversation.top_p is None else conversation.top_p,
        max_tokens=conversation.max_tokens,
        seed=conversation.seed,
        logprobs=probabilities,
        top_logprobs=TOP_LOGPROBS if probabilities else 0,
    )


def stored_sampling(sampling: Sampling) -> dict[str, object]:
    """What a reply keeps of the parameters it was made with."""
    stored: dict[str, object] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.seed is not None:
        stored["seed"] = sampling.seed
    if sampling.logprobs:
        stored |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    return stored
