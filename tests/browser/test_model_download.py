"""Models from another host: folders and files by address, cut off, gone on with, refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Site, new_context, watch
from tests.browser.model_host import COMMIT, ModelHost
from tests.browser.screens import keep_screen
from tests.browser.studio import BOOT_MS, Studio, wait_until
from tests.tiny_folder import make_tiny_folder
from tests.tiny_model import make_tiny_gguf

PLAIN = {"projection": "F16", "embedding": "F16"}
WEIGHTS = f"/me/mine/resolve/{COMMIT}/model.safetensors"


@pytest.fixture(scope="module")
def folder() -> dict[str, bytes]:
    return make_tiny_folder(make_tiny_gguf(types=PLAIN), dtype="BF16")


@pytest.fixture
def models(folder: dict[str, bytes]) -> Iterator[ModelHost]:
    host = ModelHost()
    host.add_repository("me/mine", folder)
    host.start()
    yield host
    host.stop()


@pytest.fixture
def studio(browser: Browser, site: Site) -> Iterator[Studio]:
    """A page that may go wrong: the browser reports each refusal of the other host."""
    context = new_context(browser)
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.open(site.url, model="none")
    yield studio
    context.close()
    assert not [fault for fault in watched.faults if fault.startswith("page error")]


def type_address(studio: Studio, address: str) -> None:
    studio.get("model-url").fill(address)
    studio.get("model-url").press("Enter")


def test_a_repository_is_fetched_cut_off_gone_on_with_and_opens_without_a_network(
    studio: Studio, models: ModelHost, folder: dict[str, bytes]
) -> None:
    page = studio.page
    total = sum(map(len, folder.values()))
    models.halves.add(WEIGHTS)
    type_address(studio, f"{models.url}/me/mine")
    text = page.locator("#model-text")
    expect(text).to_contain_text(re.compile(r"Fetching \d+ kB of \d+ kB"), timeout=BOOT_MS)
    progress = studio.events("model-progress")[-1]
    assert (progress["name"], progress["total_bytes"]) == ("mine", total)
    studio.get("model-cancel").click()
    expect(studio.get("notice-cancelled")).to_contain_text("goes on from there")
    expect(studio.get("error")).to_be_hidden()
    studio.get("models-open").click()
    kept = studio.get("kept-model")
    expect(kept).to_contain_text(re.compile(r"\d+ kB of \d+ kB so far: the download goes on"))

    # What has arrived is hashed first, and only the rest is asked for.
    models.go_on.set()
    models.requests.clear()
    with studio.loading():
        kept.get_by_role("button", name="Go on: mine").click()
    assert studio.events("model")[-1]["name"] == "mine"
    assert any(told["stage"] == "check" for told in studio.events("model-progress"))
    [part] = models.asked("model.safetensors")
    assert re.fullmatch(r"bytes=[1-9]\d*-", part)
    assert not models.asked("tokenizer.json")

    # One entry of the cache and of the list; without a network it is there all the same.
    page.reload()
    studio.wait_for_event("gpu", BOOT_MS / 1e3)
    studio.get("models-open").click()
    expect(studio.get("catalogue-model").first).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#catalogue-note")).to_contain_text("No network")
    bundled = studio.get("catalogue-model").first.get_by_role("button")
    expect(bundled).to_be_enabled()
    expect(studio.get("catalogue-model").last.get_by_role("button")).to_be_disabled()
    page.locator("#models-close").click()
    option = studio.get("model-select").locator("[data-group=kept] option")
    expect(option).to_have_text(re.compile(r"^mine \(\d+ kB\)$"))
    studio.get("storage-open").click()
    stored = studio.get("storage-dialog").get_by_role("row", name=re.compile("^mine"))
    expect(stored).to_have_count(1)
    page.locator("#storage-close").click()
    models.requests.clear()
    with studio.loading():
        type_address(studio, f"{models.url}/me/mine")
    assert studio.events("model")[-1]["name"] == "mine"
    studio.get("models-open").click()
    expect(kept.get_by_role("button", name="In use: mine")).to_be_disabled()
    delete = kept.get_by_role("button").last
    delete.click()
    expect(delete).to_have_text("Delete for good?")
    delete.click()
    expect(kept).to_have_count(0)
    left = "async () => { const root = await navigator.storage.getDirectory();"
    left += " const all = []; for await (const name of"
    left += " (await root.getDirectoryHandle('models')).keys()) all.push(name); return all; }"
    assert page.evaluate(left) == []


def test_a_folder_of_the_catalogue_loads_as_chosen_and_shows_what_has_arrived(
    studio: Studio, site: Site, models: ModelHost, folder: dict[str, bytes], tmp_path: Path
) -> None:
    page = studio.page
    parts = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in folder.items()
    ]
    entry = {
        "id": "tiny-folder",
        "name": "Tiny",
        "source": {
            "kind": "url-folder",
            "url": f"{models.url}/me/mine/resolve/{COMMIT}/",
            "name": "Tiny",
            "files": parts,
        },
        "file": "model.safetensors",
        "bytes": sum(map(len, folder.values())),
        "licence": "Apache-2.0",
        "page": "https://example.org/",
        "weights": "BF16",
        "config": json.loads(folder["config.json"]),
    }
    (tmp_path / "catalogue.json").write_text(json.dumps([entry]))
    site.extra["/catalogue.json"] = tmp_path / "catalogue.json"
    models.halves.add(WEIGHTS)
    try:
        studio.get("model-quantize").select_option("int4")
        studio.get("models-open").click()
        row = studio.get("catalogue-model")
        expect(row).to_contain_text(re.compile(r"Fetched from localhost:\d+, 4 files\."))
        expect(row).to_contain_text(re.compile(r"Fits: training it takes"), timeout=BOOT_MS)
        row.get_by_role("button", name="Load: Tiny").click()
        expect(page.locator("#model-text")).to_contain_text("Fetching", timeout=BOOT_MS)
        expect(page.locator("#model-text")).to_contain_text(re.compile(r"of \d+ kB"))
        studio.get("model-cancel").click()
        expect(studio.get("notice-cancelled")).to_be_visible()
        studio.get("models-open").click()
        expect(row).to_contain_text(re.compile(r"\d+ kB of \d+ kB have arrived from localhost"))
        keep_screen(page, "models-part")
        models.go_on.set()
        with studio.loading():
            row.get_by_role("button", name="Go on: Tiny").click()
        model = studio.events("model")[-1]
        assert (model["name"], model["quantization"]) == ("Tiny", "int4")
        studio.get("models-open").click()
        expect(row).to_contain_text("Lies on this device.")
        expect(row.get_by_role("button", name="In use: Tiny")).to_be_disabled()
    finally:
        del site.extra["/catalogue.json"]


def test_what_a_host_does_wrong_is_said_and_leaves_nothing_behind(
    studio: Studio, models: ModelHost, folder: dict[str, bytes], tiny_gguf: bytes
) -> None:
    page = studio.page

    def refused(address: str, *words: str) -> None:
        type_address(studio, models.url + address)
        studio.wait_error(*words)
        page.locator("#error").get_by_role("button").last.click()

    refused("/nobody/here.gguf", "There is no file at", "404", "check the address")
    models.status["/closed.gguf"] = 403
    refused("/closed.gguf", "403", "agreeing to its licence")
    models.files["/page.gguf"] = b"<!doctype html>"
    models.types["/page.gguf"] = "text/html"
    refused("/page.gguf", "is a web page, not a model")
    refused("/nobody/here/at/all/", "holds no model that this page reads", "config.json")
    for name, data in folder.items():
        if name != "tokenizer.json":
            models.files[f"/half/a/folder/{name}"] = data
    refused("/half/a/folder/", "holds no model", "tokenizer.json is not there")
    # The list of files knows another hash than what comes.
    models.files[WEIGHTS] = folder["model.safetensors"][:-1] + b"!"
    refused("/me/mine", "model.safetensors arrived damaged", "removed")
    models.is_open = False
    refused("/me/mine/tree/main", "forbids other pages to read its files", "CORS")
    models.is_open = True
    type_address(studio, "http://localhost:9/nobody/home/at/all/")
    studio.wait_error("localhost:9 does not answer", "Check the connection")
    page.locator("#error").get_by_role("button").last.click()

    # A host that breaks off and knows no ranges sends all of it again.
    models.files["/a.gguf"] = tiny_gguf
    models.has_ranges = False
    models.breaks.add("/a.gguf")
    models.requests.clear()
    with studio.loading():
        type_address(studio, f"{models.url}/a.gguf")
    assert studio.events("model")[-1]["name"]
    first, again = models.asked("/a.gguf")
    assert first == ""
    assert again.startswith("bytes=")
    studio.get("models-open").click()
    names = studio.get("kept-model").locator("b")
    expect(names).to_have_text(["a.gguf", "mine"])  # of the damaged one, the other files


def test_a_host_that_does_not_answer_can_be_left(studio: Studio, models: ModelHost) -> None:
    models.silent.add("/asleep.gguf")
    type_address(studio, f"{models.url}/asleep.gguf")
    text = studio.page.locator("#model-text")
    expect(text).to_contain_text("Waiting for the host to answer", timeout=BOOT_MS)
    wait_until(lambda: bool(models.requests), 60, studio.page, "it is asked")
    studio.get("model-cancel").click()
    expect(studio.get("model-cancel")).to_be_hidden(timeout=BOOT_MS)
    expect(text).not_to_contain_text("Waiting")
    # Nothing had come: there is nothing to say of it.
    expect(studio.get("error")).to_be_hidden()
    expect(studio.get("notice-cancelled")).to_have_count(0)

    # While it is waited for, another address takes its place at once.
    models.requests.clear()
    type_address(studio, f"{models.url}/asleep.gguf")
    expect(text).to_contain_text("Waiting for the host to answer")
    wait_until(lambda: bool(models.requests), 60, studio.page, "it is asked again")
    type_address(studio, "ftp://nobody.example/here.gguf")
    studio.wait_error("is not an address", "https://")
    expect(text).to_contain_text("Waiting for the host to answer")
    type_address(studio, f"{models.url}/nobody/here.gguf")
    studio.wait_error("There is no file at", "404")
    expect(text).not_to_contain_text("Waiting")


def test_a_download_without_room_is_refused_before_it_begins(
    studio: Studio, models: ModelHost, tiny_gguf: bytes
) -> None:
    page = studio.page
    models.files["/small.gguf"] = tiny_gguf
    with studio.loading():
        type_address(studio, f"{models.url}/small.gguf")
    listing = json.loads(models.files["/api/models/me/mine/revision/main"])
    for sibling in listing["siblings"]:
        if "lfs" in sibling:
            sibling["lfs"]["size"] = 50_000_000_000_000
    models.files["/api/models/me/mine/revision/main"] = json.dumps(listing).encode()
    models.requests.clear()
    type_address(studio, f"{models.url}/me/mine")
    studio.wait_error("needs 50,000,000 MB more on this device", "such as small.gguf")
    assert [path for _, path, _ in models.requests] == ["/api/models/me/mine/revision/main"]
    studio.wait_status("ready")  # the model before is still there
    expect(studio.get("model-select")).to_have_value(f"url:{models.url}/small.gguf")
    page.locator("#error").get_by_role("button").last.click()
