"""Requests that schemathesis makes up from the OpenAPI document, against a true server with scripted engines.

For each operation some that fit the document and some that do not. None may be a 5xx, an undeclared status, an answer
of another shape, or a body that the document forbids and the server takes; and without a key each is answered 401.
Always the same requests: the generator has no seed of its own and keeps no database. More of them, by hand:
`GENERATED_REQUESTS=500 pytest tests/workers/api/test_generated_requests.py`.
"""

import copy
import os
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from workers.api.describing import FORM
from workers.api.reference.document import document, routes

REQUESTS = int(os.environ.get("GENERATED_REQUESTS", "3"))
"""For each operation."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MODELS = ["parrot", "thinker", "caller", "nobody"]
OPERATIONS = [(route.path, method) for route in routes() for method in route.operations]
SETTINGS = hypothesis.settings(
    max_examples=REQUESTS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


@pytest.fixture(scope="module")
def schema(live) -> Any:
    described = document(live.base_url.removesuffix("/v1"))
    described = copy.deepcopy(described)  # its schemas are the endpoints' own
    # Names of chat models are not in the document; made-up ones would all be answered 404.
    for component in described["components"]["schemas"].values():
        if component.get("properties", {}).get("model", {}).get("maxLength"):
            component["properties"]["model"] = {"enum": MODELS}
    loaded = schemathesis.openapi.from_dict(described)
    loaded.config.update(base_url=described["servers"][0]["url"])
    loaded.config.generation.update(with_security_parameters=False)  # made-up keys would hide everything else
    return loaded


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_made_up_request_finds_a_gap(schema, live, path, method):
    operation = schema[path][method.upper()]
    public = operation.definition.raw.get("security") == []
    statuses: list[int] = []
    headers = {"authorization": f"Bearer {live.keys['alice']}"}

    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def fits(case: Any) -> None:
        response = case.call_and_validate(headers=headers, checks=CHECKS)
        statuses.append(response.status_code)
        if not public:
            assert case.call().status_code == 401

    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def does_not_fit(case: Any) -> None:
        # A form without any part never reaches Django: Twisted answers it with a bare 400.
        hypothesis.assume(case.media_type != FORM or case.body)
        case.call_and_validate(headers=headers, checks=CHECKS)

    fits()
    assert 401 not in statuses
    if operation.body or operation.query:
        does_not_fit()
