"""bench.html as a person uses it: run, watch, stop, take the figures away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site, new_context, watch
from tests.browser.studio import BOOT_MS, wait_until

RUN_MS = 120_000
# What a button says one after the other, each for a moment only.
NOTE_WORDS = """id => {
  globalThis.words = [];
  const button = document.getElementById(id);
  new MutationObserver(() => words.push(button.textContent)).observe(button, { childList: true });
}"""
# Presses Stop in the moment a row appears: whoever looks first may press when all is over.
STOP_AT = """row => {
  const observer = new MutationObserver(() => {
    if (!document.querySelector(row)) return;
    observer.disconnect();
    document.getElementById('bench-stop').click();
  });
  observer.observe(document.getElementById('bench-table'), { childList: true, subtree: true });
}"""

OPERATIONS = {
    "int4_matmul_forward",
    "int8_matmul_backward",
    "attention_forward",
    "rms_norm_forward",
    "rope",
    "swiglu_backward",
    "embedding",
    "cross_entropy",
    "lora_gradient",
    "adamw",
}
WHOLE = {"device", "fma_peak", "copy", "train_step", "decode", "prefill", "adapter_switch"}


class BenchPage:
    """The page, by its test ids."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.get = page.get_by_test_id
        page.goto(f"{url}bench.html#tiny")
        self.wait("ready", BOOT_MS)

    def wait(self, word: str, timeout_ms: float = RUN_MS) -> None:
        expect(self.get("status")).to_have_text(word, timeout=timeout_ms)

    def figures(self) -> list[dict[str, object]]:
        """Return what "Save .jsonl" gives."""
        with self.page.expect_download() as download:
            self.get("bench-save").click()
        assert download.value.suggested_filename == "lora-lab-bench.jsonl"
        text = download.value.path().read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def bench(browser: Browser, site: Site) -> Iterator[BenchPage]:
    """One page for all tests here; what should not happen in it fails them at the end."""
    context = new_context(browser)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched = watch(context)
    yield BenchPage(context.new_page(), site.url)
    context.close()
    watched.assert_clean(site)


def test_it_says_what_will_be_measured_and_where(bench: BenchPage) -> None:
    expect(bench.get("bench-model")).to_have_value("tiny")
    expect(bench.get("bench-time")).to_contain_text("minutes")
    expect(bench.get("gpu-status")).to_contain_text("software")
    expect(bench.get("bench-features")).not_to_have_text("–")
    expect(bench.get("bench-browser")).to_contain_text("Chrome")
    expect(bench.get("bench-run")).to_be_enabled()
    for test_id in ("bench-stop", "bench-copy-json", "bench-copy-report", "bench-save"):
        expect(bench.get(test_id)).to_be_disabled()


def test_a_run_fills_the_table(bench: BenchPage) -> None:
    bench.get("bench-run").focus()
    bench.page.keyboard.press("Enter")
    bench.wait("measuring")
    expect(bench.get("bench-stop")).to_be_focused()
    expect(bench.get("bench-model")).to_be_disabled()
    measuring = re.compile(r"^\d+ %, measuring tiny: ")
    expect(bench.get("bench-stage")).to_have_text(measuring, timeout=RUN_MS)
    bench.wait("ready")
    expect(bench.get("bench-stage")).to_have_text(re.compile(r"^Done after \d+ s, \d+ figures"))
    expect(bench.get("bench-limits")).to_contain_text("storage buffers")
    figures = bench.figures()
    names = {str(figure["bench"]) for figure in figures}
    assert names >= OPERATIONS | WHOLE, (OPERATIONS | WHOLE) - names
    # the device stands above the table, and nothing is cut off below
    assert bench.get("bench-table").locator("tr[data-bench]").count() == len(figures) - 1
    cut = "e => e.parentElement.scrollHeight - e.parentElement.clientHeight"
    assert bench.get("bench-table").evaluate(cut) == 0
    for figure in figures:
        for name, value in figure.items():
            assert value is not None, (figure["bench"], name)
            if name == "share":
                assert isinstance(value, float)
                assert value > 0


def test_what_a_browser_cannot_tell_is_left_out(bench: BenchPage) -> None:
    figures = bench.figures()
    device = figures[0]
    assert device["host"] == "browser"
    assert "Chrome" in str(device["version"])
    assert not any("processor_share" in figure for figure in figures)
    (step,) = (figure for figure in figures if figure["bench"] == "train_step")
    assert 0 < float(str(step["host_share"])) <= 1
    assert step["bytes"] == step["allocated_bytes"]
    assert float(str(step["first_step_ms"])) > 0


def copied(bench: BenchPage) -> str:
    return str(bench.page.evaluate("navigator.clipboard.readText()"))


def test_json_and_report_can_be_copied(bench: BenchPage) -> None:
    bench.get("bench-copy-json").click()
    wait_until(lambda: "{" in copied(bench), 60, bench.page, "the JSON is copied")
    assert [json.loads(line) for line in copied(bench).splitlines()] == bench.figures()
    bench.page.evaluate(NOTE_WORDS, "bench-copy-report")
    bench.get("bench-copy-report").click()
    wait_until(lambda: "training step" in copied(bench), 60, bench.page, "the report is copied")
    assert "Copied" in bench.page.evaluate("words")
    report = copied(bench)
    assert "share of the peak" in report


def test_stop_keeps_what_was_measured(bench: BenchPage) -> None:
    bench.page.evaluate(STOP_AT, "tr[data-bench=fma_peak]")
    bench.get("bench-run").click()
    expect(bench.get("bench-stage")).to_have_text(re.compile(r"^Stopped after \d+ s, \d+ figures"))
    names = [figure["bench"] for figure in bench.figures()]
    assert names[:2] == ["device", "fma_peak"]
    assert "train_step" not in names


def test_it_fits_a_narrow_screen(bench: BenchPage) -> None:
    bench.page.set_viewport_size({"width": 360, "height": 740})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert bench.page.evaluate(overflow) == 0
    bench.page.set_viewport_size({"width": 1280, "height": 900})


def test_without_a_gpu_it_says_how_to_get_one(browser_without_gpu: Browser, site: Site) -> None:
    context = new_context(browser_without_gpu)
    watched = watch(context)
    page = context.new_page()
    page.goto(f"{site.url}bench.html")
    expect(page.get_by_test_id("error")).to_be_visible()
    expect(page.get_by_test_id("error")).to_contain_text("needs one")
    expect(page.locator("#help-steps li").first).to_be_visible()
    expect(page.get_by_test_id("bench-run")).to_be_disabled()
    context.close()
    assert watched.faults == ["console warning: No available adapters."]  # Chromium's own words
