"""The device's dialog: what it is, what it measures, whether it computes rightly, the report."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, expect

from app.checks.cases import CASES
from tests.browser.conftest import Site, new_context, watch
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_accessibility import serious

SECRET = "a secret that belongs in no report"
SLOW_MS = 120_000


def opened(studio: Studio) -> Locator:
    """Open the dialog by keyboard and wait for the measurements."""
    studio.get("device-open").focus()
    studio.page.keyboard.press("Enter")
    dialog = studio.get("device-dialog")
    expect(dialog.locator("#device-figures")).to_contain_text("GB/s", timeout=SLOW_MS)
    expect(studio.get("device-check")).to_be_enabled(timeout=SLOW_MS)
    return dialog


def closed(studio: Studio) -> None:
    studio.page.keyboard.press("Escape")
    expect(studio.get("device-dialog")).to_be_hidden()
    expect(studio.get("device-open")).to_be_focused()


def test_a_device_is_described_measured_and_reported(tiny: Studio) -> None:
    page = tiny.page
    tiny.paste(SECRET)
    dialog = opened(tiny)
    expect(dialog.locator("#device-figures")).to_contain_text(re.compile(r"\d GFLOP/s"))
    dialog.evaluate("d => d.querySelectorAll('details').forEach(each => { each.open = true; })")
    for words in ("swiftshader", "Largest buffer", "shader-f16", "linear_wide", "Held by this"):
        expect(dialog).to_contain_text(re.compile(words, re.IGNORECASE))

    # The clipboard is refused here: the report is selected instead.
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(Error('no')); }")
    tiny.get("device-copy").focus()
    page.keyboard.press("Enter")
    expect(tiny.get("device-note")).to_contain_text("selected")
    box = tiny.get("device-report")
    expect(box).to_be_focused()
    report = box.input_value()
    selected = box.evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)")
    assert selected == report
    for words in ("| build", "HeadlessChrome", "GFLOP/s", "## Limits", "max_buffer_bytes"):
        assert words in report
    assert SECRET not in report
    assert "tiny" not in report  # nor the name of a file

    page.evaluate("() => { navigator.clipboard.writeText = async (it) => { lab.copied = it; }; }")
    tiny.get("device-copy").click()
    expect(tiny.get("device-note")).to_have_text("Copied. It holds nothing that you typed.")
    assert page.evaluate("lab.copied").startswith("# LoRA Lab: this device")
    closed(tiny)
    tiny.paste("")


def test_a_quick_check_can_be_stopped_and_ends_in_a_table(tiny: Studio) -> None:
    page = tiny.page
    dialog = opened(tiny)
    tiny.get("device-check").focus()
    page.keyboard.press("Enter")
    expect(tiny.get("device-at")).to_have_text(re.compile(r"^\d+ of \d+: \w+, ."), timeout=SLOW_MS)
    expect(tiny.get("device-stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(tiny.get("device-verdict")).to_contain_text("Stopped after", timeout=SLOW_MS)
    expect(tiny.get("device-check")).to_be_focused()
    assert len(tiny.events("self-check-progress")) < len(CASES)

    page.keyboard.press("Enter")
    expect(tiny.get("device-at")).to_contain_text("left.", timeout=SLOW_MS)
    expect(tiny.get("device-verdict")).to_contain_text(
        f"All {len(CASES)} operations agree", timeout=SLOW_MS
    )
    rows = tiny.get("device-results").locator("tbody tr")
    assert rows.count() == len(CASES)
    expect(rows.filter(has_text="linear_backward")).to_contain_text(re.compile(r"\de-\d+ of \d"))
    expect(rows.filter(has_text="take_row")).to_contain_text("equal bit for bit")
    expect(dialog.locator("#device-failures")).to_have_count(0)
    tiny.wait_status("ready")
    keep_screen(page, "device")
    tiny.get("device-report-drawer").locator("summary").click()
    summary = f"All {len(CASES)} cases agree with their reference"
    expect(tiny.get("device-report")).to_have_value(re.compile(summary))
    problems = [serious(tiny)]
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    problems.append(serious(tiny))
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    assert problems == [[], []]
    usual = page.viewport_size
    assert usual
    tiny.resize(360, 780)
    assert dialog.evaluate("d => d.scrollWidth - d.clientWidth") <= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size(usual)
    closed(tiny)


def test_a_check_ends_with_the_dialog_and_waits_for_a_run(tiny: Studio) -> None:
    opened(tiny)
    tiny.get("device-check").click()
    expect(tiny.get("device-stop")).to_be_visible()
    closed(tiny)
    tiny.wait_status("ready")
    opened(tiny)
    expect(tiny.get("device-verdict")).to_contain_text("Stopped after")
    closed(tiny)

    tiny.change_settings(steps=100_000, max_seq_len=64, micro_batch_size=4)
    tiny.paste("the cat sat on the mat, and the dog sat by the door. " * 40)
    tiny.wait_counted()
    tiny.train()
    tiny.wait_status("training")
    tiny.get("device-open").click()
    expect(tiny.get("device-busy")).to_contain_text("at work for something else")
    expect(tiny.page.locator("#device-figures")).to_be_visible()
    expect(tiny.get("device-check")).to_be_disabled()
    expect(tiny.get("device-measure")).to_be_disabled()
    tiny.page.keyboard.press("Escape")
    tiny.stop()


WRONG = {
    "op": "swiglu",
    "case": "steep",
    "ok": False,
    "result": "y of launch 1",
    "error": 0.5,
    "allowed": 1e-5,
    "used_for": "answers and training",
    "problem": "",
    "seconds": 0.1,
}


def answer_with(studio: Studio, kind: str, answer: dict[str, object]) -> None:
    """Let the worker give this answer to the next request of a kind."""
    studio.page.evaluate(
        """([kind, answer]) => {
          const { worker } = lab;
          const plain = worker.postMessage;
          worker.postMessage = (data) => {
            if (data.type !== kind) return plain.call(worker, data);
            worker.postMessage = plain;
            worker.dispatchEvent(new MessageEvent('message', { data: { ...answer, id: data.id } }));
          };
        }""",
        [kind, answer],
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_differs_stands_on_top_with_what_to_do(
    tiny: Studio, scheme: Literal["light", "dark"]
) -> None:
    tiny.page.emulate_media(color_scheme=scheme)
    opened(tiny)
    right = {**WRONG, "op": "rope", "ok": True, "error": 1e-7}
    broken = {**WRONG, "op": "mask", "problem": "error: unknown identifier", "allowed": 0}
    results = [right, WRONG, broken]
    result = {"results": results, "stopped": False, "num_cases": 3, "summary": ""}
    answer_with(tiny, "self-check", {"result": result})
    tiny.get("device-check").click()
    failures = tiny.page.locator("#device-failures")
    expect(tiny.get("device-verdict")).to_contain_text("2 operations of 3 differ")
    expect(failures).to_contain_text("y of launch 1 is off by 0.5, where 1e-5 is allowed.")
    expect(failures).to_contain_text("unknown identifier")
    expect(failures).to_contain_text("It is needed for: answers and training.")
    expect(failures).to_contain_text("Update the graphics driver")
    names = tiny.get("device-results").locator("tbody code").all_inner_texts()
    assert names == ["swiglu", "mask", "rope"]
    assert serious(tiny) == []
    tiny.page.emulate_media(color_scheme="light")
    closed(tiny)


def test_a_lost_device_is_told_and_tried_again(tiny: Studio) -> None:
    opened(tiny)
    lost = "The GPU device was lost (unknown). Choose the model again."
    answer_with(tiny, "diagnose", {"error": lost, "kind": "DeviceLostError"})
    tiny.get("device-measure").click()
    expect(tiny.get("device-problem")).to_contain_text("was lost")
    tiny.get("device-report-drawer").locator("summary").click()
    expect(tiny.get("device-report")).to_have_value(re.compile(r"\| problem .* was lost"))
    tiny.page.locator("#device-again").click()
    expect(tiny.get("device-problem")).to_be_hidden()
    expect(tiny.get("device-check")).to_be_enabled(timeout=SLOW_MS)
    closed(tiny)


def test_without_webgpu_the_dialog_helps_and_still_reports(
    browser_without_gpu: Browser, site: Site
) -> None:
    context = new_context(browser_without_gpu)
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.page.goto(site.url)
    expect(studio.get("device-open")).to_contain_text("no GPU")
    studio.get("device-open").click()
    expect(studio.get("device-problem")).to_contain_text("no graphics adapter")
    expect(studio.get("device-problem").locator("li").first).to_be_visible()
    expect(studio.get("device-check")).to_be_hidden()
    studio.get("device-report-drawer").locator("summary").click()
    expect(studio.get("device-report")).to_have_value(re.compile("has WebGPU: .*"))
    expect(studio.get("device-report")).to_have_value(re.compile("no graphics adapter"))
    assert serious(studio) == []
    closed(studio)
    context.close()
    assert set(watched.faults) == {"console warning: No available adapters."}  # Chromium's own
