"""The page `/docs/api`, which shows the OpenAPI document to people."""

import re

import pytest
from django.test import Client

from workers.api.reference import page
from workers.api.reference.document import routes

pytestmark = pytest.mark.django_db


def read(client: Client, address: str = "/docs/api") -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_everybody_may_read_every_operation():
    text = read(Client())

    for route in routes():
        for operation in route.operations.values():
            assert f'id="{operation.id}"' in text
            assert f'href="#{operation.id}"' in text


@pytest.mark.parametrize("address", ["/docs/api", "/docs/api/"])
def test_both_addresses_lead_to_it(address):
    assert "API reference" in read(Client(), address)


def test_it_has_no_script_or_style_that_the_policy_would_stop():
    text = read(Client())

    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)


def test_examples_name_this_site_and_a_chat_model_of_it(alice, parrot):
    client = Client()
    client.force_login(alice)

    text = read(client)

    assert "curl http://testserver/v1/chat/completions" in text
    assert "base_url=&quot;http://testserver/v1&quot;" in text
    assert "model=&quot;parrot&quot;" in text
    assert not re.search(r"BASE_URL|\bMODEL\b|\bKEY\b", text)


def test_visitors_do_not_learn_which_chat_models_there_are(parrot):
    text = read(Client())

    assert "parrot" not in text
    assert page.PLACEHOLDER in text


def test_python_examples_are_programs():
    for route in routes():
        for operation in route.operations.values():
            if "python" in operation.code:
                compile(operation.code["python"], operation.id, "exec")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["number", "null"], "minimum": 0, "maximum": 2}, "number, 0 to 2"),
        ({"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, "integer"),
        ({"enum": ["float", "base64", None]}, "float, base64"),
        ({"const": "auto"}, "auto"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "string or list of string"),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, "object"),
        ({}, "anything"),
    ],
)  # fmt: skip
def test_it_says_in_words_what_a_value_may_be(schema, words):
    assert page.kind_of(schema) == words
