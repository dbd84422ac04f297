"""English and Simplified Chinese: nothing is left untranslated, and pages and sockets speak what is asked for."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import translation

from tests.arena.conftest import Page, make_conversation, make_turn

LOCALE = Path(settings.BASE_DIR) / "locale" / "zh_Hans" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)\.?\d*[sdfi]|%%")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
UNTOUCHED = {"of", "p", "Top-p", "Kappa"}  # the same in both languages


def entries() -> Iterator[tuple[str, str, list[str], bool]]:
    """Message, plural ("" for none), translations, and whether they are guesses, of each entry of the .po file."""
    for block in (LOCALE / "django.po").read_text(encoding="utf-8").split("\n\n")[1:]:
        if block.startswith("#~"):
            continue
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if found := re.match(r'(msgid_plural|msgid|msgctxt|msgstr(?:\[\d\])?) (".*")$', line):
                name = found[1]
                fields[name] = _unquoted(found[2])
            elif line.startswith('"'):
                fields[name] += _unquoted(line)
        strings = [text for key, text in fields.items() if key.startswith("msgstr")]
        # As gettext keeps a message with a context.
        message = "\x04".join(fields[key] for key in ("msgctxt", "msgid") if key in fields)
        yield message, fields.get("msgid_plural", ""), strings, "fuzzy" in block.split("\nmsgid")[0]


def _unquoted(text: str) -> str:
    return text[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")


def compiled() -> dict[str, str]:
    """The .mo file's messages (of a plural the singular, as gettext keeps them), by the format gettext documents."""
    data = (LOCALE / "django.mo").read_bytes()
    _, _, count, originals, translations = struct.unpack_from("<5I", data)
    found = {}
    for index in range(count):
        pair = []
        for table in (originals, translations):
            length, offset = struct.unpack_from("<2I", data, table + 8 * index)
            pair.append(data[offset : offset + length].decode("utf-8").split("\0")[0])
        found[pair[0]] = pair[1]
    return found


def test_every_sentence_is_translated_with_all_its_values():
    seen = 0
    for message, plural, strings, fuzzy in entries():
        seen += 1
        assert strings, message
        assert not fuzzy, f"only guessed: {message}"
        for string in strings:
            assert string.strip(), f"not translated: {message}"
            wanted = {tuple(sorted(PLACEHOLDER.findall(text))) for text in (message, plural) if text}
            assert tuple(sorted(PLACEHOLDER.findall(string))) in wanted, (message, string)
            assert CHINESE.search(string) or message in UNTOUCHED or not re.search("[A-Za-z]{2}", message), (
                message
            )
    assert seen > 500


def test_the_compiled_file_is_the_one_of_the_sentences():
    written = {message: strings[0] for message, _, strings, _ in entries()}
    assert {message: text for message, text in compiled().items() if message} == written


def test_scripts_find_a_translation_of_each_of_their_sentences():
    with translation.override("zh-hans"):
        for name in ("Thinking …", "Copied", "Uploading …"):
            assert CHINESE.search(translation.gettext(name))


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["zh-CN,zh;q=0.9,en;q=0.5", "zh-Hans", "zh"])
def test_a_page_speaks_what_the_browser_asks_for(client, language):
    page = client.get("/login/", headers={"accept-language": language})
    text = page.content.decode()
    assert '<html lang="zh-hans"' in text
    assert "忘记密码？" in text
    assert page["Content-Language"] == "zh-hans"


@pytest.mark.django_db
def test_a_page_speaks_english_to_those_who_ask_for_neither(client):
    assert '<html lang="en"' in client.get("/login/", headers={"accept-language": "fi,sv"}).content.decode()


@pytest.mark.django_db
def test_the_menus_choice_outlives_the_browsers_wish(client, alice, parrot, workers_client):
    client.force_login(alice)
    assert client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/chat/"})["Location"] == "/chat/"
    page = client.get("/chat/", headers={"accept-language": "en"}).content.decode()
    assert "今天想聊点什么？" in page
    assert 'value="en" lang="en"' in page

    client.post("/i18n/setlang/", {"language": "en"})
    assert "What is on your mind?" in client.get("/chat/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example"])
def test_the_menu_leads_to_no_other_site(client, next_page):
    answer = client.post("/i18n/setlang/", {"language": "en", "next": next_page}, HTTP_REFERER="/login/")
    assert "evil" not in answer["Location"]


@pytest.mark.django_db
def test_a_refusal_is_in_the_language_of_the_page(client, alice):
    client.force_login(alice)
    refused = client.post("/chat/files/", headers={"accept-language": "zh-hans"})
    assert refused.json()["error"]["message"] == "请选择一个文件。"
    talk = make_conversation(alice)
    make_turn(talk, "Hi", "Ho")
    page = client.get(f"/chat/{talk.pk}/", headers={"accept-language": "zh-hans"}).content.decode()
    assert "重新生成" in page
    assert "今天" in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("workers_client")
async def test_a_socket_speaks_the_language_of_its_page(alice, sign_in):
    page = Page(await sync_to_async(sign_in)(alice))
    cookies = dict(page.socket.scope["headers"])[b"cookie"] + b"; django_language=zh-hans"
    page.socket.scope["headers"] = [
        (name, cookies if name == b"cookie" else value) for name, value in page.socket.scope["headers"]
    ]
    await page.open()

    refused = await page.say(" ")
    await page.close()

    assert refused["message"] == "请先输入内容：消息为空。"


def test_the_api_speaks_english_to_everybody(client, db):
    answer = client.get("/v1/models", headers={"accept-language": "zh-hans"})
    assert not CHINESE.search(answer.content.decode())


@pytest.mark.django_db
def test_the_administration_names_everything_in_chinese(admin_client):
    index = admin_client.get("/admin/", headers={"accept-language": "zh-hans"})
    named = [str(name) for app in index.context["app_list"] for name in
             (app["name"], *(model["name"] for model in app["models"]))]  # fmt: skip
    assert len(named) > 30
    assert [name for name in named if not CHINESE.search(name)] == []


@pytest.mark.django_db
def test_the_administration_names_everything_in_english_as_before(admin_client):
    index = admin_client.get("/admin/", headers={"accept-language": "en"})
    named = {str(model["name"]) for app in index.context["app_list"] for model in app["models"]}
    assert {"Battles", "API keys", "Batches", "Leaderboard entries", "Daily statistics"} <= named
    assert "Conversations and battles" in {str(app["name"]) for app in index.context["app_list"]}


@pytest.mark.django_db
@pytest.mark.parametrize(("spoken", "offered"), [("zh-hans", "English"), ("en", "简体中文")])
def test_a_language_is_offered_by_its_own_name(client, spoken, offered):
    page = client.get("/login/", headers={"accept-language": spoken}).content.decode()
    button = re.search(r'<button[^>]*name="language"[^>]*>(.*?)</button>', page, re.DOTALL)
    assert button
    assert button[1].strip().endswith(offered)
