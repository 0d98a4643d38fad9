"""How Python starts: from the snapshot of its memory, and from its sources where that fails."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.conftest import Site, new_context, watch
from tests.browser.studio import Studio

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 12


def test_the_snapshot_is_all_that_is_fetched(page: Page, site: Site) -> None:
    site.requests.clear()
    Studio(page).open(site.url, model="none")
    assert "GET /python/heap.bin" in site.requests
    assert "GET /app.zip" not in site.requests
    assert not [request for request in site.requests if request.endswith(".whl")]


def test_a_missing_snapshot_only_costs_time(
    browser: Browser, site: Site, tiny_gguf: bytes, tmp_path: Path
) -> None:
    context = new_context(browser)
    watch(context)  # its faults are not looked at: the browser reports the missing file
    site.extra["/python/heap.bin"] = tmp_path / "missing"
    try:
        studio = Studio(context.new_page())
        site.requests.clear()
        studio.open(site.url, model="none")
        studio.load_model(tiny_gguf)
        assert "GET /app.zip" in site.requests
        studio.change_settings(steps=2, max_seq_len=32, micro_batch_size=1)
        studio.paste(TEXT)
        studio.wait_counted()
        assert len(studio.train_to_end()) == 2
    finally:
        del site.extra["/python/heap.bin"]
        context.close()
