"""Battles: two conversations that hear the same messages. Who speaks on which side is sealed until the vote."""

import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from django.conf import settings as site
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from arena import prompts, sealing
from arena.errors import AlreadyVoted, Busy, InvalidValue, TooManyReplies, UnknownChatModel
from arena.models import Battle, Conversation, Message, ModerationCase, Reply, Vote
from arena.models.battles import fingerprint
from arena.selectors import attachments as attachment_selectors
from arena.selectors import battles as selectors
from arena.selectors import chat_models
from arena.selectors import conversations as conversation_selectors
from arena.services import attachments, matchmaking, moderation, news, replies, terms
from arena.services.conversations import MAX_MESSAGE_CHARACTERS, SettingsChange, sampling_for, stored_sampling
from chatsite.accounts.models import User
from workers.models import ChatModel
from workers.protocol import Ability, GenerationRequest

SIDES = (Conversation.Side.LEFT, Conversation.Side.RIGHT)
REPLIES_OF_A_TURN = 2
LONGEST_BATTLE = 20  # turns


class Round(NamedTuple):
    """What a wish has set going."""

    battle: Battle
    turn: int
    text: str


def start(
    *,
    owner: User,
    text: str,
    mode: str = Battle.Mode.ANONYMOUS,
    left: str = "",
    right: str = "",
    settings: SettingsChange | None = None,
    client_id: str = "",
    attachment_ids: Sequence[uuid.UUID] = (),
) -> Round:
    """Begin a battle with its first message.

    `left`, `right` and `settings` are for a named comparison only. A wish that was granted before under the same
    `client_id` is not granted again: the battle of the first time is returned.
    """
    if mode not in Battle.Mode.values:
        raise InvalidValue(f"mode must be one of {', '.join(Battle.Mode.values)}.", field="mode")
    terms.require(owner)
    cases = moderation.check_prompt(text=_checked(text), author=owner)
    with transaction.atomic():
        _take_turns(owner)
        if granted := _granted_before(owner, client_id):
            return granted
        _leave_room(owner)
        if mode == Battle.Mode.ANONYMOUS:
            drawn = matchmaking.draw(seeing=attachment_selectors.has_image(attachment_ids))
            battle = _seal(owner, drawn.left, drawn.right, text, propensity=drawn.propensity)
            settings = {"max_tokens": site.ARENA_MAX_TOKENS}
        else:
            battle = _named(owner, left, right, text)
        for side in SIDES:
            _open_side(battle, side, settings or {})
        _keep(cases, battle)
        return _ask(battle, text, client_id, attachment_ids)


def say(
    *,
    owner: User,
    battle_id: uuid.UUID,
    text: str,
    client_id: str = "",
    attachment_ids: Sequence[uuid.UUID] = (),
) -> Round:
    """Go on with both sides. After the vote as well: the names are known then, and nothing counts any more."""
    cases = moderation.check_prompt(text=_checked(text), author=owner)
    with transaction.atomic():
        _take_turns(owner)
        if granted := _granted_before(owner, client_id):
            return granted
        battle = _idle_battle(owner, battle_id)
        if Message.objects.filter(conversation__battle=battle).count() >= 2 * LONGEST_BATTLE:
            raise InvalidValue(
                gettext("A battle has at most %(number)d turns. Start a new round.")
                % {"number": LONGEST_BATTLE},
                field="text",
            )
        _keep(cases, battle)
        return _ask(battle, text, client_id, attachment_ids)


@transaction.atomic
def regenerate(*, owner: User, battle_id: uuid.UUID, client_id: str = "") -> Round:
    """Let both sides answer the last message again."""
    _take_turns(owner)
    if granted := _granted_before(owner, client_id):
        return granted
    battle = _idle_battle(owner, battle_id)
    if Vote.objects.filter(battle=battle).exists():
        raise AlreadyVoted(gettext("You have voted on these answers. Start a new round for others."))
    last: Message | None = None
    for conversation in _sides(battle):
        last = conversation.messages.order_by("position").last()
        assert last is not None  # a battle begins with a message
        _start_reply(last, client_id)
    assert last is not None
    news.announce(owner.pk, battle=str(battle.pk), client_id=client_id)
    return Round(battle, last.position, last.text)


def stop(*, owner: User, battle_id: uuid.UUID) -> None:
    """Stop both sides: stopping one alone would say how far the other one is."""
    battle = selectors.owned_battle(owner=owner, battle_id=battle_id)
    for reply in selectors.running(battle):
        replies.cancel(reply.id)


def share(*, owner: User, battle_id: uuid.UUID) -> Battle:
    """Let whoever has the link read the battle. Before the vote there is nothing to share: a link could be asked."""
    battle = selectors.owned_battle(owner=owner, battle_id=battle_id)
    if not battle.revealed:
        raise InvalidValue(
            gettext("Vote first: a battle can be shared once its names are known."), field="battle"
        )
    if not battle.share_key:
        battle.share_key = secrets.token_urlsafe(24)
        battle.save(update_fields=["share_key"])
    return battle


def unshare(*, owner: User, battle_id: uuid.UUID) -> Battle:
    """The link leads nowhere from now on; a later one is another one."""
    battle = selectors.owned_battle(owner=owner, battle_id=battle_id)
    battle.share_key = ""
    battle.save(update_fields=["share_key"])
    return battle


def _take_turns(owner: User) -> None:
    """See `conversations`: one wish of a person at a time makes all counts exact."""
    User.objects.select_for_update().filter(pk=owner.pk).values_list("pk").first()


def _granted_before(owner: User, client_id: str) -> Round | None:
    if not client_id:
        return None
    granted = Reply.objects.filter(
        client_id=client_id, message__conversation__battle__owner=owner
    ).select_related("message__conversation__battle")
    reply = granted.first()
    if reply is None:
        return None
    battle = reply.message.conversation.battle
    assert battle is not None  # the filter wants one
    return Round(battle, reply.message.position, reply.message.text)


