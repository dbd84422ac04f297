import json
from pathlib import Path

import jsonschema
import pytest

from workers.engines.examples import example

CORPUS = json.loads((Path(__file__).parents[2] / "data" / "schemas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in CORPUS if "pattern" not in name])
def test_the_example_of_a_schema_fits_it(name):
    schema = CORPUS[name]
    jsonschema.Draft202012Validator(schema).validate(example(schema))


def test_a_schema_without_an_end_is_refused():
    with pytest.raises(RecursionError):
        example({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]})
