"""A session on the native device, driven as the page drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.errors import FormatError
from app.gpu.device import Device
from app.io.folder import ModelFolder, ModelSource
from app.io.source import MemorySource
from app.studio.session import Session
from tests.tiny_model import make_tiny_gguf

Message = dict[str, Any]

TEXT = (
    "The keeper of the lamp wrote the weather in a book. The wind came from the north and the "
    "sea was high. In the morning the boat came with bread and letters. "
) * 6

EDITS: Message = {"max_seq_len": 32, "micro_batch_size": 2, "steps": 3}


class Page:
    """What the page does: sends requests, hears answers and events."""

    def __init__(self, device: Device) -> None:
        self.heard: list[Message] = []
        self.device = device
        self.sources: dict[str, bytes | ModelFolder] = {}
        self.asleep: dict[str, asyncio.Event] = {}
        self.session = Session(self._hear, self._open_device, self._open_source)
        self._listeners: list[Callable[[Message], None]] = []
        self._next_id = 1

    async def _open_device(self) -> Device:
        return self.device

    async def _open_source(self, spec: Any) -> ModelSource:
        if spec in self.asleep:
            await self.asleep[spec].wait()
            raise FormatError("the download was given up")
        source = self.sources[spec]
        return source if isinstance(source, ModelFolder) else MemorySource(source, str(spec))

    def _hear(self, message: Message) -> None:
        self.heard.append(message)
        for listener in self._listeners:
            listener(message)

    def listen(self, listener: Callable[[Message], None]) -> None:
        """Call `listener` with every message from now on."""
        self._listeners.append(listener)

    async def send(self, kind: str, **fields: Any) -> Message:
        """Return the whole answer, be it a result or an error."""
        number = self._next_id
        self._next_id += 1
        await self.session.handle({"id": number, "type": kind, **fields})
        (answer,) = [message for message in self.heard if message.get("id") == number]
        return answer

    async def ask(self, kind: str, **fields: Any) -> Any:
        """Return the result; a refusal fails the test."""
        answer = await self.send(kind, **fields)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def refused(self, kind: str, **fields: Any) -> str:
        """Return the sentence of a refusal."""
        answer = await self.send(kind, **fields)
        assert "error" in answer, answer
        sentence: str = answer["error"]
        assert answer["kind"] != "InternalError", sentence
        assert sentence.endswith((".", "!", "?"))
        return sentence

    async def chat(self, question: str, *, use_lora: bool, **settings: Any) -> Message:
        """Ask one question greedily."""
        answer: Message = await self.ask("chat", **chat_fields(question, use_lora, **settings))
        return answer

    async def train(self, **edits: Any) -> Message:
        """Run a short training."""
        result: Message = await self.ask("train", **run_fields(**edits))
        return result

    def events(self, kind: str) -> list[Message]:
        """Return what was heard of one type."""
        return [message for message in self.heard if message.get("type") == kind]

    def statuses(self) -> list[str]:
        """Return the status words in the order they came."""
        return [message["status"] for message in self.events("status")]


def chat_fields(
    question: str,
    use_lora: bool,
    *,
    messages: list[Message] | None = None,
    raw: bool = False,
    **settings: Any,
) -> Message:
    """Return what a chat asks for: greedily, unless the settings say otherwise."""
    return {
        "messages": messages or [{"role": "user", "content": question}],
        "use_lora": use_lora,
        "raw": raw,
        "settings": {"temperature": 0, "max_new_tokens": 12} | settings,
    }


def run_fields(
    text: str = TEXT, *, keep_adapter: bool = False, corpus: Message | None = None, **edits: Any
) -> Message:
    """Return what plan, train and evaluate ask for."""
    return {
        "corpus": corpus or {"text": text},
        "edits": EDITS | edits,
        "keep_adapter": keep_adapter,
    }


@pytest.fixture(scope="session")
def tiny_gguf() -> bytes:
    """A random two-layer model."""
    return make_tiny_gguf()


@pytest.fixture
def page(device: Device, tiny_gguf: bytes) -> Iterator[Page]:
    """A page whose session has not started."""
    page = Page(device)
    page.sources["tiny.gguf"] = tiny_gguf
    yield page
    page.session.close()


@pytest.fixture
def loaded(page: Page) -> Page:
    """A page with the tiny model loaded."""

    async def start() -> None:
        await page.session.start()
        await page.ask("load-model", source="tiny.gguf")

    asyncio.run(start())
    return page
