"""services.conversations: sending and regenerating."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from arena.errors import Busy, InvalidValue, NotFound, TooManyReplies, UnknownChatModel
from arena.models import Conversation, Message, Reply
from arena.services import conversations
from tests.arena.conftest import make_conversation, make_reply, make_turn
from tests.factories import make_chat_model

pytestmark = pytest.mark.django_db


def send(owner, text="Hi", **arguments) -> Reply:
    return conversations.send_message(owner=owner, text=text, **arguments)


# --- a new conversation ----------------------------------------------------------------------------------------


def test_it_starts_a_conversation_with_the_first_message(alice, parrot, workers_client):
    reply = send(alice, "Tell me about birds", chat_model_name="parrot")

    conversation = Conversation.objects.get()
    assert conversation.owner == alice
    assert conversation.chat_model == parrot
    assert conversation.title == "Tell me about birds"
    assert (reply.message.text, reply.message.position) == ("Tell me about birds", 1)
    assert (reply.status, reply.chat_model_name) == (Reply.Status.QUEUED, "parrot")


def test_it_takes_a_chat_model_that_answers_when_none_is_named(alice, parrot, workers_client):
    make_chat_model("absent")  # before "parrot" by name, but nobody serves it

    assert send(alice).chat_model_name == "parrot"


def test_it_takes_a_chat_model_that_does_not_answer_when_there_is_no_other(alice, parrot, no_workers):
    assert send(alice).chat_model_name == "parrot"


def test_it_says_what_to_do_when_there_is_no_chat_model(alice, workers_client):
    with pytest.raises(UnknownChatModel, match="administrator publishes one"):
        send(alice)
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("name", ["lorem", "", "Parrot", "x" * 200, "parrot\n"])
def test_it_refuses_a_chat_model_that_does_not_exist(alice, parrot, workers_client, name):
    with pytest.raises(UnknownChatModel) as caught:
        send(alice, chat_model_name=name)

    assert caught.value.field == "chat_model"
    assert not Conversation.objects.exists()


def test_it_refuses_a_chat_model_that_is_not_published(alice, workers_client):
    make_chat_model("secret", published=False)

    with pytest.raises(UnknownChatModel):
        send(alice, chat_model_name="secret")


@pytest.mark.parametrize("text", ["", " ", "\n\t \n", "\u2003"])
def test_it_refuses_an_empty_message(alice, parrot, workers_client, text):
    with pytest.raises(InvalidValue, match="Write something") as caught:
        send(alice, text)
    assert caught.value.field == "text"
    assert not Conversation.objects.exists()


def test_it_refuses_a_message_that_is_too_long_and_says_by_how_much(alice, parrot, workers_client):
    with pytest.raises(InvalidValue, match="32,001 characters; at most 32,000"):
        send(alice, "x" * 32_001)


def test_it_keeps_the_text_as_it_was_written(alice, parrot, workers_client):
    text = "\n    def parrot():\n\t\tpass  \n"

    assert send(alice, text).message.text == text


# --- the request ---------------------------------------------------------------------------------------------


def test_it_submits_after_the_commit_and_not_before(alice, parrot, workers_client, commits):
    with commits():
        reply = send(alice)
        assert workers_client.requests == []

    (request,) = workers_client.requests
    assert request.id == reply.id.hex
    assert request.chat_model == "parrot"
    assert (request.report_task, request.report_key) == ("arena.record_reply", str(reply.id))


def test_it_submits_nothing_when_the_transaction_fails(alice, parrot, workers_client, commits):
    with commits(), transaction.atomic():
        send(alice)
        transaction.set_rollback(True)
    assert not Reply.objects.exists()
    assert workers_client.requests == []


def test_it_gives_a_request_its_deadline(alice, parrot, workers_client, commits, settings):
    settings.GENERATION_TIMEOUT = 30
    with commits():
        reply = send(alice)

    (request,) = workers_client.requests
    assert request.deadline == pytest.approx(reply.created_at.timestamp() + 30, abs=2)


def test_it_takes_the_chat_models_defaults(alice, workers_client, commits):
    make_chat_model("parrot", system_prompt="You are a parrot.", temperature=0.3, top_p=0.8)
    with commits():
        reply = send(alice)

    (request,) = workers_client.requests
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (
        0.3,
        0.8,
        None,
    )
    assert request.messages[0].content == "You are a parrot."
    assert reply.system_prompt == "You are a parrot."
    assert reply.sampling == {"temperature": 0.3, "top_p": 0.8, "max_tokens": None}


def test_it_prefers_the_conversations_own_settings_even_when_they_are_zero(
    alice, parrot, workers_client, commits
):
    own = {"system_prompt": "Be brief.", "temperature": 0.0, "top_p": 0.0, "max_tokens": 5}
    with commits():
        reply = send(alice, settings=own)

    (request,) = workers_client.requests
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (
        0.0,
        0.0,
        5,
    )
    assert request.messages[0].content == "Be brief."
    assert reply.sampling == {"temperature": 0.0, "top_p": 0.0, "max_tokens": 5}


def test_it_sends_the_conversation_so_far(alice, talk, workers_client, commits):
    with commits():
        send(alice, "And now?", conversation_id=talk.id)

    (request,) = workers_client.requests
    assert [(message.role, message.content) for message in request.messages] == [
        ("user", "Hello"),
        ("assistant", "Hello yourself"),
        ("user", "How are you?"),
        ("assistant", "As well as a parrot can be"),
        ("user", "And now?"),
    ]


def test_it_goes_on_from_the_newest_finished_answer(alice, parrot, workers_client, commits):
    conversation = make_conversation(alice, parrot)
    message = make_turn(conversation, "one", "first", "second")
    make_reply(message, "broken", status=Reply.Status.FAILED, outcome="engine_failure")
    make_reply(message, "", outcome="cancelled")
    with commits():
        send(alice, "two", conversation_id=conversation.id)

    assert [message.content for message in workers_client.requests[0].messages] == ["one", "second", "two"]


def test_it_leaves_out_turns_without_an_answer(alice, parrot, workers_client, commits):
    conversation = make_conversation(alice, parrot)
    make_reply(make_turn(conversation, "lost"), "half", status=Reply.Status.FAILED, outcome="worker_lost")
    make_turn(conversation, "never answered")
    make_turn(conversation, "answered", "yes")
    with commits():
        send(alice, "next", conversation_id=conversation.id)

    assert [message.content for message in workers_client.requests[0].messages] == ["answered", "yes", "next"]


# --- an existing conversation --------------------------------------------------------------------------------


def test_it_numbers_the_messages(alice, talk, workers_client):
    assert send(alice, conversation_id=talk.id).message.position == 3


def test_it_moves_the_conversation_to_the_top(alice, parrot, talk, workers_client):
    make_conversation(alice, parrot, title="Newer")

    send(alice, conversation_id=talk.id)

    assert Conversation.objects.filter(owner=alice).first() == talk


def test_it_keeps_the_title_of_an_existing_conversation(alice, talk, workers_client):
    send(alice, "Something else", conversation_id=talk.id)

    talk.refresh_from_db()
    assert talk.title == "Birds"


def test_it_keeps_the_chat_model_and_settings_for_the_next_message(alice, talk, workers_client):
    make_chat_model("lorem")
    send(alice, conversation_id=talk.id, chat_model_name="lorem", settings={"temperature": 1.5})

    talk.refresh_from_db()
    assert (talk.chat_model.name, talk.temperature) == ("lorem", 1.5)


def test_it_leaves_absent_settings_and_clears_null_ones(alice, parrot, workers_client):
    conversation = make_conversation(
        alice, parrot, system_prompt="Be brief.", temperature=1.0, top_p=0.5, max_tokens=9
    )

    change = {"system_prompt": None, "temperature": None}
    send(alice, conversation_id=conversation.id, settings=change)

    conversation.refresh_from_db()
    assert (conversation.system_prompt, conversation.temperature) == ("", None)
    assert (conversation.top_p, conversation.max_tokens) == (0.5, 9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", 1e308),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", 1_000_001),
        ("max_tokens", 10**30),
        ("system_prompt", "x" * 20_001),
    ],
)
def test_it_names_a_setting_out_of_bounds_and_stores_nothing(alice, talk, workers_client, name, value):
    with pytest.raises(InvalidValue) as caught:
        send(alice, conversation_id=talk.id, settings={name: value})

    assert caught.value.field == f"settings.{name}"
    assert caught.value.message
    assert talk.messages.count() == 2
    assert not Reply.objects.filter(status=Reply.Status.QUEUED).exists()


def test_it_refuses_a_conversation_whose_chat_model_was_withdrawn(alice, talk, parrot, workers_client):
    parrot.published = False
    parrot.save()

    with pytest.raises(UnknownChatModel, match="parrot"):
        send(alice, conversation_id=talk.id)


def test_it_takes_another_chat_model_when_the_own_was_deleted(alice, talk, parrot, workers_client):
    parrot.delete()
    make_chat_model("parrot-2")

    assert send(alice, conversation_id=talk.id).chat_model_name == "parrot-2"


@pytest.mark.parametrize("whose", ["charlie", "nobody"])
def test_it_finds_no_conversation_of_another_person(alice, charlie, talk, workers_client, whose):
    conversation_id = talk.id if whose == "charlie" else uuid.uuid4()

    with pytest.raises(NotFound) as caught:
        send(charlie, "Let me in", conversation_id=conversation_id)

    # The same words for both: the answer must not tell that there is something.
    assert caught.value.message == "This conversation does not exist (any more)."
    assert talk.messages.count() == 2


# --- one answer at a time ------------------------------------------------------------------------------------


def test_it_refuses_a_message_while_the_last_answer_runs(alice, talk, workers_client):
    send(alice, conversation_id=talk.id)

    with pytest.raises(Busy, match="still being written"):
        send(alice, "And this?", conversation_id=talk.id)
    assert talk.messages.count() == 3


def test_it_lets_other_conversations_go_on_meanwhile(alice, bob, talk, workers_client):
    send(alice, conversation_id=talk.id)

    assert send(alice).message.conversation != talk
    assert send(bob).message.conversation.owner == bob


def test_it_limits_the_answers_of_one_person(alice, bob, parrot, workers_client, settings):
    settings.RUNNING_REPLIES_PER_USER = 2
    send(alice)
    send(alice)

    with pytest.raises(TooManyReplies, match="2 answers running"):
        send(alice)
    assert send(bob)
    assert Conversation.objects.filter(owner=alice).count() == 2


def test_it_grants_a_wish_that_comes_twice_only_once(alice, parrot, workers_client, commits):
    with commits():
        first = send(alice, client_id="wish-0001")
    with commits():
        second = send(alice, client_id="wish-0001")

    assert first == second
    assert (Conversation.objects.count(), Message.objects.count()) == (1, 1)
    assert len(workers_client.requests) == 1


def test_it_does_not_mix_up_the_wishes_of_two_people(alice, bob, parrot, workers_client):
    assert send(alice, client_id="wish-0001") != send(bob, client_id="wish-0001")


def test_the_database_refuses_a_second_running_reply(alice, talk):
    message = talk.messages.last()
    make_reply(message, status=Reply.Status.QUEUED)

    with pytest.raises(IntegrityError), transaction.atomic():
        make_reply(message, status=Reply.Status.QUEUED)


def test_the_database_refuses_two_messages_in_one_place(talk):
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.create(conversation=talk, position=1, text="me too")


# --- another answer ------------------------------------------------------------------------------------------


def test_it_answers_the_last_message_again(alice, talk, workers_client, commits):
    message = talk.messages.last()
    with commits():
        reply = conversations.regenerate(owner=alice, message_id=message.id)

    assert (reply.message, message.replies.count()) == (message, 2)
    # The first answer is not part of the prompt for the second.
    assert [message.content for message in workers_client.requests[0].messages] == [
        "Hello",
        "Hello yourself",
        "How are you?",
    ]


def test_it_answers_again_with_another_chat_model_and_settings(alice, talk, workers_client):
    make_chat_model("lorem")

    reply = conversations.regenerate(
        owner=alice, message_id=talk.messages.last().id, chat_model_name="lorem", settings={"max_tokens": 3}
    )

    talk.refresh_from_db()
    assert (reply.chat_model_name, reply.sampling["max_tokens"]) == ("lorem", 3)
    assert (talk.chat_model.name, talk.max_tokens) == ("lorem", 3)


def test_it_does_not_answer_an_older_message_again(alice, talk, workers_client):
    with pytest.raises(InvalidValue, match="Only the last message") as caught:
        conversations.regenerate(owner=alice, message_id=talk.messages.first().id)
    assert caught.value.field == "message"


def test_it_does_not_answer_again_while_the_answer_runs(alice, talk, workers_client):
    reply = send(alice, conversation_id=talk.id)

    with pytest.raises(Busy):
        conversations.regenerate(owner=alice, message_id=reply.message.id)


def test_it_answers_again_once_for_a_wish_that_comes_twice(alice, talk, workers_client):
    message = talk.messages.last()
    first = conversations.regenerate(owner=alice, message_id=message.id, client_id="wish-0001")

    assert conversations.regenerate(owner=alice, message_id=message.id, client_id="wish-0001") == first
    assert message.replies.count() == 2


def test_it_does_not_answer_another_persons_message_again(charlie, talk, workers_client):
    with pytest.raises(NotFound):
        conversations.regenerate(owner=charlie, message_id=talk.messages.last().id)
    with pytest.raises(NotFound):
        conversations.regenerate(owner=charlie, message_id=2**63 - 1)


def test_it_asks_the_database_the_same_number_of_questions_for_long_conversations(
    alice, talk, workers_client, django_assert_max_num_queries
):
    for number in range(30):
        make_turn(talk, f"question {number}", "a", "b")

    with django_assert_max_num_queries(16):
        send(alice, conversation_id=talk.id)
