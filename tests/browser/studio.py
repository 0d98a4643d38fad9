"""The page as a person uses it: by its test ids, with what the worker said kept aside."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import FilePayload, Locator, Page, expect

BOOT_MS = 60_000
TRAIN_MS = 120_000

# Keeps what the worker posts, with the time, and a way to ask it something beside the page.
RECORDER = """
(() => {
  const Plain = globalThis.Worker;
  if (!Plain) return;
  globalThis.lab = { events: [], longTasks: [], answers: new Map() };
  globalThis.Worker = class extends Plain {
    constructor(url, options) {
      super(url, options);
      globalThis.lab.worker = this;
      this.addEventListener('message', ({ data }) => {
        lab.events.push({ at: performance.now(), ...data });
        lab.answers.get(data.id)?.(data);
      });
    }
  };
  let nextId = 1_000_000;
  lab.ask = (type, fields) => new Promise((resolve) => {
    const id = nextId++;
    lab.answers.set(id, resolve);
    lab.worker.postMessage({ ...fields, id, type });
  });
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) lab.longTasks.push({ startTime, duration });
  }).observe({ type: 'longtask' });
})();
"""  # noqa: E501


def wait_until(holds: Callable[[], bool], seconds: float, page: Page, what: str) -> None:
    """Poll a condition while the page goes on."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        page.wait_for_timeout(20)


def wait_kept(page: Page) -> None:
    """Wait until all of the page lies on the device."""
    # Asked again and again: wait_for_function takes a promise for a yes.
    kept = "async () => !!(await caches.match(new URL('precache-complete', document.baseURI)))"
    wait_until(lambda: bool(page.evaluate(kept)), 60, page, "the page is kept")


