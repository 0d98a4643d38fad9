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
from typing import Any

from app.config import QUANTIZATIONS
from app.errors import ConfigError, DeviceLostError, NoAdapterError, Problems, StudioError
from app.gpu.device import Device
from app.io.checkpoint import CheckpointStore
from app.io.folder import ModelSource
from app.messages import say, told_in, whole
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.plan.probe import measure_speed
from app.plan.run_input import packing_of
from app.plan.speed import Speed
from app.plan.tuning_cache import TuningStore
from app.runs.resumed import resumed_settings
from app.studio.adapters import AdapterDesk
from app.studio.bench import BenchDesk
from app.studio.board import Job, StatusBoard
from app.studio.checkpoints import CheckpointDesk
from app.studio.conversation import Conversation
from app.studio.corpus import CorpusDesk, SupersededError, TokenizedCorpus
from app.studio.diagnosis import DiagnosisDesk
from app.studio.fits import fits_of
from app.studio.full import FullDesk
from app.studio.protocol import (
    ChatRequest,
    ErrorEvent,
    GpuEvent,
    MemoryEvent,
    Message,
    ModelEvent,
    ModelLostEvent,
    ModelProgressEvent,
    SettingsEvent,
    TokenEvent,
    to_message,
)
from app.studio.runs import check_settings
from app.studio.settings import describe_generation, describe_presets, describe_settings, labelled
from app.studio.training import TrainingDesk
from app.studio.tuning import TuningDesk

OpenDevice = Callable[[], Awaitable[Device]]
OpenSource = Callable[[Any], Awaitable[ModelSource]]


