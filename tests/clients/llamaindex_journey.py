"""`llama-index-llms-openai-like` over the API: a chat, a stream, a tool, a structure. See README.md here."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

HI = "What is the weather in Rome?"
asked: list[str] = []


class City(BaseModel):
    name: str
    people: int


def weather(city: str) -> str:
    """The weather in a city."""
    asked.append(city)
    return f"It is sunny in {city}."


def main() -> None:
    llm = OpenAILike(
        model=os.environ["MODEL"],
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=8192,
        max_tokens=100,
    )
    assert llm.complete(HI).text
    talk = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content=HI)]
    whole = llm.chat(talk).message.content
    assert whole
    pieces = [piece.delta or "" for piece in llm.stream_chat(talk)]
    assert "".join(pieces), pieces
    print(f"chat: {whole!r}, in {len(pieces)} pieces")

    tool = FunctionTool.from_defaults(weather)
    answer = llm.predict_and_call([tool], user_msg=HI, tool_required=True)
    assert asked, answer
    print(f"tool: {asked} {answer.response!r}")

    city = llm.as_structured_llm(City).complete("Rome has 2800000 people.").raw
    assert isinstance(city, City), city
    print(f"structure: {city!r}")


main()
