"""`docs/operating.md` names every setting there is, and none that is not."""

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
GUIDE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\b(?:CHATSITE_[A-Z][A-Z_]*[A-Z]|DATABASE_URL|REDIS_URL|NO_COLOR)\b")
# Where the environment is read.
READERS = [
    ROOT / "bin/up",
    *sorted((ROOT / "chatsite/settings").glob("*.py")),
    *sorted((ROOT / "chatsite/supervisor").glob("*.py")),
    ROOT / "workers/management/commands/up.py",
]


def read_variables() -> set[str]:
    return {name for file in READERS for name in VARIABLE.findall(file.read_text(encoding="utf-8"))}


def documented_rows() -> dict[str, list[str]]:
    """Variable → cells of its row in a table of the guide."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|$", GUIDE, flags=re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def test_it_finds_the_variables_in_the_code():
    """The search itself works: three that are read in three different ways."""
    assert {"CHATSITE_DATA", "CHATSITE_NO_INSTALL", "DATABASE_URL"} <= read_variables()


def test_every_setting_has_a_row_in_the_guide():
    assert read_variables() - documented_rows().keys() == set()


def test_the_guide_names_no_setting_that_does_not_exist():
    assert documented_rows().keys() - read_variables() == set()
    assert set(VARIABLE.findall(GUIDE)) - read_variables() == set()


@pytest.mark.parametrize("option", sorted(set(re.findall(r'"(--[a-z-]+)"', (ROOT / "bin/up").read_text()))))
def test_every_option_of_up_is_in_the_guide(option):
    assert f"`{option}`" in GUIDE or f"bin/up {option}" in GUIDE


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("CHATSITE_QUEUE_LIMIT", settings.QUEUE_LIMIT),
        ("CHATSITE_RUNNING_REPLIES_PER_USER", settings.RUNNING_REPLIES_PER_USER),
        ("CHATSITE_GENERATION_TIMEOUT", settings.GENERATION_TIMEOUT),
        ("CHATSITE_TRUSTED_PROXIES", settings.TRUSTED_PROXIES),
        ("CHATSITE_TIME_ZONE", settings.TIME_ZONE),
    ],
)
def test_the_guide_tells_the_true_default(variable, default):
    assert (
        documented_rows()[variable][0] == f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    )


def test_every_command_of_the_guide_exists():
    from django.core.management import get_commands

    named = set(re.findall(r"manage\.py ([a-z_]+)", GUIDE))
    assert named - set(get_commands()) == set()


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if target.startswith("#"):
            headings = {
                re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
                for heading in re.findall(r"^#+ (.*)$", GUIDE, flags=re.MULTILINE)
            }
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (ROOT / "docs" / target.partition("#")[0]).exists(), target
