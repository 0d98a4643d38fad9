"""What the way from opening the page to a downloaded adapter asks of a person."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.studio import BOOT_MS, TRAIN_MS, Studio

COUNTER = """
window.presses = [];
const note = ({ isTrusted, target }) => { if (isTrusted) presses.push(target.textContent.trim()); };
for (const type of ['click', 'keydown']) addEventListener(type, note, true);
"""
FEW_STEPS = "settings=steps:3,max_seq_len:64,micro_batch_size:2"
"""Of a link: the suggestion for the sample takes a software adapter minutes."""


def test_three_presses_lead_to_a_downloaded_adapter(
    page: Page, site: Site, tiny_gguf: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf)
    site.extra["/models/test-tiny.gguf"] = path
    page.add_init_script(COUNTER)
    studio = Studio(page)
    page.goto(f"{site.url}#model=models/test-tiny.gguf&{FEW_STEPS}", wait_until="commit")

    # The first can be pressed before anything has loaded; each says by itself when it can be.
    page.get_by_role("button", name="Try a sample text").click()
    train = studio.get("train")
    expect(train).to_be_enabled(timeout=BOOT_MS)
    train.click()
    save = page.get_by_role("button", name="Download the adapter")
    expect(save).to_be_visible(timeout=TRAIN_MS)
    with page.expect_download() as download:
        save.click()
    assert download.value.path().read_bytes()[8:9] == b"{"
    assert page.evaluate("presses") == ["Try a sample text", "Train", "Download the adapter"]
