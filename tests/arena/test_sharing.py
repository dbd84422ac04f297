"""Links to conversations, copies of them, and files."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from arena import exporting
from arena.errors import InvalidValue, NotFound
from arena.models import Conversation, ConversationShare, Message
from arena.selectors import conversations
from arena.selectors import sharing as selectors
from arena.services import sharing
from tests.arena.conftest import make_conversation, make_reply, make_turn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("workers_client")]


def read(share: ConversationShare) -> list[tuple[str, str]]:
    lines = selectors.shared_lines(ConversationShare.objects.get(pk=share.pk))
    return [(message.text, reply.text if reply else "") for message, reply in lines]


@pytest.fixture
def chain(alice, parrot) -> Conversation:
    """Two turns, the second behind the first."""
    conversation = make_conversation(alice, parrot, system_prompt="A secret prompt")
    first = make_turn(conversation, "Hello", "Hello *yourself*")
    second = make_turn(conversation, "How are you?", "Well")
    second.previous = first
    second.save()
    return conversation


@pytest.fixture
def share(chain) -> ConversationShare:
    return sharing.share(owner=chain.owner, conversation_id=chain.pk)


@pytest.fixture
def as_alice(alice) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def as_charlie(charlie) -> Client:
    client = Client()
    client.force_login(charlie)
    return client


TOLD = [("Hello", "Hello *yourself*"), ("How are you?", "Well")]


def test_a_link_shows_the_conversation_as_it_was(chain, share):
    last = chain.messages.get(position=2)
    make_reply(last, "Better")
    make_turn(chain, "A secret", "Yes")

    assert read(share) == TOLD


def test_sharing_again_brings_the_same_link_up_to_date(chain, share):
    make_reply(chain.messages.get(position=2), "Better")

    again = sharing.share(owner=chain.owner, conversation_id=chain.pk)

    assert again.key == share.key
    assert read(again)[-1] == ("How are you?", "Better")


def test_another_branch_is_not_shown(chain, share):
    edited = chain.messages.get(position=2)
    Message.objects.filter(pk=edited.pk).update(active=False)
    chain.messages.create(position=2, previous=edited.previous, text="Other branch")

    assert read(share) == TOLD


def test_a_stranger_reads_the_link_and_nothing_else(client, chain, share):
    page = client.get(reverse("arena:shared_conversation", args=[share.key]))

    assert page.status_code == 200
    text = page.content.decode()
    assert "How are you?" in text
    assert "A secret prompt" not in text
    assert chain.owner.username not in text
    assert str(chain.pk) not in text
    assert "noindex" in text


def test_a_revoked_link_leads_nowhere_and_comes_back_under_another_key(client, chain, share):
    sharing.revoke(owner=chain.owner, conversation_id=chain.pk)

    assert client.get(reverse("arena:shared_conversation", args=[share.key])).status_code == 404
    assert sharing.share(owner=chain.owner, conversation_id=chain.pk).key != share.key


def test_the_links_of_a_locked_account_lead_nowhere(client, alice, share):
    alice.is_active = False
    alice.save()

    assert client.get(reverse("arena:shared_conversation", args=[share.key])).status_code == 404


def test_an_empty_conversation_is_not_shared(alice, parrot):
    empty = make_conversation(alice, parrot)

    with pytest.raises(InvalidValue, match="nothing to share"):
        sharing.share(owner=alice, conversation_id=empty.pk)


def test_another_person_can_neither_share_nor_revoke(charlie, chain, share):
    for service in (sharing.share, sharing.revoke):
        with pytest.raises(NotFound):
            service(owner=charlie, conversation_id=chain.pk)

    assert ConversationShare.objects.count() == 1


def test_a_member_continues_as_a_copy(as_charlie, charlie, chain, share):
    response = as_charlie.post(reverse("arena:copy_shared", args=[share.key]))

    copied = Conversation.objects.get(owner=charlie)
    assert response.url == reverse("arena:conversation", args=[copied.pk])
    turns = conversations.turns(copied)
    assert [(turn.message.text, turn.shown.text if turn.shown else "") for turn in turns] == TOLD
    assert turns[1].message.previous == turns[0].message
    assert copied.system_prompt == ""
    assert chain.messages.count() == 2


def test_a_revoked_link_is_not_copied(charlie, chain, share):
    sharing.revoke(owner=chain.owner, conversation_id=chain.pk)

    with pytest.raises(NotFound):
        sharing.copy(owner=charlie, key=share.key)


def test_the_pages_make_list_and_revoke_a_link(as_alice, chain):
    made = as_alice.post(reverse("arena:share_conversation", args=[chain.pk]), follow=True)
    key = ConversationShare.objects.get().key
    listed = as_alice.get(reverse("arena:links"))
    as_alice.post(reverse("arena:revoke_share", args=[chain.pk]))

    assert f"http://testserver/chat/shared/{key}/" in made.content.decode()
    assert f"/chat/shared/{key}/" in listed.content.decode()
    assert not ConversationShare.objects.exists()


@pytest.mark.parametrize(
    ("name", "more", "method"),
    [("manage_share", [], "get"), ("share_conversation", [], "post"), ("revoke_share", [], "post"),
     ("export", ["json"], "get")],
)  # fmt: skip
def test_another_persons_conversation_is_not_found(as_charlie, chain, name, more, method):
    assert getattr(as_charlie, method)(reverse(f"arena:{name}", args=[chain.pk, *more])).status_code == 404


def test_others_links_are_not_listed(as_charlie, share):
    assert share.key not in as_charlie.get(reverse("arena:links")).content.decode()


# --- files ---------------------------------------------------------------------------------------------------


def test_json_holds_messages_that_programs_know(as_alice, chain):
    response = as_alice.get(reverse("arena:export", args=[chain.pk, "json"]))

    told = json.loads(response.content)
    assert told["title"] == "Birds"
    assert [(one["role"], one["content"]) for one in told["messages"]] == [
        ("user", "Hello"),
        ("assistant", "Hello *yourself*"),
        ("user", "How are you?"),
        ("assistant", "Well"),
    ]
    assert told["messages"][1]["chat_model"] == "parrot"
    assert "chat_model" not in told["messages"][0]
    assert response.headers["Content-Disposition"].startswith("attachment;")


def test_markdown_reads_like_the_page(as_alice, chain):
    text = as_alice.get(reverse("arena:export", args=[chain.pk, "markdown"])).content.decode()

    assert text.startswith("# Birds\n\n## You\n\nHello\n\n## parrot\n\nHello *yourself*\n\n")


def test_an_unknown_format_is_not_found(as_alice, chain):
    assert as_alice.get(reverse("arena:export", args=[chain.pk, "docx"])).status_code == 404


def test_json_keeps_every_letter():
    said: exporting.Said = {"role": "user", "content": "北京 \u2028 \"'", "chat_model": "", "created_at": ""}

    assert json.loads(exporting.as_json("天", [said]))["messages"] == [
        {"role": "user", "content": said["content"]}
    ]
