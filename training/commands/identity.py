"""manage.py data identity"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from training import files
from training.commands.common import whole
from training.data import formats, identity

HELP = "Write conversations that teach a model its name, mixed with plain questions."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="What the model shall call itself.")
    parser.add_argument("--maker", required=True, help="Who trained it.")
    parser.add_argument("--amount", type=whole(1), default=200, help="How many conversations (200).")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", dest="target_format", choices=("sharegpt", "messages"), default="sharegpt")


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    for field in ("name", "maker"):
        if not options[field].strip():
            raise CommandError(f"--{field} must not be empty.")
    made = identity.conversations(
        options["name"].strip(), options["maker"].strip(), amount=options["amount"], seed=options["seed"]
    )
    with files.writing(options["out"]) as target:
        for conversation in made:
            target.write(formats.write(conversation, options["target_format"]))
    out.write(f"{options['amount']} conversations written to {options['out']}.")
