"""“Find” beside the learning rate: a search, its curve, and its suggestion in use."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_accessibility import serious

pytestmark = pytest.mark.browser

TEXT = "The keeper of the lamp wrote the weather in a book, and the boat came with bread. " * 40
SEARCH_MS = 180_000


def open_settings(studio: Studio) -> None:
    studio.get("plan-open").click()
    studio.page.locator("#plan-expert").evaluate("drawer => { drawer.open = true; }")


def done(studio: Studio) -> None:
    studio.page.locator("#plan-dialog").get_by_role("button", name="Done").click()


def test_find_look_and_use(tiny: Studio) -> None:
    page, find, words = tiny.page, tiny.get("find-rate"), tiny.get("rate-words")
    open_settings(tiny)
    expect(find).to_be_disabled()
    expect(page.locator("#find-rate-hint")).to_have_text("Add some text first.")
    done(tiny)
    tiny.paste(TEXT)
    tiny.wait_counted()
    tiny.change_settings(max_seq_len=256, micro_batch_size=4, steps=12)  # for long enough
    open_settings(tiny)
    expect(find).to_be_enabled(timeout=SEARCH_MS)
    expect(page.locator("#find-rate-hint")).to_contain_text("40 steps, about")

    # Stopped: what was seen is told, and no number is made of it.
    find.click()
    expect(words).to_contain_text(re.compile(r"Step \d+ of 40"), timeout=SEARCH_MS)
    expect(find).to_be_disabled()
    tiny.wait_status("training")
    expect(tiny.get("train")).to_be_disabled()
    tiny.get("rate-stop").click()
    tiny.wait_status("ready", SEARCH_MS)
    expect(words).to_contain_text("stopped")
    expect(tiny.get("rate-use")).to_be_hidden()

    # To its end: curve, table and suggestion say the same; one click takes it over.
    done(tiny)
    tiny.change_settings(max_seq_len=32, micro_batch_size=2)
    open_settings(tiny)
    expect(find).to_be_enabled(timeout=SEARCH_MS)
    before = len(tiny.events("rate-point"))
    find.click()
    use = tiny.get("rate-use")
    expect(use).to_be_visible(timeout=SEARCH_MS)
    expect(words).to_contain_text("The loss falls steepest at")
    points = tiny.events("rate-point")[before:]
    assert 10 < len(points) <= 40
    chart = tiny.get("rate-chart")
    expect(chart).to_have_attribute("data-points", str(len(points)))
    expect(chart.locator("canvas")).to_be_visible()
    rate = use.inner_text().removeprefix("Use ")
    expect(chart).to_have_attribute("aria-label", re.compile(f"falls steepest at {rate}$"))
    expect(page.locator("#rate-table tbody tr")).to_have_count(len(points))
    keep_screen(page, "find-learning-rate")
    page.locator("#rate-figure summary").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        assert serious(tiny) == []
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    use.click()
    expect(use).to_have_text(f"{rate} is in use")
    field = page.locator("#setting-learning_rate")
    expect(field).to_have_value(str(float(rate)))
    done(tiny)

    # The run takes it; other settings, and the curve is said to be of others.
    steps = tiny.train_to_end()
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert max(step["learning_rate"] for step in steps) == pytest.approx(float(rate))
    tiny.change_settings(rank=8)
    open_settings(tiny)
    expect(words).to_contain_text("That was with other settings")
    page.locator("#plan-reset").click()
    done(tiny)
