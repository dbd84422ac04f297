"""What the rows of the published data sets look like. One function per shape: a mapping in, a `BattleRow` out.

Sources of the field names (facts, read in the programs and cards that publish them): FastChat's clean_battle_data.py
and its vote logs; the data sets lmsys/chatbot_arena_conversations (33k), lmarena-ai/arena-human-preference-55k, -100k
and -140k; dustalov/llmfao's crowd-comparisons.csv.
"""

import ast
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from arena.battle_files.rows import BadRow, BattleRow, Style, winner_of
from arena.ratings import style as styles
from arena.ratings.categories import Turn
from arena.ratings.style import StyleCounts

Row = Mapping[str, Any]
Parser = Callable[[Row], BattleRow | None]

LONGEST_NAME = 200  # characters of a chat model's name
VOTE_TYPES = ("leftvote", "rightvote", "tievote", "bothbad_vote")
_METADATA = ("sum_assistant_{}_tokens", "header_count_{}", "list_count_{}", "bold_count_{}")
_LANGUAGES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "portuguese": "pt", "italian": "it",
    "chinese": "zh", "japanese": "ja", "korean": "ko", "russian": "ru", "arabic": "ar", "dutch": "nl", "polish": "pl",
    "turkish": "tr", "vietnamese": "vi", "ukrainian": "uk", "swedish": "sv", "hindi": "hi", "persian": "fa",
    "indonesian": "id", "hebrew": "he", "greek": "el", "thai": "th",
}  # fmt: skip


def detect(columns: Row) -> str:
    """The name of the shape that a file's first row has."""
    has = set(columns)
    if "type" in has and {"state", "states"} & has:
        return "fastchat-log"
    if {"winner_model_a", "winner_model_b", "winner_tie", "model_a", "model_b"} <= has:
        return "preference-55k"
    if {"model_x", "model_y", "left", "right", "winner"} <= has:
        return "llmfao"
    if {"model_a", "model_b", "winner"} <= has:
        return "clean-battle"
    if {"left", "right", "winner"} <= has:
        return "plain"
    raise BadRow(
        "no known columns. Needed are model_a, model_b, winner (or left, right, winner); found "
        f"{', '.join(sorted(map(str, has)))[:200] or 'none'}."
    )


def clean_battle(row: Row) -> BattleRow:
    """FastChat's clean_battle rows, the 33k set, and the 100k and 140k sets, which share most names."""
    left, right = text(row, "model_a"), text(row, "model_b")
    turns = conversation(row.get("conversation_a"), row.get("conversation_b"))
    metadata = decoded(row.get("conv_metadata"))
    return BattleRow(
        left=left,
        right=right,
        winner=winner_of(row.get("winner")),
        voter=first(row, "judge", "voter", "user", "evaluation_session_id"),
        prompt=prompt_key(row, turns),
        external_id=first(row, "question_id", "id", "conversation_id"),
        when=moment(first_value(row, "tstamp", "timestamp")),
        anonymous=truth(row.get("anony", True), "anony"),
        language=language_code(row.get("language")),
        categories=categories(row),
        turns=turns,
        style=from_metadata(metadata) if metadata else from_turns(turns),
        weight=number(row.get("weight"), 1.0, "weight"),
    )


def preference_55k(row: Row) -> BattleRow:
    """Three columns of 0 and 1 instead of a winner; prompts and responses as lists in JSON."""
    flags = {
        name: number(row.get(name), 0.0, name) for name in ("winner_model_a", "winner_model_b", "winner_tie")
    }
    chosen = [name for name, value in flags.items() if value == 1]
    if len(chosen) != 1 or any(value not in (0, 1) for value in flags.values()):
        raise BadRow("exactly one of winner_model_a, winner_model_b and winner_tie must be 1.")
    prompts, lefts, rights = (strings(row.get(name)) for name in ("prompt", "response_a", "response_b"))
    turns = tuple(Turn(*said) for said in zip(prompts, lefts, rights, strict=False))
    return BattleRow(
        left=text(row, "model_a"),
        right=text(row, "model_b"),
        winner=winner_of(chosen[0].removeprefix("winner_")),
        prompt="\n".join(prompts)[:500],
        external_id=first(row, "id"),
        turns=turns,
        style=from_turns(turns),
    )


def llmfao(row: Row) -> BattleRow:
    """`left` and `right` are names; one item (id) has several votes of different workers."""
    voter = first(row, "worker")
    return BattleRow(
        left=text(row, "left"),
        right=text(row, "right"),
        winner=winner_of(row.get("winner")),
        voter=voter,
        prompt=first(row, "prompt"),
        external_id=f"{first(row, 'id')}/{voter}" if voter else first(row, "id"),
        extra={"item": first(row, "id"), "prompt": first(row, "prompt")},
    )


