"""Make the pictures in docs/images: start the product, use it in Chromium as a person would, take screenshots.

.venv/bin/python docs/screenshots.py [OUTPUT FOLDER [FOLDER WITH LLMFAO'S FILES]]
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import django  # noqa: E402
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright  # noqa: E402

from tests.browser.conftest import CHROMIUM, FLAGS  # noqa: E402
from tests.flows.stack import SMOLLM2, Stack  # noqa: E402

DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
QUESTIONS = ("What is the capital of France?", "Write a Python function that adds two numbers.")


def log_in(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/login/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", stack.admin_password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stack.url}/chat/**")


def talk(page: Page, stack: Stack) -> str:
    """A short conversation with the real model; its address."""
    page.goto(f"{stack.url}/chat/")
    for number, question in enumerate(QUESTIONS, start=1):
        page.fill("#text", question)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "n => document.querySelectorAll('[data-status=finished]').length >= n",
            arg=number,
            timeout=120_000,
        )
    return page.url


def take(browser: Browser, stack: Stack, folder: Path) -> None:
    conversation = ""
    for scheme in ("light", "dark"):
        for name, viewport in (("", DESKTOP), ("-phone", PHONE)):
            context = browser.new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=1)
            page = context.new_page()
            log_in(page, stack)
            conversation = conversation or talk(page, stack)
            page.goto(conversation)
            page.wait_for_timeout(800)
            page.screenshot(path=folder / f"chat-{scheme}{name}.png")
            context.close()
    page = browser.new_page(viewport=DESKTOP)
    log_in(page, stack)
    pages = (
        ("keys", "/settings/keys/"),
        ("admin-workers", "/admin/workers/worker/"),
        ("api-reference", "/docs/api#createResponse"),
    )
    for name, path in pages:
        page.goto(stack.url + path)
        page.wait_for_timeout(500)
        page.screenshot(path=folder / f"{name}.png")


def take_answers(browser: Browser, stack: Stack, folder: Path) -> None:
    """What one does with an answer: see how sure each token was, and let another chat model answer as well."""
    page = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
    log_in(page, stack)
    page.goto(f"{stack.url}/chat/")
    page.select_option("#chat-model", SMOLLM2)
    page.click("#settings-button")
    page.check("#setting-probabilities")
    page.get_by_role("button", name="Done").click()
    page.fill("#text", "Name three planets.")
    page.keyboard.press("Enter")
    tokens = page.get_by_role("button", name="Tokens")
    tokens.wait_for(timeout=120_000)
    # They are stored a moment after the last word, and a second press hides them again.
    for _ in range(60):
        if page.locator(".token").first.is_visible():
            break
        tokens.click()
        page.wait_for_timeout(1000)
    page.locator(".token").nth(4).hover()
    page.wait_for_timeout(300)
    page.screenshot(path=folder / "chat-tokens.png")
    page.get_by_role("button", name="Another model").click()
    page.wait_for_timeout(300)
    page.screenshot(path=folder / "chat-another-model.png")


def battle(page: Page, stack: Stack, question: str) -> None:
    """Both answers of the two true models are there, and the vote is open."""
    page.goto(f"{stack.url}/arena/")
    terms = page.get_by_role("button", name="I accept")
    if terms.count():
        terms.click()
    page.fill("#text", question)
    page.locator("#send").click()
    page.get_by_role("button", name="Left is better").wait_for(timeout=300_000)


def take_battle(browser: Browser, stack: Stack, folder: Path) -> None:
    """Needs a stack with `--demo`."""
    page = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
    log_in(page, stack)
    battle(page, stack, "Why is the sky blue? Answer in two sentences.")
    page.screenshot(path=folder / "battle.png")
    page.get_by_role("button", name="Left is better").click()
    page.locator("#reveal").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "battle-revealed.png")
    page.goto(f"{stack.url}/arena/side-by-side/")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "side-by-side.png")
    phone = browser.new_context(viewport=PHONE, color_scheme="dark").new_page()
    log_in(phone, stack)
    battle(phone, stack, "What is the largest ocean?")
    phone.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    phone.wait_for_timeout(300)
    phone.screenshot(path=folder / "battle-phone.png")


def take_arena_admin(browser: Browser, stack: Stack, folder: Path) -> None:
    """What an operator sees of an imported battle, and of the days."""
    page = browser.new_context(viewport=DESKTOP).new_page()
    log_in(page, stack)
    page.goto(f"{stack.url}/admin/arena/battle/?source=llmfao")
    links = page.locator("#result_list tbody th a").evaluate_all("all => all.map((link) => link.href)")
    for link in links:
        page.goto(link)
        sides = page.locator(".dialogue__sides .dialogue__text").all_inner_texts()
        if sides and all(150 < len(text) < 700 for text in sides):  # one that shows something, and fits
            break
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "admin-battle-sides.png")
    page.set_viewport_size({"width": 1280, "height": 1050})
    page.goto(f"{stack.url}/admin/arena/dailystatistics/?days=7")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "admin-statistics.png")


def take_leaderboard(browser: Browser, stack: Stack, folder: Path, votes: Path) -> None:
    """`votes` is a folder with the files of https://github.com/dustalov/llmfao."""
    files = ("crowd-comparisons.csv", "--answers", "pairs-crowd.jsonl", "--models", "models.jsonl")
    arguments = [word if word.startswith("--") else str(votes / word) for word in files]
    stack.manage("arena", "import", *arguments, "--source", "llmfao", timeout=600)
    stack.manage(
        "shell", "-v", "0", "-c", "from arena.services import background; background.widen()", timeout=600
    )
    shots: list[tuple[str, ViewportSize, Literal["light", "dark"]]] = [
        ("", DESKTOP, "light"),
        ("-phone", PHONE, "dark"),
        ("-plots", DESKTOP, "light"),
        ("-category", DESKTOP, "dark"),
    ]
    for name, viewport, scheme in shots:
        page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
        log_in(page, stack)
        wishes = "category=coding" if name == "-category" else "style=controlled"
        page.goto(f"{stack.url}/leaderboard/?{wishes}")
        page.wait_for_timeout(1500)
        if name == "-plots":
            page.evaluate("document.querySelector('.board__plots').scrollIntoView(); scrollBy(0, -70)")
        page.screenshot(path=folder / f"leaderboard{name}.png")


