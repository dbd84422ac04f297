"""Why a recipe does not start."""


class Refusal(Exception):  # noqa: N818 - reads as what happened
    """One sentence with the cause and the remedy. `field` is the argument to change."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field
