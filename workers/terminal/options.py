"""What the terminal commands have in common: options for sampling, and an orderly end."""

import argparse
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Those of `add_sampling_options`, as keyword arguments of `defaults.manner`.
SAMPLING_OPTIONS = (
    "system",
    "temperature",
    "top_p",
    "max_tokens",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
)


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", metavar="TEXT", help="System prompt (default: the catalog's).")
    parser.add_argument(
        "--temperature", type=_temperature, metavar="T", help="0 to 2; 0 is greedy (default: the catalog's)."
    )
    parser.add_argument("--top-p", type=_top_p, metavar="P", help="Above 0, to 1 (default: the catalog's).")
    parser.add_argument(
        "--max-tokens", type=_max_tokens, metavar="N", help="Tokens of an answer at most (default: no limit)."
    )
    parser.add_argument("--top-k", type=_whole(1), metavar="K", help="Only the K likeliest tokens.")
    parser.add_argument(
        "--min-p",
        type=_between(0, 1),
        metavar="P",
        help="Only tokens P times as likely as the likeliest, 0 to 1.",
    )
    parser.add_argument(
        "--repetition-penalty", type=_between(0.01, 10), metavar="R", help="1 is none; more repeats less."
    )
    parser.add_argument(
        "--presence-penalty", type=_between(-2, 2), metavar="R", help="-2 to 2; above 0 for new subjects."
    )
    parser.add_argument(
        "--frequency-penalty", type=_between(-2, 2), metavar="R", help="-2 to 2; above 0 for new words."
    )
    parser.add_argument("--seed", type=_whole(0), metavar="N", help="The same answer to the same talk.")
    parser.add_argument(
        "--stop",
        action="append",
        type=_not_empty,
        default=[],
        metavar="TEXT",
        help="Ends an answer; may be given again.",
    )


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program by `SystemExit`, so that a running answer is stopped at its worker."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _temperature(text: str) -> float:
    return _number(text, 0.0, 2.0, "a number from 0 to 2")


def _top_p(text: str) -> float:
    number = _number(text, 0.0, 1.0, "a number above 0, at most 1")
    if number == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, at most 1")
    return number


def sampling_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was said with `add_sampling_options`, for `defaults.manner`."""
    return {**{name: options[name] for name in SAMPLING_OPTIONS}, "stop": tuple(options["stop"])}


def _between(low: float, high: float) -> Callable[[str], float]:
    return lambda text: _number(text, low, high, f"a number from {low} to {high}")


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return read


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an empty text ends nothing")
    return text


def _max_tokens(text: str) -> int:
    number = _number(text, 1, 1_000_000, "a whole number from 1 to 1,000,000")
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(number)


def _number(text: str, low: float, high: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:  # also when it is not a number
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return number
