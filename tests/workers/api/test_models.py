"""`GET /v1/models` and `GET /v1/models/{id}`."""

import pytest

from tests.factories import make_chat_model
from tests.workers.api.conftest import error_of
from workers.services import catalog


def test_it_lists_the_published_chat_models_with_their_state(api, parrot):
    make_chat_model("asleep")
    make_chat_model("hidden", published=False)

    response = api.get("/v1/models")

    assert response.status_code == 200
    assert response.json() == {
        "object": "list",
        "data": [
            model("asleep", response.json()["data"][0]["created"], "offline"),
            {**model("parrot", int(parrot.created_at.timestamp()), "ready"), "max_model_len": 8192},
        ],
    }


def test_it_lists_nothing_when_there_is_nothing(api, parrot):
    parrot.delete()

    assert api.get("/v1/models").json() == {"object": "list", "data": []}


def test_an_alias_leads_to_its_chat_model(api, parrot):
    catalog.set_aliases(chat_model=parrot, names=["gpt-3.5-turbo"])
    catalog.set_aliases(chat_model=make_chat_model("hidden", published=False), names=["gpt-4"])

    assert api.get("/v1/models/gpt-3.5-turbo").json()["id"] == "parrot"
    assert api.get("/v1/models/gpt-4").status_code == 404


@pytest.mark.parametrize("path", ["org/sub/model-1.5", "org%2Fsub%2Fmodel-1.5"])
def test_a_name_may_contain_slashes_escaped_or_not(api, path):
    row = make_chat_model("org/sub/model-1.5")

    response = api.get(f"/v1/models/{path}")

    assert response.status_code == 200
    assert response.json() == model("org/sub/model-1.5", int(row.created_at.timestamp()), "offline")


@pytest.mark.parametrize(
    "path",
    ["nobody", "hidden", "parrot/", "PARROT", "%00", "parrot%00", "%ED%A0%BD", "%F0%9F%A6%9C", "a" * 3000],
)
def test_it_answers_404_for_a_model_that_is_not_there(api, path):
    make_chat_model("hidden", published=False)

    response = api.get(f"/v1/models/{path}")

    assert response.status_code == 404
    error = error_of(response)
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert len(error["message"]) < 400


def model(name: str, created: int, status: str) -> dict[str, str | int]:
    return {"id": name, "object": "model", "created": created, "owned_by": "chatsite", "status": status}
