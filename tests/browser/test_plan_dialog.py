"""The plan dialog: what is compared, what is offered, and that settings shown are settings run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio

pytestmark = pytest.mark.browser

TEXT = "The keeper of the lamp wrote the weather in a book, and the boat came with bread. " * 40


def open_plan(studio: Studio) -> Locator:
    studio.get("plan-open").click()
    return studio.page.locator("#plan-dialog")


def done(studio: Studio) -> None:
    studio.page.locator("#plan-dialog").get_by_role("button", name="Done").click()


def card(studio: Studio, mode: str) -> Locator:
    return studio.page.locator(f'.mode[data-mode="{mode}"]')


def selected(studio: Studio) -> dict[str, Any]:
    """Return what the worker last said of the selected mode, asked for or told in a run."""
    plans = studio.page.evaluate(
        "() => lab.events.map(e => e.result ?? e).filter(e => e.modes).map(e => e.modes)"
    )
    return next(mode for mode in plans[-1] if mode["selected"])


def test_compare_choose_mend_and_run(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    # the first plan measures the device
    expect(tiny.get("plan-eta")).to_have_attribute("data-value", re.compile(r"\d"))
    dialog = open_plan(tiny)

    # Side by side, the part sums on the screen, and whence the figures come.
    expect(card(tiny, "adapter").get_by_role("radio")).to_be_checked()
    expect(card(tiny, "adapter")).to_contain_text(re.compile(r"Fits.*Activations", re.DOTALL))
    expect(card(tiny, "full")).to_contain_text(re.compile(r"Not available|GPU memory"))
    expect(dialog).to_contain_text("quick measurement of this device")
    assert tiny.number("plan-memory") == selected(tiny)["bytes"]["total"]
    keep_screen(tiny.page, "plan")

    # A preset changes what is suggested, by keyboard too.
    tiny.page.locator("#preset-balanced").focus()
    steps = tiny.page.locator("#plan-steps").get_attribute("data-value") or ""
    assert steps
    tiny.page.keyboard.press("ArrowLeft")
    expect(tiny.page.locator("#preset-help")).to_contain_text("About a minute")
    expect(tiny.page.locator("#plan-steps")).not_to_have_attribute("data-value", steps)
    tiny.page.keyboard.press("ArrowRight")
    expect(tiny.page.locator("#plan-steps")).to_have_attribute("data-value", steps)
    done(tiny)

    # What cannot fit says so, and one click mends it: into the settings that are then run.
    limit = 0.0012  # 256 tokens at once take twice as much
    wanted = {"max_seq_len": 64, "micro_batch_size": 4, "gradient_checkpointing": "off", "steps": 4}
    tiny.change_settings(**wanted, device_memory_gb=limit)
    dialog = open_plan(tiny)
    expect(card(tiny, "adapter")).to_contain_text("Does not fit")
    expect(tiny.get("plan-coverage")).to_contain_text("It may not fit this device")
    card(tiny, "adapter").scroll_into_view_if_needed()
    keep_screen(tiny.page, "plan-does-not-fit")
    dialog.get_by_role("button", name="Make it fit").click()
    expect(card(tiny, "adapter")).to_contain_text("Fits")
    expect(dialog.get_by_role("button", name="Make it fit")).to_have_count(0)
    expect(tiny.get("plan-coverage")).not_to_contain_text("may not fit")
    planned = selected(tiny)
    assert planned["bytes"]["total"] <= limit * 1e9
    for name in ("max_seq_len", "micro_batch_size", "gradient_accumulation_steps", "rank"):
        shown = tiny.page.locator(f"#setting-{name}").input_value()
        assert shown == str(planned["settings"][name]), name
    done(tiny)
    tiny.train_to_end()
    ran = selected(tiny)
    assert ran["settings"] == planned["settings"]
    assert ran["bytes"] == planned["bytes"]
    assert ran["basis"] == "calibration"  # four steps were made, three of them counted
    dialog = open_plan(tiny)
    expect(dialog).to_contain_text("From real steps")
    tiny.page.locator("#plan-reset").click()
    done(tiny)


def test_more_than_half_an_hour_is_warned_of(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    tiny.change_settings(steps=100_000_000)
    dialog = open_plan(tiny)
    expect(dialog.locator(".warning")).to_contain_text("more than half an hour")
    dialog.get_by_role("button", name="Stop after").click()
    expect(dialog.locator(".warning")).to_have_count(0)
    assert tiny.number("plan-eta") <= 1800
    tiny.page.locator("#plan-reset").click()
    done(tiny)


def test_what_a_run_reads_is_told_before_it(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    tiny.change_settings(steps=2, max_seq_len=64, micro_batch_size=1)
    read = tiny.get("plan-coverage")
    part = re.compile(r"^Reads \d\.?\d? % of the text\. What stands in the rest is not learnt\.$")
    expect(read).to_have_text(part)
    dialog = open_plan(tiny)
    expect(card(tiny, "adapter")).to_contain_text(re.compile(r"Reads \d.* of the text"))
    expect(tiny.page.locator("#preset-help")).to_contain_text("of the text")
    # It is no longer the preset's run, and what the preset promises is not said of it.
    own = re.compile(r"^Balanced, with \d settings of your own\. Reads")
    expect(tiny.page.locator("#preset-help")).to_have_text(own)
    expect(dialog.locator(".warning")).to_contain_text("This run reads")
    dialog.get_by_role("button", name="Read all of it once").click()
    expect(read).to_have_text("Reads the text once.")
    expect(dialog.locator(".warning")).to_have_count(0)
    expect(tiny.page.locator("#plan-advice")).to_be_focused()  # the button that was pressed is gone
    assert selected(tiny)["passes"] == 1
    tiny.page.locator("#plan-reset").click()
    done(tiny)


def test_a_bad_value_is_told_at_its_field(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    # the first plan measures the device
    expect(tiny.get("plan-eta")).to_have_attribute("data-value", re.compile(r"\d"))
    expect(tiny.get("train")).to_be_enabled()
    tiny.change_settings(weight_decay="1,000")
    expect(tiny.get("train")).to_be_disabled()
    expect(tiny.page.locator("#train-hint")).to_contain_text("Weight decay is '1,000'")
    open_plan(tiny)
    assert tiny.page.locator("#plan-dialog .plan-body").evaluate("e => e.scrollTop") == 0
    field = tiny.page.get_by_role("textbox", name=re.compile("^Weight decay"))
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("without a sign between the thousands"))
    # Told where the person is: what has just been typed is in view with its sentence.
    field.fill("-3")
    field.blur()
    problem = tiny.page.locator("#setting-weight_decay-problem")
    expect(problem).to_contain_text("is -3")
    expect(problem).to_be_in_viewport()
    field.fill("0.5")
    field.blur()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    # What the text is too short for is told before Train is pressed, in the form's words.
    for name, value in (("eval_fraction", "0.0001"), ("eval_every", "2")):
        tiny.page.locator(f"#setting-{name}").fill(value)
        tiny.page.locator(f"#setting-{name}").blur()
    problem = tiny.page.locator("#setting-eval_every-problem")
    expect(problem).to_contain_text("raise Kept for evaluation (0.0001)")
    expect(tiny.get("train")).to_be_disabled()
    tiny.page.locator("#plan-reset").click()
    done(tiny)
    expect(tiny.get("train")).to_be_enabled()


def test_numbers_are_typed_and_shown_as_the_language_writes_them(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    expect(tiny.get("plan-eta")).to_have_attribute("data-value", re.compile(r"\d"))
    tiny.get("language").select_option("de")
    rate = tiny.page.locator("#setting-learning_rate")
    try:
        for typed, shown in (("0,002", "0,002"), ("0.003", "0,003")):
            tiny.change_settings(learning_rate=typed)
            expect(rate).to_have_value(shown)
            expect(tiny.get("train")).to_be_enabled()
    finally:
        tiny.get("language").select_option("en")
    tiny.change_settings(learning_rate="")
