"""A HuggingFace folder in the page: chosen, dropped, quantized, refused."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.studio import Studio
from tests.tiny_folder import make_tiny_folder
from tests.tiny_model import make_tiny_gguf

PLAIN = {"projection": "F16", "embedding": "F16"}


def drop_path(page: Page, path: Path) -> None:
    """Drop a file or a folder as the desktop does: no script can make a folder's entry."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 400, "y": 300, "data": data}
        session.send("Input.dispatchDragEvent", event)
    session.detach()


def test_a_folder_is_chosen_quantized_dropped_and_refused(
    page: Page, site: Site, tmp_path: Path
) -> None:
    files = make_tiny_folder(
        make_tiny_gguf(types=PLAIN), dtype="BF16", shards=2, path=tmp_path / "mine"
    )
    studio = Studio(page)
    studio.open(site.url, model="none")
    with studio.loading():
        studio.get("model-folder").set_input_files(tmp_path / "mine")
    assert studio.events("model")[-1]["name"] == "mine"
    assert studio.events("model")[-1]["quantization"] == "none"
    plain_bytes = studio.events("model")[-1]["weights_bytes"]

    # Another form of the same weights: loaded anew at once.
    with studio.loading():
        studio.get("model-quantize").select_option("nf4")
    expect(page.locator("#model-text")).to_contain_text("nf4")
    assert studio.events("model")[-1]["weights_bytes"] < plain_bytes / 2
    answer = studio.ask(
        "evaluate", corpus={"text": "the cat sat. " * 20}, edits={}, keep_adapter=False
    )
    assert answer["result"]["base"]["loss"] > 0

    # Files dropped together are the same model.
    with studio.loading():
        studio.get("model-quantize").select_option("none")
    expect(page.locator("#model-text")).not_to_contain_text("nf4")
    with studio.loading():
        studio.drop(*files.items())
    expect(studio.get("model-select")).to_have_value(re.compile("^folder:model:"))
    assert studio.events("model")[-1]["weights_bytes"] == plain_bytes

    # A folder dragged from the desktop is the same model again, under its own name.
    with studio.loading():
        drop_path(page, tmp_path / "mine")
    expect(studio.get("model-select")).to_have_value(re.compile("^folder:mine:"))
    assert studio.events("model")[-1]["name"] == "mine"

    # One that lacks a shard is refused with a sentence; the model in use stays.
    del files["model-00002-of-00002.safetensors"]
    studio.drop(*files.items())
    studio.wait_error("lacks model-00002-of-00002.safetensors", "whole folder")
    expect(studio.get("model-select")).to_have_value(re.compile("^folder:mine:"))
    studio.wait_status("ready")
