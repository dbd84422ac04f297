import pytest

from tests.evaluation.support import write_suite


@pytest.fixture
def suite(tmp_path) -> str:
    """Three questions, five turns."""
    return write_suite(tmp_path)
