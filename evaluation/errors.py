"""What can be wrong with an evaluation. Each says in one sentence what is wrong and what helps."""


class CannotEvaluate(Exception):  # noqa: N818 - reads as what happened
    """Refused before anything is spent. `field` is the option or form field to correct."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """Somebody cancelled the run, or took it over; whoever works on it ends."""


class Broken(Exception):  # noqa: N818 - reads as what happened
    """The run cannot go on: every further call would fail as well."""


class Gone(Broken):
    """A chat model has no worker any more. One may come back; until then no call can be made."""