class Studio:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def get(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    def text(self, test_id: str) -> str:
        return self.get(test_id).inner_text().strip()

    def number(self, test_id: str) -> float:
        """Return a figure's exact value, which the page keeps beside its rounded text."""
        expect(self.get(test_id)).to_have_attribute("data-value", re.compile(r"\d"))
        return float(self.get(test_id).get_attribute("data-value") or "nan")

    # Opening

    def open(self, url: str, model: str | None = None) -> None:
        """Open the page and wait for the GPU; `model` as in the address, None for the bundled."""
        self.page.goto(url if model is None else f"{url}#model={model}")
        self.wait_for_event("gpu", BOOT_MS / 1e3)

    def load_model(self, data: bytes, name: str = "tiny.gguf") -> None:
        self.choose("model-file", name, data)
        self.wait_status("ready")

    def choose(self, test_id: str, name: str, data: bytes | Path) -> None:
        """Choose a file in the input that is, or is inside, an element."""
        found = self.get(test_id)
        target = found if found.evaluate("e => e.tagName") == "INPUT" else found.locator("input")
        if isinstance(data, Path):
            target.set_input_files(data)
        else:
            target.set_input_files(payload(name, data))

    def wait_status(self, status: str, timeout_ms: float = BOOT_MS) -> None:
        """Wait for the word of the protocol, whatever the page calls it in its language."""
        expect(self.get("status")).to_have_attribute("data-value", status, timeout=timeout_ms)

    # What the worker said

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = self.page.evaluate("kind => lab.events.filter(e => e.type === kind)", kind)
        return cast("list[dict[str, Any]]", found)

    def wait_for_event(self, kind: str, seconds: float) -> None:
        self.page.wait_for_function(
            "kind => globalThis.lab?.events.some(e => e.type === kind)",
            arg=kind,
            timeout=seconds * 1e3,
            polling=50,
        )

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send the worker a request beside the page and return the answer."""
        answer = self.page.evaluate("([type, fields]) => lab.ask(type, fields)", [kind, fields])
        return cast("dict[str, Any]", answer)

    # Text and settings

    def paste(self, text: str) -> None:
        self.get("corpus-text").fill(text)

    def wait_counted(self) -> int:
        expect(self.get("corpus-count")).to_have_text(re.compile(r"[Tt]oken"), timeout=30_000)
        expect(self.get("corpus-count")).to_have_attribute("data-value", re.compile(r"\d"))
        return int(self.get("corpus-count").get_attribute("data-value") or "0")

    def change_settings(self, **settings: Any) -> None:
        """Type into the plan dialog as a person does."""
        self.get("plan-open").click()
        self.page.locator("#plan-expert").evaluate("drawer => { drawer.open = true; }")
        for name, value in settings.items():
            field = self.page.locator(f"#setting-{name}")
            if field.evaluate("e => e.tagName") == "SELECT":
                field.select_option(str(value))
            else:
                field.fill(str(value))
                field.blur()
        self.page.locator("#plan-dialog footer .primary").click()

    def choose_mode(self, mode: str) -> None:
        """Choose in the plan dialog what is trained: adapter or full."""
        self.get("plan-open").click()
        radio = self.page.locator(f"#mode-{mode}")
        expect(radio).to_be_enabled(timeout=60_000)  # the first plan measures the device
        radio.check()
        card = self.page.locator(f'.mode[data-mode="{mode}"]')
        expect(card).to_have_attribute("data-selected", "", timeout=30_000)
        self.page.locator("#plan-dialog footer .primary").click()

    # Training

    def train(self) -> None:
        expect(self.get("train")).to_be_enabled()
        self.get("train").click()

    def wait_steps(self, count: int, seconds: float = TRAIN_MS / 1e3) -> None:
        self.page.wait_for_function(
            "n => lab.events.filter(e => e.type === 'step').length >= n",
            arg=count,
            timeout=seconds * 1e3,
            polling=20,
        )

    def train_to_end(self, timeout_ms: float = TRAIN_MS) -> list[dict[str, Any]]:
        """Train, wait for the end and return the steps of this run."""
        before = len(self.events("step"))
        self.train()
        self.wait_status("training")
        self.wait_status("ready", timeout_ms)
        return self.events("step")[before:]

    # Chat

    def change_chat(self, **settings: Any) -> None:
        """Type into the chat's settings: `length`, `raw`, `system`, or any of an answer."""
        self.page.locator("#chat-settings-open").click()
        for name, value in settings.items():
            name = "max_new_tokens" if name == "length" else name
            field = self.page.locator(f"#chat-{name}")
            if isinstance(value, bool):
                field.set_checked(value)
            else:
                field.fill(str(value))
                field.blur()
        self.page.locator("#chat-dialog").get_by_role("button", name="Done").click()

    def use_lora(self, on: bool) -> None:
        self.get("use-lora").set_checked(on, force=True)  # the box itself is drawn by its label

    def ask_model(self, question: str, timeout_ms: float = 60_000) -> str:
        """Ask and return the answer."""
        answers = self.get("chat-log").locator("[data-role=assistant]")
        count = answers.count()
        self.get("chat-input").fill(question)
        self.get("chat-send").click()
        expect(answers).to_have_count(count + 1)
        expect(answers.nth(count)).not_to_have_attribute("data-busy", "", timeout=timeout_ms)
        return answers.nth(count).locator(".msg-body").inner_text()

    # Files

    def download_adapter(self) -> bytes:
        with self.page.expect_download() as download:
            self.get("adapter-download").click()
        assert download.value.suggested_filename == "adapter_model.safetensors"
        return Path(download.value.path()).read_bytes()

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drop files on the page as a person does from a folder."""
        transfer = self.page.evaluate_handle(
            """files => {
              const transfer = new DataTransfer();
              for (const [name, bytes] of files) transfer.items.add(new File([Uint8Array.from(bytes)], name));
              return transfer;
            }""",  # noqa: E501
            [[name, list(data)] for name, data in files],
        )
        for kind in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event("body", kind, {"dataTransfer": transfer})

    def wait_adapter(self, words: str) -> None:
        expect(self.get("adapter-status")).to_contain_text(words, timeout=30_000)

    # Errors

    def wait_error(self, *words: str) -> str:
        """Wait for the error message; it must contain all the words."""
        expect(self.get("error")).to_be_visible(timeout=30_000)
        for word in words:
            expect(self.get("error")).to_contain_text(re.compile(re.escape(word), re.IGNORECASE))
        return self.text("error")


def payload(name: str, data: bytes) -> FilePayload:
    """Return a file as Playwright takes it."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}
