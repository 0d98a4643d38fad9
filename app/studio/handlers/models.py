"""Requests about models: load one, say which would fit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.errors import StudioError
from app.gpu.device import Device
from app.io.folder import ModelSource
from app.messages import say
from app.models.loader import Model, load_model
from app.plan.tuning_cache import TuningStore
from app.studio.conversation import Conversation
from app.studio.corpus import SupersededError
from app.studio.fits import fits_of
from app.studio.handlers import Handlers
from app.studio.protocol import Message, ModelEvent, ModelProgressEvent, to_message
from app.studio.settings import quantization_of
from app.studio.tuning import TuningDesk
from app.studio.workplace import Workplace

OpenSource = Callable[[Any], Awaitable[ModelSource]]


class ModelHandlers:
    """Loads models; of two that are chosen one after the other, the later."""

    def __init__(
        self, workplace: Workplace, open_source: OpenSource, tunings: TuningStore | None
    ) -> None:
        """Read models through `open_source`; tune where there is a store to keep it in."""
        self._place = workplace
        self._open_source = open_source
        self._tuning = TuningDesk(workplace.post, tunings)
        self._loading = asyncio.Lock()
        self._turn = 0

    @property
    def handlers(self) -> Handlers:
        """Type of request → handler."""
        return {"load-model": self._load, "fit-models": self._fit}

    async def _load(self, request: Message) -> Message:
        place = self._place
        await place.diagnosis.give_way()
        place.board.require("booting", "loading", "ready", "error")
        place.full.check_saved(request)
        device = await place.found_device()
        self._turn += 1
        turn = self._turn
        async with self._loading:
            self._check_turn(turn)
            with place.job("loading"):
                model = await self._fetch(device, request, turn)
                try:
                    await self._tuning.settle(model, lambda: turn != self._turn)
                    self._check_turn(turn)
                except StudioError:
                    model.destroy()
                    raise
                place.post_device(device)
                await place.use_model(model)
                event = _event_of(model)
                place.post(event)
                await place.checkpoints.announce(model.base_name)
            return to_message(event)

    async def _fit(self, request: Any) -> Message:
        return await fits_of(self._place.ready_device(), request)

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            raise SupersededError(say("another model was chosen meanwhile"))

    async def _fetch(self, device: Device, request: Message, turn: int) -> Model:
        quantize = quantization_of(request)
        source = await self._open_source(request["source"])

        def on_progress(loaded: int, total: int) -> None:
            self._check_turn(turn)
            self._place.post(ModelProgressEvent(source.name, "gpu", loaded, total))
            self._place.post_memory()

        self._check_turn(turn)
        return await load_model(device, source, on_progress, quantize)


def _event_of(model: Model) -> ModelEvent:
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
