"""The page on plain hosts and without a network: isolation, the copy on the device, updates."""

from __future__ import annotations

import os
import re

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.browser.plain_host import SUB_PATH, WORKER_MAY_COME, PlainHost, open_and_keep
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 12
CACHES = """async () => {
  const found = {};
  for (const name of await caches.keys()) {
    found[name] = (await (await caches.open(name)).keys()).map(({ url }) => url);
  }
  return found;
}"""

LOOK = """async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  if (!registration.waiting && !registration.installing) await registration.update();
  return Boolean(registration.waiting);
}"""


def test_what_was_typed_before_the_page_is_loaded_once_more_stays(
    watched: Watched, host: PlainHost
) -> None:
    studio = Studio(watched.context.new_page())
    page, area = studio.page, studio.get("corpus-text")
    WORKER_MAY_COME.clear()
    try:
        page.goto(f"{host.url}#model=models/tiny.gguf", wait_until="commit")
        area.click()
        area.press_sequentially("the cat sat on the mat and ")
        expect(area).to_be_focused()
        assert not page.evaluate("globalThis.crossOriginIsolated")
    finally:
        WORKER_MAY_COME.set()
    studio.wait_for_event("gpu", 60)  # of the page that was loaded once more
    assert page.evaluate("globalThis.crossOriginIsolated")
    expect(area).to_have_value("the cat sat on the mat and ")
    expect(area).to_be_focused()
    page.keyboard.type("the dog sat by the door")
    expect(area).to_have_value("the cat sat on the mat and the dog sat by the door")
    studio.wait_counted()
    stored = page.evaluate("Object.values(sessionStorage).join()")
    assert "the cat" not in stored  # no longer than the reload takes
    assert not watched.faults


def test_a_plain_host_under_a_sub_path_then_no_network(watched: Watched, host: PlainHost) -> None:
    context = watched.context
    loads: list[str] = []
    context.on("page", lambda page: page.on("load", lambda: loads.append(page.url)))
    first = open_and_keep(context, host)
    assert len(loads) == 2  # once more, into isolation, and no more
    assert first.page.evaluate("crossOriginIsolated")
    worker = next(worker for worker in first.page.workers if worker.url.endswith("/worker.js"))
    assert worker.evaluate("crossOriginIsolated")
    headers = first.page.evaluate(
        "async () => Object.fromEntries((await fetch('worker.js')).headers)"
    )
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert "script-src 'self' 'wasm-unsafe-eval'" in headers["content-security-policy"]
    kept = first.page.evaluate(CACHES)
    (name,) = kept
    assert f" /{SUB_PATH}/ " in name
    assert host.url + "python/heap.bin" in kept[name]
    assert not [url for url in kept[name] if "models/" in url]  # they lie in their own store
    assert not watched.faults
    first.page.close()

    host.stop()
    again = Studio(context.new_page())
    again.open(host.url, model="models/tiny.gguf")
    again.wait_status("ready")
    assert again.page.evaluate("crossOriginIsolated")
    again.paste(TEXT)
    again.wait_counted()
    again.change_settings(steps=2, max_seq_len=32, micro_batch_size=1)
    assert len(again.train_to_end()) == 2
    again.change_chat(raw=True, length=3)
    again.ask_model("the cat")
    faults = [fault for fault in watched.faults if "ERR_CONNECTION_REFUSED" not in fault]
    assert not faults  # the browser itself reports what it could not ask the host


def test_a_new_version_waits_until_it_is_asked_for(watched: Watched, host: PlainHost) -> None:
    first = open_and_keep(watched.context, host)
    (former,) = first.page.evaluate(CACHES)
    page = first.page
    index = (host.folder / "index.html").read_text(encoding="utf-8")
    host.write("index.html", index.replace("Fine-tuning in this tab.", "The second version."))

    # A version of which a file cannot be had changes nothing.
    host.release()
    whole = (host.folder / "index.html").read_text(encoding="utf-8")
    host.write("index.html", "damaged on its way")
    damaged_at = (host.folder / "index.html").stat().st_mtime
    state = page.evaluate(
        """async () => {
          const registration = await navigator.serviceWorker.getRegistration();
          const found = new Promise((resolve) => registration.addEventListener('updatefound', () => resolve(registration.installing)));
          await registration.update();
          const installing = await found;
          return new Promise((resolve) => installing.addEventListener('statechange', () => resolve(installing.state)));
        }"""  # noqa: E501
    )
    assert state == "redundant"
    page.reload()
    expect(page.locator(".tagline")).to_contain_text("Fine-tuning in this tab.")
    expect(first.get("notice-update")).to_have_count(0)

    # The whole of it is offered, and not in the middle of a run.
    host.write("index.html", whole)
    # Of the same second: a host that tells files apart by that says that nothing has changed.
    os.utime(host.folder / "index.html", (damaged_at, damaged_at))
    first.wait_status("ready")
    first.paste(TEXT)
    first.wait_counted()
    first.change_settings(steps=100_000, max_seq_len=32, micro_batch_size=1)
    first.train()
    first.wait_steps(1)
    # Asked again while the browser's own look for the damaged version is not over.
    wait_until(lambda: page.evaluate(LOOK), 60, page, "the new version lies ready")
    notice = first.get("notice-update")
    expect(notice).to_contain_text("waits for the end of this run")
    expect(notice.get_by_role("button", name="Reload")).to_have_count(0)
    keep_screen(page, "new-version")
    first.stop()
    expect(page.locator(".tagline")).to_contain_text("Fine-tuning in this tab.")
    notice.get_by_role("button", name="Reload").click()
    expect(page.locator(".tagline")).to_contain_text("The second version.")
    wait_until(lambda: former not in page.evaluate(CACHES), 60, page, "the old files are deleted")
    expect(first.get("status")).to_have_text(re.compile("loading|ready"))
