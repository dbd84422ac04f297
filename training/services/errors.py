"""What can be wrong with a job."""


class Untrainable(Exception):  # noqa: N818 - reads as what happened
    """The job cannot be trained as it is. The text is a sentence for the person; `param` names what to change."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
