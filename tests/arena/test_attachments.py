"""Files with messages: what is taken in, who gets it, and what the chat model reads."""

import io
import uuid
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from arena import attachments as reading
from arena.errors import InvalidValue, NotFound
from arena.models import Attachment, Message
from arena.services import attachments, conversations
from arena.tasks import forget_unsent_files
from tests.arena.conftest import make_conversation, make_turn
from workers.engines.scripted import Script, ScriptedEngine

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


def pdf(*pages: str) -> bytes:
    """A PDF file of pages with one line each, written by hand: pypdf only reads."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for text in pages:
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /Contents {len(objects) + 2} 0 R"
            " /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode())
    start = out.tell()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode())
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode())
    return out.getvalue()


def take(owner, name="notes.txt", content=b"The parrot is 3 years old.") -> Attachment:
    return attachments.take_in(owner=owner, name=name, content=content)


def host_with(workers_client, name: str, *abilities: str) -> None:
    """A chat model that can chat, and what is named here; the scripted engine by itself can nearly everything."""
    engine = ScriptedEngine(name, Script.parse("reply=I see."))
    object.__setattr__(engine.hosted, "abilities", ("chat", *abilities))
    workers_client.host(engine)


def seeing(workers_client, name: str) -> None:
    host_with(workers_client, name, "vision")


# --- reading a file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "content_type"),
    [
        (b"plain", "text", "text/plain; charset=utf-8"),
        ("“Ünïcode”".encode(), "text", "text/plain; charset=utf-8"),
        ("two bytes each".encode("utf-16"), "text", "text/plain; charset=utf-8"),
        (PNG, "image", "image/png"),
        (b"\xff\xd8\xff\xe0" + b"x" * 20, "image", "image/jpeg"),
        (b"GIF89a" + b"x" * 20, "image", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image", "image/webp"),
    ],
)
def test_it_knows_a_file_by_its_content(content, kind, content_type):
    found = reading.read("anything.exe", content)
    assert (found.kind, found.content_type) == (kind, content_type)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b" \n ", "no text in"),
        (b"\x00\x01\x02", "neither text"),
        (b"\xff\xff\xff", "neither text"),
        (b"x" * (reading.LONGEST_TEXT + 1), "longer than 100000 characters"),
        (b"x" * (reading.LARGEST_FILE + 1), "at most 10 MB"),
        (PNG + b"x" * reading.LARGEST_IMAGE, "at most 5 MB"),
        (b"%PDF-1.4 nonsense", "damaged"),
    ],
)
def test_it_says_why_a_file_cannot_be_used(content, sentence):
    with pytest.raises(InvalidValue, match=sentence) as caught:
        reading.read("thing", content)
    assert "“thing”" in caught.value.message


def test_it_reads_the_text_of_a_pdf_file_and_refuses_too_many_pages(monkeypatch):
    found = reading.read("book.pdf", pdf("Once upon a time", "there was a parrot"))
    assert found.content_type == "application/pdf"
    assert found.text.split() == ["Once", "upon", "a", "time", "there", "was", "a", "parrot"]

    monkeypatch.setattr(reading, "MOST_PAGES", 1)
    with pytest.raises(InvalidValue, match="more than 1 pages"):
        reading.read("book.pdf", pdf("one", "two"))


def test_a_pdf_file_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(reading, "PDF_SECONDS", 0.001)
    with pytest.raises(InvalidValue, match="takes too long"):
        reading.read("book.pdf", pdf("slow"))


# --- with a message --------------------------------------------------------------------------------------------


def test_the_chat_model_reads_a_text_in_front_of_the_question(alice, parrot, workers_client, commits):
    first = take(alice, 'my "notes".txt')
    with commits():
        reply = conversations.send_message(owner=alice, text="How old?", attachment_ids=[first.pk])
    workers_client.deliver_reports()
    with commits():
        conversations.send_message(
            owner=alice, text="Sure?", conversation_id=reply.message.conversation_id, chat_model_name="parrot"
        )

    asked = workers_client.requests[0].messages[-1].content
    assert asked == "<file name=\"my 'notes'.txt\">\nThe parrot is 3 years old.\n</file>\n\nHow old?"
    assert workers_client.requests[1].messages[0].content == asked
    assert reply.message.text == "How old?"


def test_an_image_goes_to_a_chat_model_that_sees_and_to_no_other(alice, parrot, workers_client, commits):
    image = take(alice, "bird.png", PNG)
    host_with(workers_client, "parrot")
    with pytest.raises(InvalidValue, match="cannot look at images"):
        conversations.send_message(owner=alice, text="What is it?", attachment_ids=[image.pk])
    assert not Message.objects.exists()

    seeing(workers_client, "parrot")
    with commits():
        conversations.send_message(owner=alice, text="What is it?", attachment_ids=[image.pk])

    (url,) = workers_client.requests[0].messages[-1].images
    assert url.startswith("data:image/png;base64,iVBOR")


def test_a_chat_model_that_does_not_see_is_told_of_a_past_image(alice, parrot, workers_client, commits):
    seeing(workers_client, "parrot")
    with commits():
        reply = conversations.send_message(
            owner=alice, text="What is it?", attachment_ids=[take(alice, "bird.png", PNG).pk]
        )
    workers_client.deliver_reports()
    host_with(workers_client, "parrot")
    with commits():
        conversations.send_message(owner=alice, text="And?", conversation_id=reply.message.conversation_id)

    past = workers_client.requests[1].messages[0]
    assert past.images == ()
    assert "which you cannot see" in past.content


def test_another_version_of_a_message_has_the_files_of_the_first(alice, parrot, workers_client, commits):
    with commits():
        reply = conversations.send_message(owner=alice, text="How old?", attachment_ids=[take(alice).pk])
    workers_client.deliver_reports()

    edited = conversations.send_message(
        owner=alice,
        text="How young?",
        conversation_id=reply.message.conversation_id,
        edits=reply.message_id,
        attachment_ids=[take(alice, "more.txt", b"More").pk],
    )

    assert [one.name for one in edited.message.attachments.all()] == ["notes.txt", "more.txt"]
    assert reply.message.attachments.count() == 1


def test_it_refuses_files_of_others_sent_ones_and_too_many(alice, bob, parrot, workers_client, commits):
    mine = take(alice)
    with pytest.raises(NotFound):
        conversations.send_message(owner=bob, text="Hi", attachment_ids=[mine.pk])
    with pytest.raises(InvalidValue, match="at most 5 files"):
        conversations.send_message(owner=alice, text="Hi", attachment_ids=[take(alice).pk for _ in range(6)])
    conversations.send_message(owner=alice, text="Hi", attachment_ids=[mine.pk])
    with pytest.raises(NotFound):
        conversations.send_message(owner=alice, text="Again", attachment_ids=[mine.pk])
    assert Message.objects.count() == 1


def test_it_keeps_no_more_unsent_files_than_it_must(alice, monkeypatch):
    monkeypatch.setattr(attachments, "MOST_UNSENT", 2)
    take(alice), take(alice)
    with pytest.raises(InvalidValue, match="were not sent"):
        take(alice)

    Attachment.objects.update(created_at=timezone.now() - timedelta(hours=25))
    sent = make_turn(make_conversation(alice), "Hi", "Ho")
    Attachment.objects.filter(pk__in=Attachment.objects.values("pk")[:1]).update(message=sent)
    forget_unsent_files()
    assert Attachment.objects.get().message == sent


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\x\\y.txt", "y.txt"), ("\x00\n", "file"), ("a" * 300, "a" * 200)],
)
def test_it_keeps_a_name_and_no_path(alice, given, kept):
    assert take(alice, given).name == kept


# --- over HTTP -------------------------------------------------------------------------------------------------


def test_a_file_is_taken_in_shown_to_its_owner_only_and_thrown_away(client, alice, charlie):
    client.force_login(alice)
    sent = client.post("/chat/files/", {"file": SimpleUploadedFile("bird.png", PNG)})
    assert sent.status_code == 201
    assert sent.json() | {"id": ""} == {
        "id": "",
        "name": "bird.png",
        "kind": "image",
        "size": len(PNG),
        "characters": 0,
    }
    address = f"/chat/files/{sent.json()['id']}/"

    shown = client.get(address)
    assert (shown.content, shown["Content-Type"]) == (PNG, "image/png")
    assert shown["X-Content-Type-Options"] == "nosniff"
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.post(f"{address}remove/").status_code == 404
    client.force_login(alice)
    assert client.post(f"{address}remove/").json() == {"removed": True}
    assert client.get(address).status_code == 404


def test_a_text_is_handed_out_as_a_file_and_never_shown_as_a_page(client, alice):
    stored = take(alice, "page.html", b"<script>alert(1)</script>")
    client.force_login(alice)

    shown = client.get(f"/chat/files/{stored.pk}/")

    assert shown["Content-Type"] == "application/octet-stream"
    assert shown["Content-Disposition"] == 'attachment; filename="page.html"'


def test_a_refused_file_is_answered_with_a_sentence(client, alice):
    client.force_login(alice)
    assert client.post("/chat/files/").json()["error"]["field"] == "file"
    refused = client.post("/chat/files/", {"file": SimpleUploadedFile("x.bin", b"\x00\x01")})
    assert refused.status_code == 422
    assert "neither text" in refused.json()["error"]["message"]
    client.logout()
    assert client.post("/chat/files/").status_code == 302
    assert client.get(f"/chat/files/{uuid.uuid4()}/").status_code == 302