class Session:
    """Answers the page's requests, one GPU job at a time."""

    def __init__(
        self,
        post: Callable[[Message], None],
        open_device: OpenDevice,
        open_source: OpenSource,
        tunings: TuningStore | None = None,
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        """Send messages through `post`; `open_source` turns a request's source into bytes.

        Hardware is tuned where there is a store to keep `tunings` in, and runs can be gone on
        with where there is one for `checkpoints`.
        """
        self._post_message = post
        self._open_device = open_device
        self._open_source = open_source
        self._device: Device | None = None
        self._was_lost = False
        self._model: Model | None = None
        self._speed: Speed | None = None
        self._conversation: Conversation | None = None
        self._corpus = CorpusDesk()
        self._adapters = AdapterDesk(self.post, self._forget_adapter)
        self._checkpoints = CheckpointDesk(self.post, checkpoints)
        self._full = FullDesk(self.post)
        self._training = TrainingDesk(self.post, self._adapters, self._full, self._checkpoints)
        self._tuning = TuningDesk(self.post, tunings)
        self._diagnosis = DiagnosisDesk(self.post)
        self._bench = BenchDesk(self.post, open_source, tunings)
        self._board = StatusBoard(
            self.post,
            is_loaded=lambda: self._model is not None,
            is_paused=lambda: self._training.control.paused,
        )
        self._loading = asyncio.Lock()
        self._measuring = asyncio.Lock()
        self._load_turn = 0
        self._stop_chat = False
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "load-model": self._load_model,
            "count-tokens": self._count_tokens,
            "check-settings": self._check_settings,
            "plan": self._plan,
            "preview": self._preview,
            "train": self._train,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "chat": self._chat,
            "chat-stop": self._chat_stop,
            "export-adapter": self._export_adapter,
            "import-adapter": self._import_adapter,
            "edit-adapter": self._edit_adapter,
            "delete-adapter": self._delete_adapter,
            "evaluate": self._evaluate,
            "diagnose": self._diagnose,
            "self-check": self._self_check,
            "self-check-stop": self._stop_self_check,
            "device-report": self._device_report,
            "bench": self._run_bench,
            "bench-stop": self._stop_bench,
            "discard-checkpoint": self._discard_checkpoint,
            "export-model": self._export_model,
            "discard-model": self._discard_model,
            "fit-models": self._fit_models,
        }

    # Messages

    def post(self, event: Any) -> None:
        """Send an event to the page."""
        self._send(to_message(event))

    def _send(self, message: Message) -> None:
        """Send a message, with what its sentences were made of: the page may translate them."""
        words = told_in(message)
        self._post_message({**message, "words": words} if words else message)

    def _post_memory(self) -> None:
        if self._device is not None:
            self.post(MemoryEvent(self._device.allocated_bytes))

    @contextmanager
    def _job(self, kind: Job) -> Iterator[None]:
        """Hold the GPU for a job, and see to what is left if the device goes away."""
        with self._board.job(kind):
            try:
                yield
            except DeviceLostError as error:
                self._lose_device()
                raise DeviceLostError(
                    say(
                        "{error}. What was on it is gone: download the adapter if one is offered "
                        "below, then choose the model again or reload the page",
                        error=error,
                    )
                ) from error
            finally:
                self._post_memory()

    # Life

    async def start(self) -> None:
        """Open the device; tells the page what it is, or why there is none."""
        self.post(SettingsEvent(describe_settings(), describe_generation(), describe_presets()))
        try:
            await self._find_device()
        except StudioError as error:
            self.post(ErrorEvent(whole(error.sentence), type(error).__name__))
            self._board.show("error")

    async def _find_device(self) -> None:
        self._device = await self._open_device()
        self._was_lost = False
        self._diagnosis.forget()
        self._post_gpu(self._device)
        self._post_memory()

    def _post_gpu(self, device: Device) -> None:
        info, variants = device.info, device.tuning.describe()
        features = sorted(device.features)
        self.post(GpuEvent(info.name, info.backend, info.is_software, features, variants))

    def _lose_device(self) -> None:
        """Forget everything that was on a device that went away; it needs no freeing."""
        self._adapters.abandon()
        self._full.abandon()
        self._device, self._model, self._conversation = None, None, None
        self._speed = None
        self._was_lost = True
        self.post(ModelLostEvent())

    def close(self) -> None:
        """Free what the session holds on the device; the device itself stays open."""
        self._adapters.close()
        self._full.drop()
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
                raise ConfigError(
                    say("the page asked for {type}: reload it", type=f"{request['type']!r}")
                )
            answer["result"] = await handler(request)
        except StudioError as error:
            told = [labelled(problem) for problem in error.problems] or [str(error)]
            problems = [whole(problem) for problem in told]
            message = problems[0] if len(problems) == 1 else " ".join(problems)
            answer |= {"error": message, "kind": type(error).__name__}
            if len(problems) > 1:
                answer["problems"] = problems
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            reason = f"{type(error).__name__}: {error}"
            answer |= {
                "error": say(
                    "Something failed that should not ({reason}). Your text and adapter are still "
                    "here; try again, or reload the page after downloading the adapter.",
                    reason=reason,
                ),
                "kind": "InternalError",
            }
        self._send(answer)

    def _ready_device(self) -> Device:
        if self._device is None:
            raise NoAdapterError(say("there is no GPU to do this on: see the help on this page"))
        return self._device

    def _ready_model(self) -> Model:
        self._ready_device()
        if self._model is None:
            raise ConfigError(say("no model is loaded yet: wait for it, or choose one"))
        return self._model

    # Model

    async def _load_model(self, request: Message) -> Message:
        self._board.require("booting", "loading", "ready", "error")
        self._full.check_saved(request)
        if self._was_lost:
            await self._find_device()
        device = self._ready_device()
        self._load_turn += 1
        turn = self._load_turn
        async with self._loading:
            self._check_turn(turn)
            with self._job("loading"):
                model = await self._fetch_model(device, request, turn)
                try:
                    await self._tuning.settle(model, lambda: turn != self._load_turn)
                    self._check_turn(turn)
                except StudioError:
                    model.destroy()
                    raise
                self._post_gpu(device)
                await self._use_model(model)
                event = self._model_event(model)
                self.post(event)
                await self._checkpoints.announce(model.base_name)
            return to_message(event)

    async def _fit_models(self, request: Any) -> Message:
        return await fits_of(self._ready_device(), request)

    def _check_turn(self, turn: int) -> None:
        if turn != self._load_turn:
            raise SupersededError(say("another model was chosen meanwhile"))

    async def _fetch_model(self, device: Device, request: Message, turn: int) -> Model:
        quantize = request.get("quantize", "none")
        if quantize not in QUANTIZATIONS:
            raise ConfigError(
                say(
                    "quantize is {quantize}: choose from {quantizations}",
                    quantize=f"{quantize!r}",
                    quantizations=", ".join(QUANTIZATIONS),
                )
            )
        source = await self._open_source(request["source"])

        def on_progress(loaded: int, total: int) -> None:
            self._check_turn(turn)
            self.post(ModelProgressEvent(source.name, "gpu", loaded, total))
            self._post_memory()

        self._check_turn(turn)
        return await load_model(device, source, on_progress, quantize)

    async def _use_model(self, model: Model) -> None:
        await self._adapters.use_model(model)
        self._full.drop()
        if self._conversation is not None:
            self._conversation.destroy()
        if self._model is not None:
            self._model.destroy()
        self._model = model
        self._conversation = Conversation(model)
        self._corpus.forget()
        self._training.use_model(model, self._speed)

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
            quantization=model.quantization,
        )

    # Text and training

    async def _count_tokens(self, request: Message) -> Message:
        model = self._ready_model()
        corpus = await self._corpus.tokenize(request["corpus"], model)
        return {
            "num_tokens": corpus.documents.num_tokens,
            "num_characters": corpus.num_characters,
        }

    async def _know_speed(self) -> None:
        """Measure the device before the first plan; a model is ready to talk without it."""
        async with self._measuring:
            if self._speed is None:
                self._speed = await measure_speed(self._ready_device())
                self._training.use_model(self._ready_model(), self._speed)

    async def _plan(self, request: Any) -> Message:
        corpus = await self._tokenize(request)
        await self._know_speed()
        return to_message(self._training.plan(request, corpus))

    async def _preview(self, request: Any) -> Message:
        corpus = await self._tokenize(request)
        await self._know_speed()
        return to_message(self._training.preview(request, corpus))

    async def _tokenize(self, request: Any, *, pinned: bool = False) -> TokenizedCorpus:
        """Return the tokens of a run's corpus; what is wrong with its settings is told along."""
        model, edits = self._ready_model(), request["edits"]
        packing = packing_of(edits.get("packing"))
        problems = Problems()
        with problems.gathered(but=SupersededError):
            return await self._corpus.tokenize(
                request["corpus"], model, packing=packing, pinned=pinned
            )
        check_settings(edits, problems, model)
        raise problems.together()

    async def _check_settings(self, request: Any) -> None:
        """Say what is wrong with edits, where there is no text yet and perhaps no model."""
        problems = Problems()
        check_settings(request["edits"], problems, self._model)
        problems.raise_if_any()

    async def _train(self, request: Any) -> Message:
        self._ready_model()
        self._board.require("ready", "error")
        with self._job("training"):
            resumed = await self._checkpoints.load() if request.get("resume") else None
            if resumed is not None:
                edits = resumed_settings(resumed)
                request = {**request, "edits": edits, "keep_adapter": False}
            elif request["edits"].get("mode") == "full":
                self._full.check_saved(request)
            corpus = await self._tokenize(request, pinned=True)
            await self._know_speed()
            return await self._training.train(request, corpus, self._post_memory, resumed)

    async def _discard_checkpoint(self, _request: Message) -> None:
        model = self._ready_model()
        self._board.require("ready", "error")
        await self._checkpoints.clear()
        await self._checkpoints.announce(model.base_name)

    async def _pause(self, _request: Message) -> None:
        self._training.control.pause()
        self._board.refresh()

    async def _resume(self, _request: Message) -> None:
        self._training.control.resume()
        self._board.refresh()

    async def _stop(self, _request: Message) -> None:
        self._training.stop()
        self._board.refresh()

    async def _evaluate(self, request: Any) -> Message:
        self._ready_model()
        self._board.require("ready")
        with self._job("generating"):
            if request.get("text"):
                edits = {**request["edits"], "eval_fraction": 0}
                request = {**request, "corpus": {"text": request["text"]}, "edits": edits}
            corpus = await self._tokenize(request, pinned=True)
            await self._know_speed()
            return await self._training.evaluate(request, corpus)

    # Chat

    async def _chat(self, request: ChatRequest) -> Message:
        self._ready_model()
        self._board.require("ready", "paused")
        assert self._conversation is not None
        adapter, strength = None, 1.0
        if request["use_lora"]:
            adapter, strength = self._adapters.find(request.get("adapter"))
        conversation = self._conversation
        if request.get("use_tuned"):
            conversation = self._full.conversation
        self._stop_chat = False
        with self._job("generating"):
            answer = await conversation.answer(
                request,
                adapter,
                strength,
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

    async def _export_adapter(self, request: Any) -> Message:
        self._ready_model()
        return await self._adapters.export(request)

    async def _edit_adapter(self, request: Any) -> None:
        self._adapters.edit(request)

    async def _delete_adapter(self, request: Message) -> None:
        self._board.require("ready", "error")
        self._adapters.delete(request["adapter"])
        self._post_memory()

    async def _import_adapter(self, request: Any) -> Message:
        self._ready_model()
        self._board.require("ready", "error")
        info = await self._adapters.load(request)
        self._post_memory()
        return to_message(info)

    async def _export_model(self, request: Message) -> Message:
        self._board.require("ready", "paused")
        with self._job("generating"):
            return await self._full.export(request)

    async def _discard_model(self, _request: Message) -> None:
        self._board.require("ready", "error")
        self._full.drop()
        self._post_memory()

    # The device itself

    @contextmanager
    def _device_job(self, device: Device) -> Iterator[None]:
        """Hold the device for a job that needs no model."""
        self._board.require("ready", "error", "booting")
        before = self._board.status
        try:
            with self._job("generating"):
                yield
        finally:
            if self._model is None and device is self._device:
                self._board.show(before)  # the board knows no word for an idle GPU

    async def _found_device(self) -> Device:
        """Return the device; a new one where it was lost."""
        if self._was_lost:
            await self._find_device()
        return self._ready_device()

    async def _diagnose(self, request: Any) -> Message:
        device = await self._found_device()
        if not request.get("measure"):
            return self._diagnosis.describe(device)
        with self._device_job(device):
            return await self._diagnosis.measure(device)

    async def _self_check(self, request: Any) -> Message:
        device = await self._found_device()
        with self._device_job(device):
            return await self._diagnosis.check(device, request)

    async def _stop_self_check(self, _request: Message) -> None:
        self._diagnosis.stop()

    async def _device_report(self, request: Any) -> str:
        return self._diagnosis.report(request["about"])

    async def _run_bench(self, request: Any) -> Message:
        device = await self._found_device()
        with self._device_job(device):
            return await self._bench.run(device, request)

    async def _stop_bench(self, _request: Message) -> None:
        self._bench.stop()
