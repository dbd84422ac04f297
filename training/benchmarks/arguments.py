"""The arguments of `manage.py benchmark train`: apart, since what it runs needs torch and its help does not."""

import argparse

from training.benchmarks.mixes import MIXES

HELP = "Supervised tokens/s of the training recipes ÷ FastChat's recipe and TRL."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [mix.name for mix in MIXES]
    parser.add_argument("--mix", nargs="+", choices=names, default=names, help="(default: all)")
    parser.add_argument(
        "--model",
        default="",
        help="A checkpoint; default: a Llama of 4 layers, 256 wide, with random weights.",
    )
    parser.add_argument("--max-length", type=int, default=512, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument(
        "--conversations", type=int, default=0, help="Of each mix; default: 48, of the shortest 96."
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--no-trl", action="store_true", help="Leave TRL out even if it is installed.")
