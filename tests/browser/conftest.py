"""Chromium for tests, driven by Playwright.

Playwright's synchronous API keeps an event loop running in the test's thread. So the browser lives as long as a module
and not as the session, or asynchronous tests behind it could not start their own loop; and Django is told that the
database may be used beside that loop.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# Pages are loaded while other tests use the machine as well.
expect.set_options(timeout=90_000)
CHROMIUM = os.environ.get("CHATSITE_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PHONE = (360, 740)
DESKTOP = (1440, 900)

MakePage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            yield browser
            browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def make_page(browser: Browser) -> Iterator[MakePage]:
    """`make_page(size=PHONE, dark=True)`: a page in a context of its own.

    The test fails at its end when a script broke or the Content-Security-Policy had to forbid something.
    """
    contexts: list[BrowserContext] = []
    broken: list[str] = []

    def make(*, size: tuple[int, int] = DESKTOP, dark: bool = False, **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            has_touch=size == PHONE,
            is_mobile=size == PHONE,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(90_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda message: (
                broken.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert not broken, f"scripts broke: {broken}"


@pytest.fixture
def page(make_page: MakePage) -> Page:
    """A light page of a desktop's size."""
    return make_page()
