import socket
from collections.abc import Iterator

import pytest

from tests.evaluation.support import write_suite


@pytest.fixture
def suite(tmp_path) -> str:
    """Three questions, five turns."""
    return write_suite(tmp_path)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens, kept from others: bound, so that connecting is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
