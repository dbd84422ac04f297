"""Writes `prompts.json` from FastChat's own code: `PYTHONPATH=/path/to/FastChat python make_prompts.py`.

Made with lm-sys/FastChat at 0e6d3e4 (Apache-2.0), whose `fastchat/conversation.py` needs nothing but Python.
"""

import json
from pathlib import Path
from typing import Any

# (system prompt or None for the template's own, turns beginning with the person's; the last one open).
TALKS: dict[str, tuple[str | None, list[str]]] = {
    "first": (None, ["Who are you?"]),
    "later": ("Be brief.", ["Two and two?", "Four.\n\nIs that all?", "你好, <b>café</b>\r\n\n"]),
}


def main() -> None:
    from fastchat.conversation import conv_templates  # type: ignore[import-not-found]

    formats = {}
    for name, template in conv_templates.items():
        if template.sep_style is None:  # yandexgpt: FastChat cannot write it either
            continue
        stops = template.stop_str or []
        formats[name] = {
            "stop": [stops] if isinstance(stops, str) else list(stops),
            "stop_token_ids": list(template.stop_token_ids or []),
            "prompts": {talk: prompt(template, *TALKS[talk]) for talk in TALKS},
        }
    target = Path(__file__).with_name("prompts.json")
    target.write_text(json.dumps(formats, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def prompt(template: Any, system: str | None, turns: list[str]) -> str:
    conversation = template.copy()
    conversation.messages = [list(message) for message in conversation.messages]
    if system is not None:
        conversation.set_system_message(system)
    for number, text in enumerate([*turns, None]):
        conversation.append_message(conversation.roles[number % 2], text)
    return str(conversation.get_prompt())


if __name__ == "__main__":
    main()
