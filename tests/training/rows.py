"""Rows as files have them."""


def sharegpt(*texts: str, id: str = "one", **more):  # noqa: A002 - the field's name
    """A conversation whose messages take turns, the person first."""
    turns = [{"from": ("human", "gpt")[index % 2], "value": text} for index, text in enumerate(texts)]
    return {"id": id, "conversations": turns, **more}


def numbered(amount: int):
    """Conversations that have no five words in common."""
    return [
        sharegpt(
            f"What is {number} and {number + 7000}?",
            f"Number {number}: {number * 2 + 7000}.",
            id=f"c{number}",
        )
        for number in range(amount)
    ]
