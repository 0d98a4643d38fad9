"""Long journeys on a tiny random model: stop, pause, reload, closing, what the page may not do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browser.conftest import Site, watch
from tests.browser.studio import Studio

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
MAX_BLOCKED_MS = 50
"""PerformanceObserver calls a task long from 50 ms on."""


def start_long_run(studio: Studio) -> None:
    studio.change_settings(steps=100_000, max_seq_len=64, micro_batch_size=4)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train()
    studio.wait_steps(3)


def test_pause_chat_resume_stop(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    start_long_run(studio)

    studio.get("pause").click()
    studio.wait_status("paused")
    studio.page.wait_for_timeout(300)  # the step that was under way
    paused_at = len(studio.events("step"))
    studio.page.wait_for_timeout(700)
    assert len(studio.events("step")) == paused_at
    studio.change_chat(length=4)
    studio.ask_model("the cat")  # talking is possible meanwhile
    studio.wait_status("paused")

    studio.get("pause").click()
    studio.wait_status("training")
    studio.wait_steps(paused_at + 3)

    clicked = time.monotonic()
    studio.get("stop").click()
    studio.wait_status("ready")
    assert time.monotonic() - clicked < 1.0
    last = studio.events("step")[-1]["step"]
    studio.wait_adapter(f"{last} steps")
    assert studio.number("step") == last
    assert studio.download_adapter()[8:9] == b"{"


def test_stop_while_paused(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    start_long_run(studio)
    studio.get("pause").click()
    studio.wait_status("paused")
    studio.get("stop").click()
    studio.wait_status("ready")
    studio.wait_adapter("steps")


def test_trained_adapter_answers_alike_after_reload(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.change_settings(steps=12, max_seq_len=64, micro_batch_size=4, learning_rate=0.02)
    studio.paste(TEXT)
    studio.wait_counted()
    steps = studio.train_to_end()
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    studio.change_chat(length=12, raw=True)
    trained = studio.ask_model("the cat sat")
    assert "the" in trained
    studio.use_lora(False)
    base = studio.ask_model("the cat sat")
    assert base != trained
    adapter = studio.download_adapter()

    studio.page.reload()
    studio = open_tiny()
    expect(studio.get("use-lora")).to_be_disabled()
    studio.drop(("adapter_model.safetensors", adapter))
    studio.wait_adapter("Loaded adapter_model.safetensors")
    studio.change_chat(length=12, raw=True)
    assert studio.ask_model("the cat sat") == trained
    studio.use_lora(False)
    assert studio.ask_model("the cat sat") == base
    assert studio.download_adapter() == adapter  # not one bit is lost on the way


def test_same_seed_gives_the_same_losses_to_the_last_bit(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.change_settings(steps=6, max_seq_len=64, micro_batch_size=2)
    studio.paste(TEXT)
    studio.wait_counted()
    first, second = ([step["loss"] for step in studio.train_to_end()] for _ in range(2))
    assert first == second


def test_closing_the_tab_in_mid_run_asks_first(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    start_long_run(studio)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    studio.page.on("dialog", stay)
    studio.page.close(run_before_unload=True)
    studio.page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    count = len(studio.events("step"))
    studio.wait_steps(count + 2)  # and the run goes on
    studio.get("stop").click()
    studio.wait_status("ready")
    with studio.page.expect_event("close"):  # nobody asks now
        studio.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def test_main_thread_stays_free_while_training(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    start_long_run(studio)
    since = studio.page.evaluate("performance.now()")
    studio.page.wait_for_timeout(4000)
    tasks = studio.page.evaluate("since => lab.longTasks.filter(t => t.startTime > since)", since)
    steps = len(studio.events("step"))
    studio.get("stop").click()
    studio.wait_status("ready")
    assert steps > 10
    assert not [task for task in tasks if task["duration"] > MAX_BLOCKED_MS], tasks


def test_second_visit_needs_no_network_for_the_model(
    page: Page, site: Site, tiny_gguf: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf)
    site.extra["/models/test-tiny.gguf"] = path
    studio = Studio(page)
    studio.open(site.url, model="models/test-tiny.gguf")
    studio.wait_status("ready")
    assert site.requests.count("/models/test-tiny.gguf") == 1
    del site.extra["/models/test-tiny.gguf"]  # a request now would end in an error
    page.route("**/models/*", lambda route: route.abort())
    page.goto("about:blank")
    studio.open(site.url, model="models/test-tiny.gguf")
    studio.wait_status("ready")
    expect(page.locator("#model-text")).to_contain_text("parameters")


def test_page_without_webgpu_says_so_and_stays_readable(
    browser_without_gpu: Browser, site: Site
) -> None:
    context = browser_without_gpu.new_context()
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.page.goto(site.url)
    studio.wait_status("error")
    studio.wait_error("WebGPU", "adapter")
    expect(studio.page.locator("#webgpu-help")).to_be_visible()
    assert studio.page.locator("#help-steps li").count() > 0
    studio.paste("I can still write here.")
    assert studio.get("corpus-text").input_value() == "I can still write here."
    studio.get("plan-open").click()
    studio.page.locator("#plan-dialog").get_by_role("button", name="Done").click()
    expect(studio.get("train")).to_be_disabled()
    expect(studio.get("chat-send")).to_be_disabled()
    context.close()
    watched.assert_clean(site)
