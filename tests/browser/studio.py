"""The page as a person uses it: by its test ids, with what the worker said kept aside."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.recorder import ANSWER, ANSWERED, COUNTED, SETTLED

BOOT_MS = 60_000
TRAIN_MS = 120_000
PATIENCE_MS = 60_000
"""What is waited for at most where nothing else is said: a test that fails may take its time."""


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
        with self.loading():
            self.choose("model-file", name, data)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Wait at the end for the model that what is done here asks for."""
        asked = self.num_requests()
        yield
        self.wait_answer("load-model", asked)
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
        shown = "word => document.querySelector('[data-testid=status]')?.dataset.value === word"
        self.wait_for(shown, status, timeout_ms)

    # What the worker said

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = self.page.evaluate("kind => lab.events.filter(e => e.type === kind)", kind)
        return cast("list[dict[str, Any]]", found)

    def wait_for_event(self, kind: str, seconds: float = PATIENCE_MS / 1e3) -> None:
        said = "kind => globalThis.lab?.events.some(e => e.type === kind)"
        self.wait_for(said, kind, seconds * 1e3)

    def wait_events(self, kind: str, count: int, timeout_ms: float = TRAIN_MS) -> None:
        """Wait until the worker has said something so many times since the page was opened."""
        said = "([kind, n]) => lab.events.filter(e => e.type === kind).length >= n"
        self.wait_for(said, [kind, count], timeout_ms)

    def wait_for(self, holds: str, arg: Any = None, timeout_ms: float = PATIENCE_MS) -> Any:
        """Wait until a function in the page returns something, and return that.

        It is asked far more often than what `expect` looks at, once a second after a while.
        """
        found = self.page.wait_for_function(holds, arg=arg, timeout=timeout_ms, polling=20)
        return found.json_value()

    def num_requests(self) -> int:
        """Return how many requests the page has sent."""
        return int(self.page.evaluate("globalThis.lab?.requests.length ?? 0"))

    def wait_answer(self, kind: str, since: int, timeout_ms: float = TRAIN_MS) -> dict[str, Any]:
        """Wait for the answer to the last request of a kind, and until the page shows it.

        Args:
            kind: Of the request.
            since: How many requests there were before it.
            timeout_ms: For the answer.
        """
        answer: dict[str, Any] = self.wait_for(ANSWER, [kind, since], timeout_ms)
        assert "error" not in answer, answer["error"]
        self.settle()
        return answer

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, and wait until its charts have followed."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.settle()

    def settle(self) -> None:
        """Wait until the page shows all that it knows."""
        self.page.evaluate(SETTLED)

    @contextmanager
    def held(self, kind: str) -> Iterator[None]:
        """Let requests of a kind wait meanwhile: what a person does before the worker answers."""
        self.page.evaluate("kind => { lab.held = kind; }", kind)
        yield
        self.page.evaluate(
            "() => { lab.held = null; for (const send of lab.waiting.splice(0)) send(); }"
        )

    def press_when(self, kind: str, times: int, test_id: str, after_ms: int = 0) -> None:
        """Press a button as soon as the worker says something so many times more.

        A test that looks first and presses then may come too late for a run that is quick.
        """
        press = {
            "kind": kind,
            "times": times,
            "button": f"[data-testid={test_id}]",
            "after": after_ms,
        }
        self.page.evaluate("press => { lab.presses.push(press); }", press)

    def events_before_press(self, kind: str) -> list[dict[str, Any]]:
        """Return what the worker had said when a button was pressed by `press_when`."""
        found = self.page.evaluate(
            "kind => lab.events.slice(0, lab.presses.at(-1).at).filter(e => e.type === kind)", kind
        )
        return cast("list[dict[str, Any]]", found)

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send the worker a request beside the page and return the answer."""
        answer = self.page.evaluate("([type, fields]) => lab.ask(type, fields)", [kind, fields])
        return cast("dict[str, Any]", answer)

    # Text and settings

    def paste(self, text: str) -> None:
        self.get("corpus-text").fill(text)

    def wait_counted(self) -> int:
        self.settle()  # what was counted before is no longer there
        return int(self.wait_for(COUNTED))

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
        expect(card).to_have_attribute("data-selected", "")
        self.page.locator("#plan-dialog footer .primary").click()

    # Training

    def train(self) -> None:
        self.wait_for("() => !document.querySelector('[data-testid=train]').disabled")
        self.get("train").click()

    def wait_steps(self, count: int, seconds: float = TRAIN_MS / 1e3) -> None:
        self.wait_events("step", count, seconds * 1e3)

    def train_to_end(self, timeout_ms: float = TRAIN_MS) -> list[dict[str, Any]]:
        """Train, wait for the end and return the steps of this run."""
        before = len(self.events("step"))
        with self.training(timeout_ms):
            self.train()
        return self.events("step")[before:]

    def stop(self) -> None:
        """Press Stop and wait until the run is over, with all that it leaves."""
        self.get("stop").click()
        self.wait_answer("train", 0)
        self.wait_status("ready")

    @contextmanager
    def training(self, timeout_ms: float = TRAIN_MS) -> Iterator[None]:
        """Wait at the end for the end of the run that what is done here asks for."""
        asked = self.num_requests()
        yield
        self.wait_answer("train", asked, timeout_ms)
        self.wait_status("ready")

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
        self.wait_for(ANSWERED, count, timeout_ms)
        expect(answers).to_have_count(count + 1)
        return answers.nth(count).locator(".msg-body").inner_text()

    # Files

    def download_adapter(self) -> bytes:
        with self.page.expect_download() as download:
            self.get("adapter-download").click()
        assert download.value.suggested_filename == "adapter_model.safetensors"
        return Path(download.value.path()).read_bytes()

    def load_adapter(self, name: str, data: bytes) -> None:
        asked = self.num_requests()
        self.choose("adapter-drop", name, data)
        self.wait_answer("import-adapter", asked)
        self.wait_adapter(name)

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
        expect(self.get("adapter-status")).to_contain_text(words)

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
