"""Which categories a battle belongs to, by rules on its text. Quick, explainable, and the same on every machine.

Rules miss subtle cases that a judge model would see; they never need one. Every rule can say what it saw (`evidence`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

LONG_TOKENS = 500  # of the prompts together, as the public boards define a long query
_TEXT_LIMIT = 20_000  # characters of a prompt that are looked at


class Turn(NamedTuple):
    prompt: str
    left: str
    right: str


class Labels(NamedTuple):
    """`evidence`: per category, the words that decided it."""

    language: str
    categories: tuple[str, ...]
    evidence: dict[str, str]


def label(turns: Sequence[Turn]) -> Labels:
    """The language of the first prompt, and all categories that the battle belongs to, in a fixed order."""
    prompts = [turn.prompt[:_TEXT_LIMIT] for turn in turns]
    text = "\n".join(prompts)
    answers = "\n".join(side[:_TEXT_LIMIT] for turn in turns for side in (turn.left, turn.right))
    evidence: dict[str, str] = {}
    for name, rule in RULES:
        seen = rule(prompts, text, answers)
        if seen:
            evidence[name] = seen
    return Labels(language(prompts[0] if prompts else ""), tuple(evidence), evidence)


# --- language ---------------------------------------------------------------------------------------------------------

_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CJK": "zh", "CYRILLIC": "ru", "ARABIC": "ar", "HEBREW": "he",
    "GREEK": "el", "THAI": "th", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "GEORGIAN": "ka", "ARMENIAN": "hy",
}  # fmt: skip
# Frequent short words that tell languages of one script apart.
_WORDS = {
    "en": "the of and to in is that it for was on are with as at be this have from or what how you my an write explain "
    "can do does why which give me please create tell list who about make",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für wie was ich du bitte schreibe erkläre kannst "
    "warum im dem des auch oder",
    "fr": "le la les et est un une des du que qui dans pour pas sur avec ce cette je vous comment quel quelle écris "
    "explique pourquoi au aux moi",
    "es": "el la los las y es un una de que en por para con no se como qué cómo del al escribe explica puedes cuál lo "
    "mi su",
    "pt": "o a os as e é um uma de que em por para com não se como do da no na escreva explique você qual dos das",
    "it": "il lo la gli e è un una di che in per con non si come del della scrivi spiega puoi quale sono dei nel",
    "nl": "de het een en is van niet dat in op te voor met zijn wat hoe ik je schrijf leg uit kan waarom aan",
    "pl": "i w na nie się z do to jest że jak o co napisz wyjaśnij czy dla po od",
    "sv": "och är en ett det att som på för inte med jag du av skriv förklara hur vad kan den till",
    "tr": "ve bir bu için ne nasıl ile da de mi olan gibi yaz açıkla çok daha",
    "vi": "và là của có không một cho những các được trong này hãy viết thế nào",
    "id": "yang dan di ini itu dengan untuk tidak dari apa bagaimana adalah buat tuliskan jelaskan saya",
}
_VOCABULARY = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_TOO_COMMON = ["some", "any", "there", "their", "them", "these", "then", "than", "out", "more"]
STOP_WORDS = frozenset(_TOO_COMMON).union(*_VOCABULARY.values())
"""Words that say nothing about what a text is about."""
_UKRAINIAN = re.compile("[іїєґ]", re.IGNORECASE)
_PERSIAN = re.compile("[پچژگ]")


def language(text: str) -> str:
    """A two-letter code, or "unknown" for code, numbers and languages that are not in the lists."""
    sample = _without_code(text)[:2000]
    letters = [character for character in sample if character.isalpha()]
    if not letters:
        return "unknown"
    scripts = Counter(unicodedata.name(character, "?").split(" ")[0].split("-")[0] for character in letters)
    # Japanese mixes its own letters with Chinese ones, so a fifth of them decides.
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0.2 * len(letters):
        return "ja"
    script = scripts.most_common(1)[0][0]
    if script == "CYRILLIC" and _UKRAINIAN.search(sample):
        return "uk"
    if script == "ARABIC" and _PERSIAN.search(sample):
        return "fa"
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    return _latin(sample) if script == "LATIN" else "unknown"


def _latin(sample: str) -> str:
    words = re.findall(r"[^\W\d_]+", sample.casefold())
    hits = {code: sum(word in known for word in words) for code, known in _VOCABULARY.items()}
    best = max(hits, key=lambda code: hits[code])
    return best if hits[best] >= max(1, 0.08 * len(words)) else "unknown"


# --- rules: each gets the prompts, all prompts as one text, and all answers; it returns what it saw, or "" ---

Rule = Callable[[Sequence[str], str, str], str]

_CODE_WORDS = re.compile(
    r"\b(python|javascript|typescript|java|c\+\+|c#|rust|golang|sql|html|css|bash|shell script|regex|"
    r"regular expression|react|django|numpy|pandas|api endpoint|unit test|stack trace|traceback|compiler?|refactor|"
    r"debug|source code|function that (?:takes|returns)|algorithm in|pull request|kubernetes|dockerfile|"
    r"git (?:commit|rebase|merge))(?!\w)",
    re.IGNORECASE,
)
_CODE_SHAPE = re.compile(
    r"```|\bdef \w+\(|\bclass \w+[:({]|#include\s*<|\bpublic static\b|\bSELECT\b.+\bFROM\b|=>\s*\{|\bfunction\s+\w*\(|"
    r"console\.log|import \w+|</\w+>|\b\w{1,60}\(\w{0,60}\)\s?\{",
)
_MATHS = re.compile(
    r"\b(solve|integral|integrate|derivative|differentiate|equation|theorem|proof|prove that|probability (?:of|that)|"
    r"matrix|eigenvalue|polynomial|factorial|prime numbers?|modulo|logarithm|trigonometr\w+|geometry|calculus|algebra|"
    r"arithmetic|how many .+ (?:left|remain|in total)|square root|percent(?:age)? of|word problem)\b",
    re.IGNORECASE,
)
_MATHS_SHAPE = re.compile(
    r"\\(?:frac|sum|int|sqrt|begin\{)|\$[^$\n]+\$|\d\s*[-+*/^×÷=]\s*\d|\b[xyz]\s*[\^=]\s*-?\d|[∑∫√≤≥≠π∞]"
)
_CREATIVE = re.compile(
    r"\b(poem|haiku|sonnet|limerick|lyrics|song|rap about|short story|story about|tale|fairy ?tale|novel|screenplay|"
    r"dialogue|monologue|fan ?fiction|script for|slogan|tagline|roleplay|role-play|joke|pun|metaphor|in the style of|"
    r"imagine (?:you|that|a)|fictional|world-?building|creative)\b",
    re.IGNORECASE,
)
_INSTRUCTIONS = re.compile(
    r"\b(exactly|at (?:least|most)|no more than|fewer than|between) (?:\w+ )?(?:\d+|one|two|three|four|five|six|seven|"
    r"eight|nine|ten|twelve|twenty|fifty|hundred)\b|\b(\d+|three|four|five|ten) (?:words|sentences|paragraphs|"
    r"bullet|bullets|points|lines|items|steps)\b|\b(?:must|do not|don't|without|avoid|never) (?:\w+ ){0,3}(?:use|using|"
    r"mention|include|including|contain|start|end|exceed|letter|word)|\b(?:format|answer|respond|reply|output|return)\b.{0,40}"
    r"\b(?:as|in|with|only)\b.{0,20}\b(?:json|yaml|csv|xml|table|markdown|bullet|list|upper ?case|lower ?case|"
    r"yes or no)|"
    r"\bstep[- ]by[- ]step\b|\beach (?:line|sentence|word|paragraph) (?:must|should|starts?|begins?|ends?)",
    re.IGNORECASE,
)
_REAL = re.compile(
    r"\b(design|implement|analy[sz]e|optimi[sz]e|evaluate|compare|diagnose|plan|estimate|derive|debug|architecture|strategy|"
    r"trade-?offs?|root cause|step[- ]by[- ]step|explain (?:why|how)|prove|given (?:the|that|a)|such that|constraints?|"
    r"suppose|assume|production|deploy|legal|medical|clinical|contract|financial|statistical|hypothesis)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) sorry,? but|I can(?:no|')t (?:help|assist|do that|provide)|as an AI(?: language)? model|"
    r"I(?:'m| am) (?:not able|unable) to)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def _coding(_prompts: Sequence[str], text: str, answers: str) -> str:
    found = _first(_CODE_SHAPE, text) or _first(_CODE_WORDS, text)
    # Code in both answers is a request for code, however it was worded.
    return found or ("code in the answers" if answers.count("```") >= 4 else "")


def _maths(_prompts: Sequence[str], text: str, _answers: str) -> str:
    prose = _without_code(text)
    return _first(_MATHS_SHAPE, prose) or _first(_MATHS, prose)


def _long(_prompts: Sequence[str], text: str, _answers: str) -> str:
    tokens = about_tokens(text)
    return f"about {tokens} tokens" if tokens >= LONG_TOKENS else ""


def _hard(prompts: Sequence[str], text: str, answers: str) -> str:
    """At least three of: specific, technical, several demands, reasoning asked for, long enough to hold a problem."""
    signs = {
        "reasoning": len({match.casefold() for match in _REAL.findall(text)}) >= 2,
        "technical": bool(_coding(prompts, text, "") or _maths(prompts, text, answers)),
        "constraints": bool(_INSTRUCTIONS.search(text)),
        "detail": about_tokens(text) >= 60,
        "several demands": text.count("?") + len(re.findall(r"^[ \t]*(?:[-*]|\d+[.)])\s", text, re.MULTILINE))
        >= 2,
        "specific": len(re.findall(r"\d+(?:\.\d+)?|\b[A-Z]{2,}\b|`[^`]+`", text)) >= 3,
    }
    present = [name for name, holds in signs.items() if holds]
    return ", ".join(present) if len(present) >= 3 else ""


def _following(_prompts: Sequence[str], text: str, _answers: str) -> str:
    return _first(_INSTRUCTIONS, text)


def _creative(_prompts: Sequence[str], text: str, _answers: str) -> str:
    return _first(_CREATIVE, _without_code(text))


def _multi_turn(prompts: Sequence[str], _text: str, _answers: str) -> str:
    return f"{len(prompts)} turns" if len(prompts) > 1 else ""


def _refused(_prompts: Sequence[str], _text: str, answers: str) -> str:
    return _first(_REFUSAL, answers)


RULES: tuple[tuple[str, Rule], ...] = (
    ("coding", _coding),
    ("maths", _maths),
    ("long", _long),
    ("hard", _hard),
    ("instruction_following", _following),
    ("creative", _creative),
    ("multi_turn", _multi_turn),
    ("refusal", _refused),
)
CATEGORIES = tuple(name for name, _ in RULES)


def about_tokens(text: str) -> int:
    """A token is about four letters of an alphabet, or one sign of Chinese, Japanese or Korean."""
    wide = sum(
        1 for character in text if "\u2e80" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7af"
    )
    return wide + -(-(len(text) - wide) // 4)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(0)[:60] if found else ""


def _without_code(text: str) -> str:
    return _FENCE.sub(" ", text)