def _checked(text: str) -> str:
    if not text.strip():
        raise InvalidValue(gettext("Write something first: the message is empty."), field="text")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise InvalidValue(
            gettext("The message has %(length)s characters; at most %(limit)s are possible. Shorten it.")
            % {"length": f"{len(text):,}", "limit": f"{MAX_MESSAGE_CHARACTERS:,}"},
            field="text",
        )
    return text


def _leave_room(owner: User) -> None:
    running = conversation_selectors.running(owner).count()
    # A site that allows one answer at a time still allows a battle.
    if running and running + REPLIES_OF_A_TURN > max(site.RUNNING_REPLIES_PER_USER, REPLIES_OF_A_TURN):
        raise TooManyReplies(
            gettext(
                "You have %(number)d answers running, and a battle needs two more than are possible at once."
                " Wait for one of them, or stop one."
            )
            % {"number": running}
        )


def _idle_battle(owner: User, battle_id: uuid.UUID) -> Battle:
    battle = selectors.owned_battle(owner=owner, battle_id=battle_id)
    if selectors.running(battle).exists():
        raise Busy(gettext("The answers are still being written. Wait for them, or stop them first."))
    _leave_room(owner)
    return battle


def _seal(owner: User, left: str, right: str, text: str, *, propensity: float) -> Battle:
    battle = Battle(
        owner=owner,
        mode=Battle.Mode.ANONYMOUS,
        left_name=left,
        right_name=right,
        propensity=propensity,
        nonce=sealing.new_nonce(),
        prompt_fingerprint=fingerprint(text),
    )
    battle.commitment = sealing.seal(battle=str(battle.pk), left=left, right=right, nonce=battle.nonce)
    battle.save()
    return battle


def _named(owner: User, left: str, right: str, text: str) -> Battle:
    for field, name in (("left", left), ("right", right)):
        if not ChatModel.objects.published().filter(name=name).exists():
            raise UnknownChatModel(
                gettext("There is no chat model “%(name)s”. Pick another one.") % {"name": name[:100]},
                field=field,
            )
    return Battle.objects.create(
        owner=owner,
        mode=Battle.Mode.SIDE_BY_SIDE,
        left_name=left,
        right_name=right,
        prompt_fingerprint=fingerprint(text),
    )


def _open_side(battle: Battle, side: Conversation.Side, settings: SettingsChange) -> None:
    name = battle.left_name if side == Conversation.Side.LEFT else battle.right_name
    conversation = Conversation(
        owner=battle.owner, battle=battle, side=side, chat_model=ChatModel.objects.get(name=name)
    )
    values: Mapping[str, object] = settings
    for field, value in values.items():
        setattr(conversation, field, "" if field == "system_prompt" and value is None else value)
    try:
        conversation.clean_fields(exclude=["owner", "chat_model", "battle"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidValue(" ".join(messages), field=f"settings.{field}") from None
    conversation.save()


def _keep(cases: list[ModerationCase], battle: Battle) -> None:
    for case in cases:
        case.battle = battle
        case.save()


def _sides(battle: Battle) -> list[Conversation]:
    return list(battle.sides.select_related("chat_model").order_by("side"))


def _ask(battle: Battle, text: str, client_id: str, attachment_ids: Sequence[uuid.UUID]) -> Round:
    """Give both sides the message, and what is shown with it."""
    assert battle.owner is not None  # only imported ones have nobody
    position = 1
    first: Message | None = None
    for conversation in _sides(battle):
        position = conversation.messages.count() + 1
        message = Message.objects.create(conversation=conversation, position=position, text=text)
        if first is None:
            attachments.hand_over(owner=battle.owner, message=message, attachment_ids=attachment_ids)
            first = message
        else:
            attachments.copy(source=first, target=message)
        _start_reply(message, client_id)
        Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())
    news.announce(battle.owner_id, battle=str(battle.pk), client_id=client_id)
    return Round(battle, position, text)


def _start_reply(message: Message, client_id: str) -> None:
    """Write down the queued reply, and submit its request once that is safe in the database."""
    conversation = message.conversation
    chat_model = conversation.chat_model
    if chat_model is None:
        raise UnknownChatModel(
            gettext("One of the two chat models is gone. Start a new round."), field="battle"
        )
    sampling = sampling_for(conversation, chat_model)
    system_prompt = conversation.system_prompt or chat_model.system_prompt
    shown = attachment_selectors.shown_with([message.pk]).get(message.pk, prompts.NOTHING)
    sees = chat_models.can(chat_model.name, Ability.VISION)
    if shown.images and not sees:
        # No name: before the vote it would be told by what it cannot do.
        raise InvalidValue(
            gettext(
                "One of the two chat models cannot look at images. Remove the image, or start a new round with it."
            ),
            field="attachments",
        )
    reply = Reply.objects.create(
        message=message,
        chat_model=chat_model,
        chat_model_name=chat_model.name,
        sampling=stored_sampling(sampling),
        system_prompt=system_prompt,
        client_id=client_id,
    )
    request = GenerationRequest(
        id=reply.id.hex,
        chat_model=chat_model.name,
        messages=prompts.build(
            system_prompt=system_prompt,
            past=selectors.past_turns(conversation, before=message.position),
            message=message.text,
            shown=shown,
            sees=sees,
        ),
        deadline=time.time() + site.GENERATION_TIMEOUT,
        sampling=sampling,
        report_task=replies.REPORT_TASK,
        report_key=str(reply.id),
        asker=f"user-{conversation.owner_id}",
    )
    transaction.on_commit(partial(replies.submit, request))
