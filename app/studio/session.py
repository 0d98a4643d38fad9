"""One person's session: the device, the model, the adapter, and what may happen when.

Independent of the browser: requests come in as dicts, events go out through `post`, and the
tests drive it natively.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from app.errors import ConfigError, NoAdapterError, StudioError
from app.gpu.device import Device
from app.io.source import ByteSource
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.plan.probe import measure_gflops
from app.studio.adapters import AdapterDesk
from app.studio.conversation import Conversation
from app.studio.corpus import CorpusDesk, SupersededError
from app.studio.protocol import (
    ChatRequest,
    ErrorEvent,
    GpuEvent,
    MemoryEvent,
    Message,
    ModelEvent,
    ModelProgressEvent,
    SettingsEvent,
    Status,
    StatusEvent,
    TokenEvent,
    to_message,
)
from app.studio.settings import describe_settings
from app.studio.training import TrainingDesk

OpenDevice = Callable[[], Awaitable[Device]]
OpenSource = Callable[[Any], Awaitable[ByteSource]]


class BusyError(StudioError):
    """The GPU is at work for something else."""


class Session:
    """Answers the page's requests, one GPU job at a time."""

    def __init__(
        self, post: Callable[[Message], None], open_device: OpenDevice, open_source: OpenSource
    ) -> None:
        """Send messages through `post`; `open_source` turns a request's source into bytes."""
        self._post_message = post
        self._open_device = open_device
        self._open_source = open_source
        self._status: Status = "booting"
        self._device: Device | None = None
        self._model: Model | None = None
        self._gflops = 0.0
        self._conversation: Conversation | None = None
        self._corpus = CorpusDesk()
        self._adapters = AdapterDesk(self.post, self._forget_adapter)
        self._training = TrainingDesk(self.post, self._adapters)
        self._loading = asyncio.Lock()
        self._load_turn = 0
        self._stop_chat = False
        self._jobs: set[str] = set()
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "load-model": self._load_model,
            "count-tokens": self._count_tokens,
            "plan": self._plan,
            "train": self._train,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "chat": self._chat,
            "chat-stop": self._chat_stop,
            "export-adapter": self._export_adapter,
            "import-adapter": self._import_adapter,
            "evaluate": self._evaluate,
            "self-check": self._self_check,
        }

    # Messages

    def post(self, event: Any) -> None:
        """Send an event to the page."""
        self._post_message(to_message(event))

    def _set_status(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self.post(StatusEvent(status))

    def _refresh_status(self) -> None:
        """Show the one word that is true now; an answer may be written while a run is paused."""
        if "loading" in self._jobs or "generating" in self._jobs:
            self._set_status("loading" if "loading" in self._jobs else "generating")
        elif "training" in self._jobs:
            self._set_status("paused" if self._training.control.paused else "training")
        elif self._model is not None:
            self._set_status("ready")

    def _post_memory(self) -> None:
        if self._device is not None:
            self.post(MemoryEvent(self._device.allocated_bytes))

    @contextmanager
    def _job(self, kind: Literal["loading", "training", "generating"]) -> Iterator[None]:
        """Hold the GPU for a job; a failure shows as `error` before the session goes on."""
        self._jobs.add(kind)
        self._refresh_status()
        try:
            yield
        except SupersededError:
            raise
        except BaseException:
            self._set_status("error")
            raise
        finally:
            self._jobs.remove(kind)
            self._refresh_status()
            self._post_memory()

    # Life

    async def start(self) -> None:
        """Open the device; tells the page what it is, or why there is none."""
        self.post(SettingsEvent(describe_settings()))
        try:
            self._device = await self._open_device()
        except StudioError as error:
            self.post(ErrorEvent(str(error), type(error).__name__))
            self._set_status("error")
            return
        info = self._device.info
        features = sorted(self._device.features)
        self.post(GpuEvent(info.name, info.backend, info.is_software, features))
        self._post_memory()

    def close(self) -> None:
        """Free what the session holds on the device; the device itself stays open."""
        self._adapters.close()
        if self._conversation is not None:
            self._conversation.destroy()
        if self._model is not None:
            self._model.destroy()
        self._conversation, self._model = None, None

    async def handle(self, request: Message) -> None:
        """Answer one request; whatever goes wrong becomes a sentence in the answer."""
        answer: Message = {"id": request["id"]}
        try:
            handler = self._handlers.get(request["type"])
            if handler is None:
                raise ConfigError(f"the page asked for {request['type']!r}: reload it")
            answer["result"] = await handler(request)
        except StudioError as error:
            answer |= {"error": _sentence(str(error)), "kind": type(error).__name__}
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            reason = f"{type(error).__name__}: {error}"
            answer |= {
                "error": f"Something failed that should not ({reason}). Your text and adapter "
                "are still here; try again, or reload the page after downloading the adapter.",
                "kind": "InternalError",
            }
        self._post_message(answer)

    def _ready_device(self) -> Device:
        if self._device is None:
            raise NoAdapterError("there is no GPU to do this on: see the help on this page")
        return self._device

    def _ready_model(self) -> Model:
        self._ready_device()
        if self._model is None:
            raise ConfigError("no model is loaded yet: wait for it, or choose one")
        return self._model

    def _require(self, *allowed: Status) -> None:
        if self._status not in allowed:
            raise BusyError(f"the GPU is {self._status}: wait for it, or stop it first")

    # Model

    async def _load_model(self, request: Message) -> Message:
        device = self._ready_device()
        self._require("booting", "loading", "ready", "error")
        self._load_turn += 1
        turn = self._load_turn
        async with self._loading:
            self._check_turn(turn)
            with self._job("loading"):
                model = await self._fetch_model(device, request["source"], turn)
                await self._use_model(model)
                event = self._model_event(model)
                self.post(event)
            return to_message(event)

    def _check_turn(self, turn: int) -> None:
        if turn != self._load_turn:
            raise SupersededError("another model was chosen meanwhile")

    async def _fetch_model(self, device: Device, spec: Any, turn: int) -> Model:
        source = await self._open_source(spec)

        def on_progress(loaded: int, total: int) -> None:
            self._check_turn(turn)
            self.post(ModelProgressEvent(source.name, "gpu", loaded, total))
            self._post_memory()

        self._check_turn(turn)
        return await load_model(device, source, on_progress)

    async def _use_model(self, model: Model) -> None:
        if not self._gflops:
            self._gflops = await measure_gflops(model.device)
        await self._adapters.use_model(model)
        if self._conversation is not None:
            self._conversation.destroy()
        if self._model is not None:
            self._model.destroy()
        self._model = model
        self._conversation = Conversation(model)
        self._corpus.forget()
        self._training.use_model(model, self._gflops)

    def _model_event(self, model: Model) -> ModelEvent:
        config = model.config
        embedding = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
        norms = (2 * config.num_hidden_layers + 1) * config.hidden_size
        return ModelEvent(
            name=model.base_name,
            architecture=config.architecture,
            num_parameters=config.num_matmul_parameters + embedding + norms,
            num_layers=config.num_hidden_layers,
            vocab_size=config.vocab_size,
            max_context=Conversation.context_of(config),
            weights_bytes=model.weights_bytes,
            gflops=self._gflops,
        )

    # Text and training

    async def _count_tokens(self, request: Message) -> Message:
        model = self._ready_model()
        corpus = await self._corpus.tokenize(request["corpus"], model.tokenizer)
        return {
            "num_tokens": int(corpus.token_ids.size),
            "num_characters": corpus.num_characters,
        }

    async def _plan(self, request: Any) -> Message:
        corpus = await self._corpus.tokenize(request["corpus"], self._ready_model().tokenizer)
        return to_message(self._training.plan(request, corpus.token_ids))

    async def _train(self, request: Any) -> Message:
        model = self._ready_model()
        self._require("ready", "error")
        with self._job("training"):
            corpus = await self._corpus.tokenize(request["corpus"], model.tokenizer, pinned=True)
            return await self._training.train(request, corpus.token_ids, self._post_memory)

    async def _pause(self, _request: Message) -> None:
        self._training.control.pause()
        self._refresh_status()

    async def _resume(self, _request: Message) -> None:
        self._training.control.resume()
        self._refresh_status()

    async def _stop(self, _request: Message) -> None:
        self._training.stop()
        self._refresh_status()

    async def _evaluate(self, request: Any) -> Message:
        model = self._ready_model()
        self._require("ready")
        with self._job("generating"):
            corpus = await self._corpus.tokenize(request["corpus"], model.tokenizer, pinned=True)
            return await self._training.evaluate(request, corpus.token_ids)

    # Chat

    async def _chat(self, request: ChatRequest) -> Message:
        self._ready_model()
        self._require("ready", "paused")
        assert self._conversation is not None
        adapter = self._adapters.current if request["use_lora"] else None
        if request["use_lora"] and adapter is None:
            raise ConfigError("there is no adapter yet: train one or load one, or switch to Base")
        self._stop_chat = False
        with self._job("generating"):
            answer = await self._conversation.answer(
                request,
                adapter,
                on_text=lambda text: self.post(TokenEvent(request["id"], text)),
                should_stop=lambda: self._stop_chat,
            )
        return to_message(answer)

    async def _chat_stop(self, _request: Message) -> None:
        self._stop_chat = True

    # Adapter

    def _forget_adapter(self, adapter: Adapter) -> None:
        if self._conversation is not None:
            self._conversation.forget(adapter)

    async def _export_adapter(self, _request: Message) -> Message:
        self._ready_model()
        return await self._adapters.export()

    async def _import_adapter(self, request: Any) -> Message:
        self._ready_model()
        self._require("ready", "error")
        info = await self._adapters.load(request)
        self._post_memory()
        return to_message(info)

    async def _self_check(self, _request: Message) -> Message:
        from app.studio.selfcheck import run_selfcheck

        device = self._ready_device()
        self._require("ready", "error", "booting")
        with self._job("generating"):
            results = await run_selfcheck(device)
        return {"results": [to_message(result) for result in results]}


def _sentence(message: str) -> str:
    """Return a message as a sentence: full stop last, capital first unless it is a name."""
    text = message.strip() or "Something failed without saying why: try again."
    if text.split(" ", 1)[0].isalpha():
        text = text[0].upper() + text[1:]
    return text + ("" if text[-1] in ".!?" else ".")
