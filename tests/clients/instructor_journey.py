"""`instructor` over the API: structures out of an answer, by tools and by JSON schema. See README.md here."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    people: int


ASKED = [{"role": "user", "content": "Rome has 2800000 people."}]


def main() -> None:
    client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
    model = os.environ["MODEL"]
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        asking = instructor.from_openai(client, mode=mode)
        city = asking.chat.completions.create(
            model=model, messages=ASKED, response_model=City, max_tokens=200, max_retries=1
        )
        assert isinstance(city, City), city
        print(f"{mode.value}: {city!r}")


main()
