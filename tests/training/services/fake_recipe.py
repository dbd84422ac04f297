"""Stands for a recipe: tells what it is given in FAKE_RECIPE, line by line, and leaves a folder. No torch."""

import argparse
import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("--progress", "--output_dir", "--learning_rate", "--num_train_epochs"):
        parser.add_argument(name)
    told, _ = parser.parse_known_args()
    plan = json.loads(os.environ["FAKE_RECIPE"])
    sys.stdout.write("the recipe begins\n")
    with Path(told.progress).open("a") as progress:
        for event in plan.get("events", []):
            progress.write(event if isinstance(event, str) else json.dumps(event) + "\n")
    if plan.get("hang"):
        Path(told.output_dir).parent.joinpath("pid").write_text(str(os.getpid()))
        time.sleep(600)
    if plan.get("finish", True):
        merged = Path(told.output_dir) / "merged"
        merged.mkdir(parents=True)
        (merged / "config.json").write_text("{}")
        if plan.get("adapter"):
            (merged.parent / "adapter_config.json").write_text("{}")
        manifest = {"data": {"tokens": 100}, "metrics": {"epoch": 2.0}}
        (merged.parent / "manifest.json").write_text(json.dumps(manifest))
    if plan.get("die"):
        sys.stderr.write("the disk is on fire\n")
    return int(plan.get("status", 0))


if __name__ == "__main__":
    sys.exit(main())
