"""What the tools for weights raise."""


class WeightsError(Exception):
    """One sentence that names the file or the tensor, and what helps."""
