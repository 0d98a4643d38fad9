"""Requests about models: load one, say which would fit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.errors import DeviceLostError, OutOfGpuMemoryError, StudioError
from app.gpu.device import Device
from app.io.folder import ModelSource
from app.messages import say
from app.models.loader import Model, load_model
from app.plan.tuning_cache import TuningStore
from app.studio.conversation import Conversation
from app.studio.corpus import SupersededError
from app.studio.fits import fits_of
from app.studio.handlers import Handlers
from app.studio.protocol import (
    Message,
    ModelEvent,
    ModelLostEvent,
    ModelProgressEvent,
    to_message,
)
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
        self._loaded: Message | None = None

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
            async with place.job("loading"):
                model, made_room = await self._fetch_with_room(device, request, turn)
                try:
                    await self._tuning.settle(model, lambda: turn != self._turn)
                    self._check_turn(turn)
                except StudioError:
                    model.destroy()
                    raise
                place.post_device(device)
                await place.use_model(model)
                self._loaded = request
                event = _event_of(model, made_room=made_room)
                place.post(event)
                await place.checkpoints.announce(model.base_name)
                await place.kept_models.announce(model.base_name)
            return to_message(event)

    async def _fit(self, request: Any) -> Message:
        place = self._place
        speed = None if place.speed is None else place.training.speed
        return await fits_of(place.ready_device(), request, speed)

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            raise SupersededError(say("another model was chosen meanwhile"))

    async def _fetch_with_room(
        self, device: Device, request: Message, turn: int
    ) -> tuple[Model, bool]:
        """Return a model, and whether the one that was there had to go first.

        Raises:
            OutOfGpuMemoryError: it does not even fit alone; the other one is back.
        """
        place, loaded = self._place, self._loaded
        try:
            return await self._fetch(device, request, turn), False
        except OutOfGpuMemoryError:
            if place.model is None or loaded is None:
                raise
        name = place.model.base_name
        await device.calm()
        await place.set_aside()
        try:
            return await self._fetch(device, request, turn), True
        except (SupersededError, DeviceLostError):
            raise
        except StudioError as error:
            await device.calm()
            try:
                await self._bring_back(device, loaded, turn)
            except OutOfGpuMemoryError:
                place.post(ModelLostEvent())
                raise error from None
            raise type(error)(
                say("{error}. {model} is loaded again", error=error, model=name)
            ) from error

    async def _bring_back(self, device: Device, loaded: Message, turn: int) -> None:
        """Load the model again that had to go."""
        model = await self._fetch(device, loaded, turn)
        await self._place.use_model(model)
        self._place.post(_event_of(model))

    async def _fetch(self, device: Device, request: Message, turn: int) -> Model:
        quantize = quantization_of(request)
        try:
            source = await self._open_source(request["source"])
        except StudioError:
            self._check_turn(turn)  # given up for another one: nothing has failed
            raise

        def on_progress(loaded: int, total: int) -> None:
            self._check_turn(turn)
            self._place.post(ModelProgressEvent(source.name, "gpu", loaded, total))
            self._place.post_memory()

        self._check_turn(turn)
        return await load_model(device, source, on_progress, quantize)


def _event_of(model: Model, *, made_room: bool = False) -> ModelEvent:
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
        made_room=made_room,
    )
