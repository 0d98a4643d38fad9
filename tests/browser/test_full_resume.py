"""A run of all weights that a reload, a stop or a full disk interrupts goes on."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Dialog, expect

from app.io.safetensors import read_safetensors
from tests.browser.screens import keep_screen
from tests.browser.studio import TRAIN_MS, Studio

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
SETTINGS: dict[str, Any] = {
    "steps": 16,
    "max_seq_len": 64,
    "micro_batch_size": 2,
    "learning_rate": 0.005,
    "eval_fraction": 0.1,
    "eval_every": 4,
    "sample_every": 8,
    "sample_prompt": "the cat",
    "checkpoint_every": 4,
}
FILES = """async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('checkpoints').catch(() => null);
  const names = [];
  if (folder) for await (const name of folder.keys()) names.push(name);
  return names.sort();
}"""


def ready_for_all(studio: Studio, **settings: Any) -> None:
    studio.paste(TEXT)
    studio.wait_counted()
    studio.choose_mode("full")
    studio.change_settings(**SETTINGS | settings)


def begin(studio: Studio) -> None:
    studio.train()
    studio.get("full-confirm").get_by_role("button", name="Train all weights").click()


def steps_of(studio: Studio) -> list[tuple[int, float]]:
    return [(step["step"], step["loss"]) for step in studio.events("step")]


def wait_kept(studio: Studio, count: int) -> None:
    studio.wait_events("checkpoint", count)


def weights(studio: Studio) -> dict[str, np.ndarray]:
    with studio.page.expect_download() as found:
        studio.get("tuned-download").click()
    archive = zipfile.ZipFile(io.BytesIO(Path(found.value.path()).read_bytes()))
    return dict(read_safetensors(archive.read("model.safetensors"))[0])


def test_reload_in_mid_run_goes_on_to_the_same_bits(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    page = studio.page
    ready_for_all(studio)
    with studio.training():
        begin(studio)
    whole = steps_of(studio)
    assert [point["step"] for point in studio.events("evaluation")] == [0, 4, 8, 12, 16]
    assert [event["step"] for event in studio.events("checkpoint")] == [4, 8, 12, 16]
    expect(studio.get("resume-offer")).to_be_hidden()
    assert page.evaluate(FILES) == []
    wanted = weights(studio)
    expect(studio.get("tuned-status")).to_contain_text(", downloaded")

    # Once more, up to some step after a checkpoint, and the page is gone.
    page.on("dialog", Dialog.accept)
    studio.press_when("checkpoint", 2, "pause")
    begin(studio)
    studio.wait_status("paused")
    kept = studio.events("checkpoint")[-1]["step"]
    assert 8 <= kept < 16
    page.reload()
    studio = open_tiny()
    offer = studio.get("resume-offer")
    expect(offer).to_contain_text("A run of all weights")
    expect(offer).to_contain_text(f"after step {kept} of 16")
    expect(offer).to_contain_text(re.compile(r"\([\d.]+ [kM]B\)"))
    keep_screen(page, "full-resume")
    assert len(page.evaluate(FILES)) == 3  # two checkpoints, and which is the newest
    studio.paste("something else altogether, and enough of it. " * 40)
    studio.wait_counted()
    studio.get("resume-run").click()
    studio.wait_error("the corpus is another one")
    studio.wait_status("ready")
    studio.paste(TEXT)
    studio.wait_counted()
    with studio.training():
        studio.get("resume-run").click()  # how and with what is not asked again
    expect(studio.get("tuned-status")).to_contain_text("trained 16 steps")
    assert steps_of(studio) == whole[kept:]
    (history,) = studio.events("run-history")
    assert [(step["step"], step["loss"]) for step in history["steps"]] == whole[:kept]
    found = weights(studio)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        np.testing.assert_array_equal(found[name], weight, name)
    expect(offer).to_be_hidden()
    expect(page.locator("#finish-title")).to_have_text("Finished.")
    assert page.evaluate(FILES) == []


def test_a_stop_is_kept_gone_on_with_and_let_go(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    page = studio.page
    ready_for_all(studio, steps=100_000, eval_every=0, sample_every=0)
    begin(studio)
    wait_kept(studio, 1)
    expect(studio.get("run-kept")).to_contain_text("a reload does not lose it")
    studio.stop()
    expect(studio.get("resume-offer")).to_be_visible()
    stopped = len(steps_of(studio))
    assert studio.events("keeping")[-1]["step"] == stopped

    # It goes on at once: the trained model is of this run, so nothing is lost by it.
    studio.get("resume-run").click()
    studio.wait_steps(stopped + 4)
    expect(studio.get("unsaved-model")).to_have_count(0)
    studio.stop()
    assert [step for step, _ in steps_of(studio)] == list(range(1, len(steps_of(studio)) + 1))

    studio.get("storage-open").click()
    row = studio.get("storage-dialog").get_by_role("row", name=re.compile("Checkpoints of runs"))
    expect(row).to_contain_text(re.compile(r"\d [kM]B"))
    page.keyboard.press("Escape")
    studio.get("resume-discard").click()
    expect(studio.get("resume-offer")).to_be_hidden()
    assert page.evaluate(FILES) == []


def test_a_full_disk_ends_no_run(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    page = studio.page
    quota = page.context.new_cdp_session(page)
    origin = page.evaluate("location.origin")
    ready_for_all(studio, steps=100_000, eval_every=0, sample_every=0)
    begin(studio)
    wait_kept(studio, 2)
    quota.send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 100_000})
    expect(studio.get("run-warning")).to_contain_text(
        re.compile(r"The checkpoint of step \d+ could not be kept", re.IGNORECASE),
        timeout=TRAIN_MS,
    )
    expect(studio.get("run-warning")).to_contain_text("the run goes on without it")
    told = len(studio.events("step"))
    kept = studio.events("checkpoint")[-1]["step"]
    studio.wait_steps(told + 12)
    assert len(studio.events("run-warning")) == 1
    studio.stop()
    expect(studio.get("resume-offer")).to_contain_text(f"after step {kept} of")
    assert not [name for name in page.evaluate(FILES) if name.endswith(".part")]
    studio.get("resume-discard").click()
    expect(studio.get("resume-offer")).to_be_hidden()
    assert page.evaluate(FILES) == []
