"""What axe finds in the page's views, light and dark; narrow screens; calm for those who ask."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until
from tests.browser.test_chat import listen

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
ANSWERS = (
    "# Cats\n\n- they **sit** on `mats`\n\n```py\nprint('mat')\n```\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n[more](https://example.org/)",
    "# Dogs\n\n> by the door\n\nthey sit",
)
FILLED = {"what is stored": "#storage-facts li", "device": "#device-figures"}
"""Dialogs that ask before they show: what is there then."""

# Notes when each sentence is spoken, and for when it was put off: however late a busy machine is.
LISTEN = """() => {
  lab.spoken = [];
  const place = document.getElementById('announce');
  const plain = globalThis.setTimeout;
  globalThis.setTimeout = (act, wait = 0, ...more) => {
    const due = performance.now() + wait;
    return plain(() => {
      const [before, at] = [place.textContent, performance.now()];
      act(...more);
      if (place.textContent !== before) lab.spoken.push({ due, at });
    }, wait);
  };
}"""

RUN_AXE = "axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations)"


def serious(studio: Studio) -> list[str]:
    """Return what axe calls serious or critical, with where it is."""
    if not studio.page.evaluate("'axe' in globalThis"):
        studio.page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = studio.page.evaluate(RUN_AXE)
    return [
        f"{item['id']}: {node['target']} {node.get('failureSummary', '')}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


@pytest.fixture
def studio(tiny: Studio) -> Studio:
    """The shared page after a run and its evaluation, with two answers side by side."""
    if tiny.page.locator(".compared").count() == 0:
        tiny.change_settings(steps=6, max_seq_len=64, micro_batch_size=4)
        tiny.paste(TEXT)
        tiny.wait_counted()
        tiny.train_to_end()
        tiny.get("evaluate").click()
        expect(tiny.get("verdict")).to_be_visible(timeout=90_000)
        listen(tiny, *ANSWERS)
        tiny.get("chat-compare").click()
        tiny.get("chat-input").fill("Tell me")
        tiny.get("chat-send").click()
        expect(tiny.page.locator(".compared")).to_be_visible()
    return tiny


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(studio: Studio, scheme: Literal["light", "dark"]) -> None:
    studio.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    problems = {"main view": serious(studio)}
    studio.get("first-open").click()
    problems["introduction"] = serious(studio)
    studio.get("first-close").click()
    for view, opener in (
        ("plan", "#plan-open"),
        ("preview", "#preview-open"),
        ("chat settings", "#chat-settings-open"),
        ("adapters", "#shelf-open"),
        ("table", "#table-open"),
        ("privacy", "#privacy-open"),
        ("what is stored", "#storage-open"),
        ("device", "#device-open"),
        ("models", "#models-open"),
    ):
        studio.page.locator(opener).click()
        dialog = studio.page.locator("dialog[open]")
        expect(dialog).to_be_visible()
        if view in FILLED:
            expect(dialog.locator(FILLED[view]).first).to_be_visible(timeout=90_000)
        problems[view] = serious(studio)
        studio.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        studio.wait_status("ready")
    studio.choose_mode("full")
    studio.train()
    expect(studio.get("full-confirm")).to_be_visible()
    problems["before all weights are trained"] = serious(studio)
    studio.page.keyboard.press("Escape")
    expect(studio.get("full-confirm")).to_have_count(0)
    studio.choose_mode("adapter")
    studio.page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    assert not any(problems.values()), problems


def test_an_evaluation_is_put_in_words(studio: Studio) -> None:
    page = studio.page
    expect(studio.get("verdict")).to_have_text(
        re.compile(r"^(Learned|Overfit|Worse|Unchanged)\. .*\d\.\d{3} nats a token.*passages? got")
    )
    page.locator("#passages").evaluate("drawer => { drawer.open = true; }")
    assert page.locator("#passage-rows tr").count() > 0
    keep_screen(page, "evaluation")
    page.locator(".evaluate-more > summary").first.click()
    studio.get("evaluate-text").fill("A zebra quarrels with 9876 vexed foxes. " * 9)
    studio.get("evaluate").click()
    elsewhere = "tokens of a text that it was not trained on"
    expect(page.locator("#ppl-hint")).to_contain_text(elsewhere, timeout=90_000)
    expect(studio.get("verdict")).to_contain_text("This is not the text it was trained on.")
    assert studio.number("ppl-base") > 1
    assert studio.number("ppl-lora") > 1
    studio.get("evaluate-text").fill("")


def test_nothing_of_a_finished_run_is_cut_off(studio: Studio) -> None:
    usual = studio.page.viewport_size
    assert usual
    studio.resize(1360, 900)
    hidden, overflow = studio.page.evaluate(
        """() => {
          const panel = document.getElementById('console');
          return [panel.scrollHeight - panel.clientHeight, getComputedStyle(panel).overflowY];
        }"""
    )
    studio.page.set_viewport_size(usual)
    assert hidden <= 0 or overflow == "auto"


def test_nothing_is_wider_than_a_narrow_screen(studio: Studio) -> None:
    usual = studio.page.viewport_size
    assert usual
    studio.resize(360, 780)
    for opener in (
        None,
        "#first-open",
        "#first-privacy",
        "#models-open",
        "#plan-open",
        "#chat-settings-open",
        "#shelf-open",
        "#storage-open",
        "#device-open",
    ):
        if opener:
            studio.page.locator(opener).click()
        wide = studio.page.evaluate("document.documentElement.scrollWidth")
        inside = studio.page.evaluate(
            "[...document.querySelectorAll('dialog[open]')].map(d => d.scrollWidth - d.clientWidth)"
        )
        studio.page.keyboard.press("Escape")
        studio.wait_status("ready")
        assert wide <= 360, opener
        assert all(extra <= 0 for extra in inside), (opener, inside)
    studio.page.set_viewport_size(usual)


def test_nothing_moves_for_those_who_ask_and_speech_keeps_its_distance(studio: Studio) -> None:
    studio.page.emulate_media(reduced_motion="reduce")
    moving = studio.page.evaluate(
        """() => [...document.querySelectorAll('*')].filter((node) => {
          const style = getComputedStyle(node);
          return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0;
        }).length"""
    )
    studio.page.emulate_media(reduced_motion="no-preference")
    assert moving == 0
    studio.page.evaluate(LISTEN)
    studio.change_settings(steps=100_000, max_seq_len=64, micro_batch_size=4)
    studio.train()
    wait_until(lambda: studio.page.evaluate("lab.spoken.length > 1"), 60, studio.page, "two of it")
    studio.stop()
    spoken = studio.page.evaluate("lab.spoken")
    gaps = [later["due"] - earlier["at"] for earlier, later in pairwise(spoken)]
    assert all(gap >= 5_000 for gap in gaps), gaps
