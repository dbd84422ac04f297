"""The socket's sign-in is the arena's; and no test leaves its language to the next one."""

from collections.abc import Iterator

import pytest
from django.utils import translation

from tests.arena.conftest import sign_in

__all__ = ["sign_in"]


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """A request of the test client leaves its language behind in the thread."""
    yield
    translation.deactivate()