def plain(row: Row) -> BattleRow:
    """left, right, winner; if there are any: voter, prompt, both answers, category, weight, language, id, timestamp."""
    answers = first(row, "left_answer"), first(row, "right_answer")
    turns = (Turn(first(row, "prompt"), *answers),) if any(answers) else ()
    return BattleRow(
        left=text(row, "left"),
        right=text(row, "right"),
        winner=winner_of(row.get("winner")),
        voter=first(row, "voter", "judge", "user"),
        prompt=first(row, "prompt"),
        external_id=first(row, "id", "battle"),
        when=moment(first_value(row, "timestamp", "tstamp", "created_at")),
        anonymous=truth(first(row, "anony") or True, "anony"),
        language=language_code(row.get("language")),
        categories=categories(row),
        turns=turns,
        style=from_turns(turns),
        weight=number(row.get("weight"), 1.0, "weight"),
    )


def fastchat_log(row: Row) -> BattleRow | None:
    """One line of a FastChat server's log; None for lines that are no votes (chats, flags, thumbs)."""
    if row.get("type") not in VOTE_TYPES:
        return None
    states = row.get("states")
    if not isinstance(states, list) or len(states) != 2 or not all(isinstance(s, Mapping) for s in states):
        raise BadRow("states must hold the two conversations.")
    shown = [str(name or "") for name in (row.get("models") or ["", ""])][:2]
    hidden = [str(state.get("model_name") or "") for state in states]
    anonymous = all(name in ("", "Model A", "Model B") for name in shown)
    names = hidden if anonymous or not all(shown) else shown
    if not all(names):
        raise BadRow("states[…].model_name is empty, so nobody can say who fought.")
    said = [log_messages(state) for state in states]
    turns = conversation(*said)
    return BattleRow(
        left=names[0],
        right=names[1],
        winner=winner_of(row["type"]),
        voter=f"ip:{row['ip']}" if row.get("ip") else "",
        prompt="\n".join(turn.prompt for turn in turns)[:500],
        external_id=str(states[0].get("conv_id") or ""),
        when=moment(row.get("tstamp")),
        anonymous=anonymous,
        turns=turns,
        style=from_turns(turns),
    )


SHAPES: Mapping[str, Parser] = {
    "clean-battle": clean_battle,
    "preference-55k": preference_55k,
    "llmfao": llmfao,
    "plain": plain,
    "fastchat-log": fastchat_log,
}


# --- fields ---


