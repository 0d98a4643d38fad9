"""The first minute: from an empty page to a trained adapter, and what keeps the text here."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Site, Watched, new_context, watch
from tests.browser.plain_host import GO_ON, PlainHost
from tests.browser.screens import keep_screen
from tests.browser.studio import BOOT_MS, Studio, wait_until

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 20


def step(studio: Studio, name: str) -> Any:
    return studio.page.locator(f"#first-steps [data-step={name}]")


def expect_steps(studio: Studio, *states: str) -> None:
    """Expect what the introduction shows of model, text, train and ask."""
    for name, state in zip(("model", "text", "train", "ask"), states, strict=True):
        expect(step(studio, name)).to_have_attribute("data-state", state, timeout=BOOT_MS)


def test_first_visit_to_a_trained_adapter(page: Page, site: Site, tiny_gguf: bytes) -> None:
    studio = Studio(page)
    page.goto(f"{site.url}#model=none", wait_until="commit")
    expect(studio.get("first")).to_be_visible()
    # Python has not begun to start: typing and choosing are possible.
    studio.paste("my own words")
    expect(step(studio, "text")).to_have_attribute("data-state", "done")
    studio.paste("")
    expect(step(studio, "text")).to_have_attribute("aria-current", "step")

    # All with the keyboard: the sample, then the step that is next.
    studio.get("first-sample").focus()
    page.keyboard.press("Enter")
    expect(studio.get("corpus-text")).to_have_value(re.compile("Ostrimere"))
    expect(studio.get("first-sample")).to_be_hidden()
    keep_screen(page, "first-minute")
    studio.wait_for_event("gpu", BOOT_MS / 1e3)
    expect(studio.get("device-word")).to_contain_text("No GPU here")
    studio.load_model(tiny_gguf)
    studio.wait_counted()
    expect_steps(studio, "done", "done", "current", "waiting")
    expect(step(studio, "train")).to_contain_text(re.compile(r"press Train: about .* [kM]?B"))
    step(studio, "train").get_by_role("button").press("Enter")
    expect(studio.get("train")).to_be_focused()
    studio.change_settings(steps=4, max_seq_len=64, micro_batch_size=2)
    studio.train_to_end()

    # It has gone; what comes next stands where the run ended.
    expect(studio.get("first")).to_be_hidden()
    expect(studio.get("device-word")).to_be_hidden()
    finish = page.locator("#finish")
    expect(finish.get_by_role("button")).to_have_text(
        ["Ask the trained model", "Evaluate it", "Download the adapter"]
    )
    finish.get_by_role("button", name="Ask the trained model").click()
    expect(studio.get("chat-input")).to_have_value("Who founded the village of Ostrimere?")
    finish.get_by_role("button", name="Evaluate it").click()
    expect(studio.get("verdict")).to_be_visible(timeout=120_000)
    assert studio.download_adapter()[8:9] == b"{"

    # It comes back when it is called, and stays away on the next visit.
    opener = studio.get("first-open")
    opener.click()
    expect_steps(studio, "done", "done", "done", "current")
    studio.get("first-close").click()
    expect(studio.get("first")).to_be_hidden()
    expect(opener).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.reload()
    studio.wait_for_event("gpu", BOOT_MS / 1e3)
    expect(studio.get("first")).to_be_hidden()


def test_what_is_pressed_before_the_page_can_answer_is_done_when_it_can(
    page: Page, site: Site
) -> None:
    studio = Studio(page)
    # One part of the page takes its time: nothing is mounted until it is there.
    held: list[Route] = []
    page.route("**/ui/storage.js", lambda route: held.append(route))
    page.goto(f"{site.url}#model=none", wait_until="commit")
    studio.get("first-sample").click()
    studio.get("remember-text").click()
    studio.get("chat-input").fill("asked early")
    expect(studio.get("first-sample")).to_have_attribute("data-early", "")
    expect(studio.get("corpus-text")).to_have_value("")
    wait_until(lambda: bool(held), 60, page, "the page asks for its part")
    held[0].continue_()
    expect(studio.get("corpus-text")).to_have_value(re.compile("Ostrimere"), timeout=BOOT_MS)
    expect(studio.get("remember-text")).to_be_checked()
    expect(studio.get("chat-input")).to_have_value("asked early")
    expect(studio.get("first-sample")).not_to_have_attribute("data-early", "")


def test_a_text_that_is_too_short_is_told_in_its_place(tiny: Studio) -> None:
    tiny.paste("a")
    expect(tiny.page.locator("#train-hint")).to_contain_text("add more text")
    expect(step(tiny, "text")).to_have_attribute("data-state", "failed")
    # What is said of the text goes with that text.
    expect(tiny.get("train")).to_be_disabled()
    tiny.choose("corpus-file", "picture.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    tiny.wait_error("PNG image")
    tiny.paste(TEXT)
    tiny.wait_counted()
    expect(tiny.get("error")).to_be_hidden()
    tiny.get("evaluate").click()
    expect(tiny.get("ppl-base")).to_have_attribute("data-value", re.compile(r"\d"))
    tiny.page.get_by_text("On other text").click()
    tiny.get("evaluate-text").fill("x")
    tiny.get("evaluate").click()
    tiny.wait_error("to evaluate on")
    expect(tiny.get("ppl-base")).to_have_text("–")
    tiny.get("evaluate-text").fill("")
    expect(tiny.get("error")).to_be_hidden()
    tiny.paste("")


def test_each_problem_of_a_plan_has_its_line_and_its_fix(tiny: Studio) -> None:
    tiny.paste(TEXT)
    tiny.wait_counted()
    tiny.change_settings(learning_rate=-1, max_seq_len=1)
    expect(tiny.page.locator("#train-hint")).to_contain_text("2 settings need a look")
    tiny.get("plan-open").click()
    problems = tiny.page.locator(".plan-problems li")
    expect(problems).to_have_count(2)
    for left in (1, 0):
        problems.first.get_by_role("button", name="Use the suggested value").click()
        expect(problems).to_have_count(left)
    expect(tiny.page.locator(".mode").first).to_be_visible()
    tiny.page.keyboard.press("Escape")
    expect(tiny.get("train")).to_be_enabled()


@pytest.fixture
def elsewhere(tmp_path: Path, tiny_gguf: bytes) -> Iterator[str]:
    """Another host, which other pages may read from."""
    (tmp_path / "far.gguf").write_bytes(tiny_gguf)

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Access-Control-Allow-Origin", "*")
            super().end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    handler = partial(Handler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/far.gguf"
    server.shutdown()
    server.server_close()


def test_only_the_downloader_reaches_other_addresses(
    browser: Browser, site: Site, elsewhere: str
) -> None:
    context = new_context(browser)
    watched = watch(context)
    try:
        studio = Studio(context.new_page())
        studio.open(site.url, model="none")
        studio.page.locator("#first-privacy").click()
        studio.get("privacy-check").click()
        expect(studio.get("privacy-result")).to_contain_text("both times")
        reported = "the browser reports what it refused"
        wait_until(lambda: bool(watched.faults), 60, studio.page, reported)
        assert all("Content Security Policy" in fault for fault in watched.faults)
        studio.page.keyboard.press("Escape")
        expect(studio.page.locator("#first-privacy")).to_be_focused()

        tried = "url => fetch(url).then(() => 'reached', () => 'refused')"
        assert studio.page.evaluate(tried, elsewhere) == "refused"
        worker = next(w for w in studio.page.workers if w.url.endswith("/worker.js"))
        assert worker.evaluate(tried, elsewhere) == "refused"
        studio.get("model-url").fill(elsewhere)
        studio.get("model-url").press("Enter")
        studio.wait_status("ready")
        assert watched.origins <= {site.url.rstrip("/"), elsewhere.rsplit("/", 1)[0]}
    finally:
        context.close()


SHAPE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 512,
}


def entry(name: str, url: str, size: int, **shape: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "source": {"kind": "url", "url": url, "sha256": ""},
        "file": f"{name}.gguf",
        "bytes": size,
        "licence": "Apache-2.0",
        "page": "https://example.org/",
        "weights": "Q4_1",
        "tables": "Q8_0",
        "config": SHAPE | shape,
    }


@pytest.fixture
def catalogue(site: Site, tiny_gguf: bytes, tmp_path: Path) -> Iterator[None]:
    """A catalogue with a model that fits, one that does not, and one that does not load."""
    (tmp_path / "test-fits.gguf").write_bytes(tiny_gguf)
    url = f"{site.url}models/test-fits.gguf"
    size = len(tiny_gguf)
    entries = [
        entry("test-fits", url, size),
        entry("test-huge", url, size, hidden_size=16384, vocab_size=262144),
        entry("test-other", url, size, model_type="qwen2"),
    ]
    (tmp_path / "catalogue.json").write_text(json.dumps(entries))
    site.extra["/catalogue.json"] = tmp_path / "catalogue.json"
    site.extra["/models/test-fits.gguf"] = tmp_path / "test-fits.gguf"
    yield
    del site.extra["/catalogue.json"], site.extra["/models/test-fits.gguf"]


def test_the_catalogue_tells_what_fits_and_what_was_fetched_loads_again(
    page: Page, site: Site, catalogue: None
) -> None:
    page.add_init_script(
        """if (globalThis.lab && globalThis.StorageManager) {
          lab.asked = 0;
          StorageManager.prototype.persisted = async () => lab.asked > 0;
          StorageManager.prototype.persist = async () => { lab.asked += 1; return true; };
        }"""
    )
    studio = Studio(page)
    studio.open(site.url, model="none")
    rows = studio.get("catalogue-model")
    fits, huge, other = (rows.nth(index) for index in range(3))
    load = fits.get_by_role("button")
    with studio.held("fit-models"):
        studio.get("models-open").click()
        expect(rows).to_have_count(3)
        load.focus()
    # What fits is told in the rows that are there: nobody loses a press to it, or the focus.
    expect(fits).to_contain_text(re.compile(r"Fits: training it takes \d.* of \d"), timeout=BOOT_MS)
    expect(fits).to_contain_text("Apache-2.0 · context 512")
    expect(fits).to_contain_text("Fetched from localhost")
    expect(load).to_be_focused()
    expect(huge).to_contain_text("Does not fit:")
    expect(huge.get_by_role("button")).to_be_disabled()
    expect(other).to_contain_text(re.compile(r"Does not load:.*'qwen2'"))
    expect(other.get_by_role("button")).to_be_disabled()
    assert page.evaluate("lab.asked") == 0
    keep_screen(page, "models")
    site.requests.clear()
    fits.get_by_role("button", name="Load: test-fits").click()
    expect(page.locator("#model-text")).to_contain_text("parameters", timeout=BOOT_MS)
    studio.wait_status("ready")
    assert site.requests.count("GET /models/test-fits.gguf") == 1
    # The browser is asked to keep what is stored once there is something worth keeping.
    wait_until(lambda: page.evaluate("lab.asked") == 1, 60, page, "asked to keep")

    page.goto("about:blank")
    site.requests.clear()
    studio.open(site.url, model="none")
    select = studio.get("model-select")
    expect(select.locator("[data-group=kept] option")).to_have_text(re.compile(r"test-fits\.gguf"))
    studio.get("models-open").click()
    kept = studio.get("kept-model")
    expect(kept).to_have_count(1)
    kept.get_by_role("button", name="Load: test-fits.gguf").press("Enter")
    expect(page.locator("#model-text")).to_contain_text("parameters", timeout=BOOT_MS)
    studio.wait_status("ready")
    assert not [request for request in site.requests if "/models/" in request]

    # Chosen in the list it loads as well; deleted, it is gone from both.
    studio.get("models-open").click()
    expect(kept.get_by_role("button", name="In use: test-fits.gguf")).to_be_disabled()
    delete = kept.get_by_role("button").last
    delete.click()
    expect(delete).to_have_text("Delete for good?")
    delete.click()
    expect(kept).to_have_count(0)
    expect(page.locator("#models-close")).to_be_focused()
    expect(page.locator("#kept-empty")).to_be_visible()


def test_a_download_that_was_cut_off_is_gone_on_with(watched: Watched, host: PlainHost) -> None:
    GO_ON.clear()
    studio = Studio(watched.context.new_page())
    studio.open(host.url, model="models/slow.gguf")
    expect(studio.page.locator("#model-text")).to_contain_text("Fetching")
    expect(step(studio, "model")).to_contain_text(re.compile(r"fetching, \d+ %"))
    studio.get("model-cancel").click()
    expect(studio.get("notice-cancelled")).to_contain_text("goes on from there")
    expect(step(studio, "model")).to_have_attribute("data-state", "failed")
    expect(studio.get("chat-input")).to_have_attribute("placeholder", re.compile("Load a model"))
    studio.get("models-open").click()
    kept = studio.get("kept-model")
    expect(kept).to_contain_text(re.compile(r"\d+ kB of \d+ kB so far"))
    GO_ON.set()
    kept.get_by_role("button", name="Go on: slow.gguf").click()
    studio.wait_status("ready")
    expect(studio.get("error")).to_be_hidden()
