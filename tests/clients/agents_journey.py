"""`openai-agents` over the API: an agent that calls a tool, by responses and by chat completions. See README.md."""

import asyncio
import os

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

asked: list[str] = []


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    asked.append(city)
    return f"It is sunny in {city}."


async def main() -> None:
    set_tracing_disabled(True)  # it would be sent to OpenAI
    client = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
    for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
        asked.clear()
        agent = Agent(
            name="Guide",
            instructions="Use the tool.",
            model=kind(os.environ["MODEL"], openai_client=client),
            model_settings=ModelSettings(tool_choice="required", max_tokens=100),
            tools=[weather],
        )
        result = await Runner.run(agent, "What is the weather in Rome?")
        assert asked, "no tool was called"
        print(f"{kind.__name__}: {asked} {result.final_output!r}")

        streamed = Runner.run_streamed(agent, "What is the weather in Rome?")
        events = [event.type async for event in streamed.stream_events()]
        assert streamed.final_output, events
        print(f"{kind.__name__}, streamed: {len(events)} events, {streamed.final_output!r}")


asyncio.run(main())