def text(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(f"{field} must be the name of a chat model, got {str(value)[:60]!r}.")
    name = value.strip()
    if len(name) > LONGEST_NAME:
        raise BadRow(f"{field} is longer than {LONGEST_NAME} characters.")
    return name


def first_value(row: Row, *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def first(row: Row, *names: str) -> str:
    """The first of these columns that says something, as text."""
    value = first_value(row, *names)
    return "" if value is None else str(value)


def number(value: Any, default: float, name: str) -> float:
    if value in (None, ""):
        return default
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise BadRow(f"{name} must be a number, got {str(value)[:60]!r}.") from None
    if not 0.0 <= result < 1e12:
        raise BadRow(f"{name} must be finite and not negative, got {str(value)[:60]!r}.")
    return result


def truth(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    try:
        return known[str(value).strip().casefold()]
    except KeyError:
        raise BadRow(f"{name} must be true or false, got {str(value)[:60]!r}.") from None


def moment(value: Any) -> float | None:
    """Seconds since 1970 from a number, an ISO date or a datetime; a date without a zone is UTC."""
    if value in (None, ""):
        return None
    if isinstance(value, int | float):
        if not -6e10 < value < 1e11:  # the years that a datetime can be
            raise BadRow(f"the time must be seconds since 1970, got {value!r}.")
        return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    try:
        seconds = float(str(value))
    except ValueError:
        pass
    else:
        return moment(seconds)
    try:
        return moment(datetime.fromisoformat(str(value)))
    except ValueError:
        raise BadRow(
            f"the time must be seconds since 1970 or an ISO date, got {str(value)[:60]!r}."
        ) from None


def decoded(value: Any) -> Any:
    """A JSON object as it is, or as text in a cell of a CSV file."""
    if isinstance(value, str) and value.strip():
        try:
            return json.loads(value)
        except ValueError:
            try:
                return ast.literal_eval(
                    value
                )  # how pandas writes dictionaries; literals only, nothing is run
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                raise BadRow(f"neither JSON nor a Python literal: {value[:60]!r}.") from None
    return value or None


def strings(value: Any) -> list[str]:
    """A list of texts, itself or as JSON; a bare text is a list of one."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [value]
    try:
        made = decoded(value)
    except BadRow:
        return [str(value)]
    return ["" if item is None else str(item) for item in made] if isinstance(made, list) else []


def language_code(value: Any) -> str:
    """ "English", "en" and "en-US" are all en; an unknown name stays as it is, in small letters."""
    name = str(value or "").strip().casefold()
    return _LANGUAGES.get(name, name.split("-")[0] if len(name.split("-")[0]) == 2 else name)[:16]


def categories(row: Row) -> tuple[str, ...]:
    """Out of a `categories` column, or of the tags that the 100k and 140k sets carry."""
    given = row.get("categories") or row.get("category")
    if given:
        return (
            tuple(strings(given))
            if not isinstance(given, str) or given.startswith("[")
            else tuple(given.split(";"))
        )
    tags = decoded(row.get("category_tag"))
    found = []
    if row.get("is_code") in (True, "True", "true", 1):
        found.append("coding")
    if isinstance(tags, Mapping):
        named = {"math_v0.1": ("math", "maths"), "if_v0.1": ("if", "instruction_following"),
                 "creative_writing_v0.1": ("creative_writing", "creative")}  # fmt: skip
        for group, (flag, name) in named.items():
            if isinstance(tags.get(group), Mapping) and tags[group].get(flag) is True:
                found.append(name)
        criteria = tags.get("criteria_v0.1")
        # A hard prompt meets at least six of the seven criteria, as the public board counts them.
        if isinstance(criteria, Mapping) and sum(value is True for value in criteria.values()) >= 6:
            found.append("hard")
    return tuple(found)


def conversation(left: Any, right: Any) -> tuple[Turn, ...]:
    """Turns from two lists of {"role", "content"}; the prompts are the left side's."""
    sides = []
    for side in (left, right):
        messages = decoded(side)
        sides.append(pairs(messages) if isinstance(messages, list) else [])
    return tuple(Turn(prompt, answer, other[1]) for (prompt, answer), other in zip(*sides, strict=False))


def pairs(messages: list[Any]) -> list[tuple[str, str]]:
    """(prompt, answer) per turn; a system message belongs to nobody."""
    made: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise BadRow("a conversation must be a list of messages with role and content.")
        role, said = message.get("role"), content(message.get("content"))
        if role == "user":
            made.append((said, ""))
        elif role == "assistant" and made:
            made[-1] = (made[-1][0], "\n".join(part for part in (made[-1][1], said) if part))
    return made


def content(value: Any) -> str:
    """Plain text, or a list of parts of which the text ones count."""
    if isinstance(value, list):
        return "\n".join(
            str(part.get("text") or "") for part in value if isinstance(part, Mapping) and part.get("text")
        )
    return "" if value is None else str(value)


def log_messages(state: Mapping[str, Any]) -> list[dict[str, str]]:
    """FastChat's [[role, text], …] from `offset` on; users and the model take turns."""
    messages = (state.get("messages") or [])[int(state.get("offset") or 0) :]
    made = []
    for index, pair in enumerate(messages):
        said = pair[1] if isinstance(pair, list) and len(pair) == 2 else ""
        if isinstance(said, list):  # (text, images)
            said = said[0] if said else ""
        made.append({"role": "assistant" if index % 2 else "user", "content": str(said or "")})
    return made


def prompt_key(row: Row, turns: tuple[Turn, ...]) -> str:
    given = first(row, "prompt")
    return given or "\n".join(turn.prompt for turn in turns)[:500]


def from_metadata(metadata: Any) -> Style | None:
    """Counts from `conv_metadata`; a count may be a number or a dictionary of numbers (per header level, …)."""
    if not isinstance(metadata, Mapping):
        raise BadRow("conv_metadata must be an object.")
    if not all(name.format(side) in metadata for name in _METADATA for side in "ab"):
        return None
    sides = [StyleCounts(*(total(metadata[name.format(side)], name) for name in _METADATA)) for side in "ab"]
    return Style(*sides)


def total(value: Any, name: str) -> int:
    values = value.values() if isinstance(value, Mapping) else (value,)
    return int(sum(number(item, 0.0, f"conv_metadata.{name}") for item in values))


def from_turns(turns: tuple[Turn, ...]) -> Style | None:
    if not turns:
        return None
    return Style(
        styles.add([styles.count(turn.left) for turn in turns]),
        styles.add([styles.count(turn.right) for turn in turns]),
    )
