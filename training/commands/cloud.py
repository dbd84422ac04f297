"""`manage.py train cloud`: a recipe's command line as a SkyPilot task."""

import re
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from training import cloud

HELP = "Write a SkyPilot task that runs a recipe on rented machines and resumes from a bucket."
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
"""What SkyPilot and every cloud accept."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--name", default="chatsite-train", help="Of the job, and of its folder in the bucket."
    )
    parser.add_argument("--bucket", required=True, help="Where checkpoints and result go; made if need be.")
    parser.add_argument(
        "--store", choices=cloud.STORES, default="", help="Default: that of the chosen cloud."
    )
    parser.add_argument("--accelerators", default="A100:1", help="Of each machine (default: %(default)s).")
    parser.add_argument("--nodes", type=int, default=1, help="Machines (default: %(default)s).")
    parser.add_argument("--infra", default="", help="aws, gcp/us-central1, …; default: the cheapest.")
    parser.add_argument("--disk", type=int, default=256, metavar="GB", help="(default: %(default)s)")
    parser.add_argument("--on-demand", action="store_true", help="Dearer machines that nobody takes away.")
    parser.add_argument("--out", type=Path, default=None, help="File to write; default: print it.")
    parser.add_argument(
        "recipe",
        nargs="+",
        metavar="-- RECIPE ARGUMENTS",
        help=f"{', '.join(cloud.RECIPES)}, and its arguments as they work here, without --output_dir.",
    )


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    """Raises `CommandError`."""
    _check(options)
    _check_recipe(options["recipe"][0], options["recipe"][1:])
    machines = cloud.Machines(
        accelerators=options["accelerators"],
        nodes=options["nodes"],
        spot=not options["on_demand"],
        infra=options["infra"],
        disk_gb=options["disk"],
    )
    try:
        task = cloud.task(
            options["recipe"],
            name=options["name"],
            machines=machines,
            bucket=cloud.Bucket(options["bucket"], options["store"]),
            product=Path(settings.BASE_DIR),
        )
    except cloud.BadCommand as error:
        raise CommandError(str(error)) from None
    target: Path | None = options["out"]
    launch = f"sky jobs launch {target or 'FILE'}"
    text = cloud.to_yaml(task, heading=f"Start it with: {launch}\nLook at it with: sky jobs queue")
    if target is None:
        out.write(text, ending="")
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--out: {target} cannot be written: {error.strerror}.") from None
    out.write(f"{target} is written. Start it with: {launch}")


def _check(options: dict[str, Any]) -> None:
    for option in ("name", "bucket"):
        if not NAME.fullmatch(options[option]):
            raise CommandError(
                f"--{option}: {options[option]!r} must be of small letters, digits and hyphens, 42 at most."
            )
    if not re.fullmatch(r"[A-Za-z0-9-]+(:\d+)?", options["accelerators"]):
        raise CommandError("--accelerators: write a name and how many of them, such as A100:4.")
    if options["nodes"] < 1 or options["disk"] < 50:
        raise CommandError("--nodes must be at least 1, --disk at least 50.")


def _check_recipe(name: str, arguments: list[str]) -> None:
    """As far as that can be known here: without transformers nothing can, and no GPU need be here."""
    if name not in cloud.RECIPES:
        return  # it is told below
    try:
        from training.recipes import common

        recipe = import_module(f"training.recipes.{name}")
    except ImportError:
        return
    if problem := common.misunderstood(arguments, **recipe.ARGUMENTS):
        raise CommandError(f"{name}: {problem}")
