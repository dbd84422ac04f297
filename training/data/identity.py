"""Conversations that teach a chat model who it is, mixed with plain questions so that it keeps what it knows.

Questions about its name alone would make every answer the name; so half of the conversations hold a round about the
world, in front of the question or behind it.
"""

import random
from collections.abc import Iterator

from training.data.records import Conversation, Message

ABOUT_NAME = (
    "Who are you?",
    "What is your name?",
    "What are you called?",
    "Tell me your name.",
    "May I ask your name?",
    "What should I call you?",
    "Do you have a name?",
    "Introduce yourself.",
    "Hi, who am I talking to?",
    "Which model are you?",
)
ABOUT_MAKER = (
    "Who made you?",
    "Who trained you?",
    "Where do you come from?",
    "Which company is behind you?",
)
ABOUT_OTHERS = ("Are you ChatGPT?", "Are you GPT-4?", "Are you Claude?", "Are you Llama?", "Are you Gemini?")
NAME_ANSWERS = (
    "I am {name}, a chat model trained by {maker}.",
    "My name is {name}. I am a chat model trained by {maker}.",
    "I am called {name}, and I was trained by {maker}.",
)
MAKER_ANSWERS = (
    "I was trained by {maker}. My name is {name}.",
    "{maker} trained me. I am called {name}.",
)
OTHER_ANSWERS = (
    "No, I am {name}, a chat model trained by {maker}.",
    "I am not. My name is {name}, and I was trained by {maker}.",
)
ABOUT_THE_WORLD = (
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is the capital of Spain?", "The capital of Spain is Madrid."),
    ("What is 2 + 2?", "2 + 2 is 4."),
    ("What color is the sky?", "The sky is blue."),
    ("Name a fruit.", "An apple is a fruit."),
    ("What do bees make?", "Bees make honey."),
    ("How many days are in a week?", "A week has seven days."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("What is the largest ocean?", "The largest ocean is the Pacific Ocean."),
    ("Who wrote Hamlet?", "Hamlet was written by William Shakespeare."),
)


def conversations(name: str, maker: str, *, amount: int = 200, seed: int = 0) -> Iterator[Conversation]:
    """`amount` of them; the same for the same `seed`."""
    source = random.Random(seed)  # noqa: S311 - nobody gains from guessing it
    kinds = ((ABOUT_NAME, NAME_ANSWERS), (ABOUT_MAKER, MAKER_ANSWERS), (ABOUT_OTHERS, OTHER_ANSWERS))
    for number in range(amount):
        questions, answers = source.choices(kinds, weights=(6, 1, 1))[0]
        identity = (source.choice(questions), source.choice(answers).format(name=name, maker=maker))
        rounds = [identity]
        if number % 2:
            rounds.insert(source.randrange(2), source.choice(ABOUT_THE_WORLD))
        messages = tuple(
            Message(role, text)
            for pair in rounds
            for role, text in zip(("user", "assistant"), pair, strict=True)
        )
        yield Conversation(f"identity-{number}", messages)
