"""A fine-tuning job from the admin, in Chromium: started by its form, watched, and stopped in the middle."""

import json

import pytest
from playwright.sync_api import FilePayload, expect

from tests.flows.browsing import Windows, log_in
from tests.flows.stack import SMOLLM2, Stack, skip_without, until
from training.data import formats
from training.data.identity import conversations

skip_without("torch", "peft")

pytestmark = pytest.mark.browser

PATIENCE = 300_000
"""Milliseconds: a busy machine needs a while to import torch."""


def examples() -> FilePayload:
    rows = conversations("Pippin", "my team", amount=40, seed=1)
    lines = b"".join(json.dumps(formats.write(row, "messages")).encode() + b"\n" for row in rows)
    return {"name": "identity.jsonl", "mimeType": "application/jsonl", "buffer": lines}


def test_a_job_is_started_watched_and_cancelled_in_the_admin(stack: Stack, windows: Windows):
    operator = windows.open(log_in(stack, "admin", stack.admin_password), "/admin/training/job/add/")
    page = operator.page
    expect(page.locator(".live-notice")).to_have_count(0)
    page.get_by_label("Chat model to teach").select_option(label=SMOLLM2)
    page.get_by_label("Part of its name").fill("pippin")
    page.locator("input[type=file]").set_input_files(examples())
    page.get_by_role("button", name="Start").click()

    state = page.locator("#live-job .job__head .job-state")
    expect(state).to_have_text("Running", timeout=PATIENCE)
    # The page fetches itself: the recipe has read the data, and says what it will need.
    expect(page.locator("#live-events")).to_contain_text("It needs about", timeout=PATIENCE)
    [(name,)] = stack.rows("SELECT public_id FROM training_job WHERE status = 'running'")
    recipe = stack.part(name)
    assert recipe is not None

    page.get_by_role("button", name="Cancel for good").click()

    expect(state).to_have_text("Cancelled", timeout=PATIENCE)
    expect(page.locator(".job__buttons")).to_have_count(0)
    until(lambda: stack.part(name) is None, "the end of the recipe's process")
    assert page.url.endswith("/change/")
