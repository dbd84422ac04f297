"""Programs made for OpenAI, as they are: one journey each. Only the base URL and the key are ours."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

HI = "What is the weather in Rome?"


class City(BaseModel):
    name: str
    people: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"It is sunny in {city}."


def test_langchain_calls_a_tool_and_reads_a_structure(live):
    chat = pytest.importorskip("langchain_openai").ChatOpenAI
    messages = pytest.importorskip("langchain_core.messages")
    options: dict[str, Any] = {"base_url": live.base_url, "api_key": live.keys["alice"], "timeout": 60}

    caller = chat(model="caller", **options).bind_tools([weather])
    talk: list[Any] = [messages.HumanMessage(HI)]
    answer = caller.invoke(talk)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "parrot"})
    result = messages.ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
    assert caller.invoke([*talk, answer, result]).content == "It is sunny in parrot."

    parrot = chat(model="parrot", **options)
    assert isinstance(parrot.with_structured_output(City).invoke(HI), City)
    assert "".join(str(piece.content) for piece in parrot.stream(HI)) == HI


async def test_pydantic_ai_runs_a_tool_and_reads_a_structure(live):
    ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    provider = providers.OpenAIProvider(base_url=live.base_url, api_key=live.keys["bob"])

    asked: list[str] = []

    def weather_of(city: str) -> str:
        asked.append(city)
        return weather(city)

    caller = ai.Agent(models.OpenAIChatModel("caller", provider=provider), tools=[weather_of])
    answer = await caller.run(HI)
    assert asked == ["parrot"]
    assert answer.output == "It is sunny in parrot."

    # The structure is the argument of a tool that must be called.
    reader = ai.Agent(models.OpenAIChatModel("parrot", provider=provider), output_type=City)
    assert isinstance((await reader.run(HI)).output, City)
    await provider.client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("models", None, "list"),
        (
            "chat/completions",
            {"model": "parrot", "messages": [{"role": "user", "content": "Hello! What is your name?"}]},
            "chat.completion",
        ),
        (
            "completions",
            {"model": "parrot", "prompt": "Once upon a time", "max_tokens": 41, "temperature": 0.5},
            "text_completion",
        ),
        ("embeddings", {"model": "parrot", "input": "Hello world!"}, "list"),
    ],
)
def test_the_calls_that_fastchat_documents_are_answered(live, path, body, kind):
    """The four of its `docs/openai_api.md`, with curl as there; the key is what FastChat does not ask for."""
    command = ["curl", "-s", "--noproxy", "*", f"{live.base_url}/{path}"]
    command += ["-H", f"Authorization: Bearer {live.keys['alice']}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]

    answer = json.loads(subprocess.run(command, capture_output=True, timeout=600, check=True).stdout)

    assert answer["object"] == kind


def test_the_program_that_fastchat_documents_runs(live):
    """That of its `docs/openai_api.md` for the `openai` package: the module itself is the client."""
    program = """
import os, openai
openai.api_key = os.environ["KEY"]
openai.base_url = os.environ["ADDRESS"] + "/"
completion = openai.completions.create(model="parrot", prompt="Once upon a time", max_tokens=64)
print(completion.choices[0].text)
chat = openai.chat.completions.create(
    model="parrot", messages=[{"role": "user", "content": "Hello! What is your name?"}]
)
print(chat.choices[0].message.content)
stream = openai.chat.completions.create(
    model="parrot", messages=[{"role": "user", "content": "Hello! What is your name?"}], stream=True
)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
"""
    environment = {**os.environ, "KEY": live.keys["alice"], "ADDRESS": live.base_url}
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        timeout=600,
        check=True,
        text=True,
    )
    assert said.stdout.splitlines() == ["Once upon a time", *["Hello! What is your name?"] * 2]
