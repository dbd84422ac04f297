"""Every answer that is held to a schema fits it: more than fifty schemas, a real model, no luck involved."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.workers.engines.conftest import SLOTS, Asked
from tests.workers.support import make_request
from workers.protocol import Constraint

CORPUS = json.loads((Path(__file__).parents[2] / "data" / "schemas.json").read_text(encoding="utf-8"))
AT_ONCE = 8
NAMES = list(CORPUS)
SHARES = [NAMES[begin::AT_ONCE] for begin in range(AT_ONCE)]


@pytest.mark.parametrize("share", range(AT_ONCE))
def test_every_answer_fits_its_schema(llama_cpp: Asked, share):
    """In eighths, so that a failure says about where. A hot model: it would not write JSON by itself."""
    from concurrent.futures import ThreadPoolExecutor

    def check(name: str) -> str:
        request = make_request(
            f"Make up an example of: {name}. Answer in JSON.",
            temperature=1.0,
            seed=7,
            max_tokens=160,
            constraint=Constraint("json_schema", json.dumps(CORPUS[name])),
        )
        answer = llama_cpp.answer(request)
        if answer.reason == "length":  # cut short, as OpenAI's would be
            return "cut"
        if answer.reason != "stop":
            return f"{name}: {answer.last}"
        error = jsonschema.Draft202012Validator(CORPUS[name]).iter_errors(json.loads(answer.text))
        return next((f"{name}: {answer.text} {each.message}" for each in error), "fits")

    with ThreadPoolExecutor(SLOTS) as threads:
        found = list(threads.map(check, SHARES[share]))

    assert set(found) <= {"fits", "cut"}, found
    assert found.count("cut") <= 2, "the schemas are small enough to be finished"


def test_the_corpus_is_large_and_well_formed():
    assert len(CORPUS) >= 50
    for schema in CORPUS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