def take_report(browser: Browser, folder: Path) -> None:
    """A report's folder, opened as a file. Its verdicts are made up; they show more than the default model would."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings.test")
    django.setup()
    from evaluation.report import files
    from evaluation.report import folder as reports
    from tests.evaluation.report.material import make_material

    material = make_material(title="Tides: smol, gemma, llama (made up)")
    with tempfile.TemporaryDirectory() as place:
        reports.write(material, Path(place, "report"), raw=files.raw(material))
        shots: list[tuple[str, str, ViewportSize, Literal["light", "dark"]]] = [
            ("", "index.html#wins", DESKTOP, "light"),
            ("-question", "questions/0001.html", DESKTOP, "dark"),
        ]
        for name, path, viewport, scheme in shots:
            page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
            page.goto(Path(place, "report").as_uri() + "/" + path)
            page.wait_for_timeout(300)
            page.screenshot(path=folder / f"evaluation{name}.png")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack("--demo")
    try:
        stack.wait_ready(600)  # whatever else the machine does
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            take_report(browser, folder)
            take(browser, stack, folder)
            take_answers(browser, stack, folder)
            if len(sys.argv) > 2:
                take_leaderboard(browser, stack, folder, Path(sys.argv[2]))
            # After the leaderboard: its vote would stand there.
            take_battle(browser, stack, folder)
            if len(sys.argv) > 2:
                take_arena_admin(browser, stack, folder)
            browser.close()
    finally:
        stack.close()


if __name__ == "__main__":
    main()
