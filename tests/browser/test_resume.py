"""A reload in the middle of a run: it is offered, and goes on to the same bits."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Dialog, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_history import runs, wait_written

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
SETTINGS = {
    "steps": 16,
    "max_seq_len": 64,
    "micro_batch_size": 2,
    "eval_fraction": 0.1,
    "eval_every": 4,
    "sample_every": 8,
    "sample_prompt": "the cat",
    "checkpoint_every": 4,
}


def steps_of(studio: Studio) -> list[tuple[int, float]]:
    return [(step["step"], step["loss"]) for step in studio.events("step")]


def test_reload_in_mid_run_offers_to_go_on_and_does_to_the_same_bits(
    open_tiny: Callable[[], Studio],
) -> None:
    studio = open_tiny()
    expect(studio.get("resume-offer")).to_be_hidden()
    studio.change_settings(**SETTINGS)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train_to_end()
    whole = steps_of(studio)
    assert len(whole) == 16
    expect(studio.get("run-evaluation")).to_contain_text("after step 16")
    expect(studio.get("run-evaluation")).to_contain_text("before:")
    expect(studio.get("samples-written").locator("li")).to_have_count(3)
    expect(studio.get("samples-written")).to_contain_text("the cat")
    assert [point["step"] for point in studio.events("evaluation")] == [0, 4, 8, 12, 16]
    studio.page.locator("#table-open").click()
    table = studio.page.locator("#step-table tbody tr")
    expect(table.first.locator("td").last).not_to_be_empty()  # step 16 was evaluated
    expect(table.nth(1).locator("td").last).to_be_empty()
    studio.page.locator("#table-dialog").get_by_role("button", name="Close").click()
    wanted = studio.download_adapter()
    with studio.page.expect_download() as record:
        studio.get("adapter-record").click()
    assert record.value.suggested_filename == "run.json"

    # Once more, up to some step after a checkpoint, and the page is gone.
    studio.page.on("dialog", Dialog.accept)
    studio.press_when("checkpoint", 2, "pause")
    studio.train()
    studio.wait_status("paused")
    kept = studio.events("checkpoint")[-1]["step"]
    assert 8 <= kept < 16
    wait_written(studio, kept)  # the record has all steps from which it goes on
    studio.page.reload()
    studio = open_tiny()
    expect(studio.get("resume-offer")).to_contain_text(f"interrupted after step {kept} of 16")
    told = runs(studio).first.locator(".run-end").inner_text()
    assert int(told.rsplit(" ", 1)[1]) >= kept, told
    keep_screen(studio.page, "resume")
    studio.paste("something else altogether, and enough of it. " * 40)
    studio.wait_counted()
    studio.get("resume-run").click()
    studio.wait_error("the corpus is another one")
    studio.wait_status("ready")
    studio.paste(TEXT)
    studio.wait_counted()
    with studio.training():
        studio.get("resume-run").click()
    studio.wait_adapter("16 steps")
    assert steps_of(studio) == whole[kept:]
    (history,) = studio.events("run-history")
    assert [(step["step"], step["loss"]) for step in history["steps"]] == whole[:kept]
    assert studio.number("step") == 16
    expect(studio.get("loss-chart")).to_have_attribute("data-points", "16")
    assert studio.download_adapter() == wanted
    expect(studio.get("resume-offer")).to_be_hidden()
    expect(studio.page.locator("#finish-title")).to_have_text("Finished.")


def test_an_interrupted_run_can_be_let_go(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.change_settings(**{**SETTINGS, "steps": 100_000, "eval_every": 0, "sample_every": 0})
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train()
    studio.wait_for_event("checkpoint", 60)
    expect(studio.get("run-kept")).to_contain_text("a reload does not lose it")
    studio.stop()
    expect(studio.page.locator("#finish-chat")).to_be_focused(timeout=60_000)
    expect(studio.get("resume-offer")).to_contain_text("was stopped")  # it can be thought better of
    studio.page.reload()
    studio = open_tiny()
    studio.get("resume-discard").click()
    expect(studio.get("resume-offer")).to_be_hidden()
    studio.page.reload()
    studio = open_tiny()
    studio.wait_for_event("resumable", 30)
    expect(studio.get("resume-offer")).to_be_hidden()
