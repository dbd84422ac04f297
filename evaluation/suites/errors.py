"""What is wrong with a suite."""


class SuiteError(Exception):
    """Says in one sentence what is wrong (with file and line where there are any) and what helps."""
