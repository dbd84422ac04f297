"""Moderations: the site's own moderators, asked over the API."""

import pytest

from arena.models import BlockedPhrase
from arena.moderation.findings import Finding
from tests.workers.api.conftest import error_of


def flag_violence(text: str) -> list[Finding]:
    """A moderator of a site's own."""
    return [Finding("Flagged as violence, hate", text, refuse=True)] if "fight" in text else []


def results(api, value):
    answer = api.post("/v1/moderations", {"input": value})
    assert answer.status_code == 200
    assert answer.json()["id"].startswith("modr-")
    return answer.json()["results"]


def test_a_blocked_phrase_is_flagged(api):
    BlockedPhrase.objects.create(phrase="bad word")

    clean, found = results(api, ["a fine day", "such a BAD  word here"])

    assert (clean["flagged"], found["flagged"]) == (False, True)
    assert found["categories"]["policy"] is True
    assert found["category_scores"]["policy"] == 1.0
    assert not any(clean["categories"].values())
    assert {"hate", "violence", "self-harm/intent"} <= set(clean["categories"])


def test_a_moderator_of_the_sites_own_names_openais_categories(api, settings):
    settings.ARENA_MODERATORS = [f"{__name__}.flag_violence"]

    found = results(api, "a fight")[0]

    assert [name for name, flagged in found["categories"].items() if flagged] == ["hate", "violence"]


def test_parts_are_one_text(api):
    BlockedPhrase.objects.create(phrase="bad word")

    assert len(results(api, [{"type": "text", "text": "bad"}, {"type": "text", "text": "word"}])) == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 1}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [{"type": "image_url", "image_url": {"url": "x"}}]}, "input[0].type"),
        ({"input": "a", "model": 1}, "model"),
        ({"input": "a", "extra": 1}, "extra"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(api, body, param):
    refused = api.post("/v1/moderations", body)

    assert refused.status_code == 400
    assert error_of(refused)["param"] == param
