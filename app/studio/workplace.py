"""What all requests of a session share: the device, the model, the desks, the status word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.errors import ConfigError, DeviceLostError, GpuError, NoAdapterError
from app.gpu.device import Device
from app.io.checkpoint_store import CheckpointStore
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.probe import measure_speed
from app.plan.speed import Speed
from app.studio.adapters import AdapterDesk
from app.studio.board import Job, StatusBoard
from app.studio.checkpoints import CheckpointDesk
from app.studio.conversation import Conversation
from app.studio.corpus import CorpusDesk
from app.studio.diagnosis import DiagnosisDesk
from app.studio.full import FullDesk
from app.studio.kept_model import KeptModels
from app.studio.loss import Loss, reopened
from app.studio.protocol import GpuEvent, MemoryEvent, ModelLostEvent
from app.studio.training import TrainingDesk

OpenDevice = Callable[[], Awaitable[Device]]


class Workplace:
    """Holds the GPU for one job at a time, and knows what is on it.

    Attributes:
        model: The loaded one.
        conversation: With it.
        speed: Of the device, once a plan was asked for.
        corpus, adapters, checkpoints, kept_models, full, training, diagnosis: What each looks
            after.
        board: The status word.
    """

    def __init__(
        self,
        post: Callable[[Any], None],
        open_device: OpenDevice,
        checkpoints: CheckpointStore | None,
        models: CheckpointStore | None = None,
    ) -> None:
        """Send events through `post`; keep runs and trained models where there are stores."""
        self.post = post
        self._open_device = open_device
        self._device: Device | None = None
        self._was_lost = False
        self._loss: Loss | None = None
        self.model: Model | None = None
        self.conversation: Conversation | None = None
        self.speed: Speed | None = None
        self.corpus = CorpusDesk()
        self.adapters = AdapterDesk(post, self._forget_adapter)
        self.checkpoints = CheckpointDesk(post, checkpoints, models)
        self.kept_models = KeptModels(post, models, checkpoints)
        self.full = FullDesk(post, self.kept_models)
        self.training = TrainingDesk(
            post, self.adapters, self.full, self.checkpoints, lambda: self.board.refresh()
        )
        self.diagnosis = DiagnosisDesk(post)
        self.board = StatusBoard(
            post,
            is_loaded=lambda: self.model is not None,
            is_paused=lambda: self.training.control.held,
        )
        self._measuring = asyncio.Lock()

    # The device

    async def find_device(self) -> None:
        """Open the device and tell the page what it is. Raises NoAdapterError."""
        opening = reopened(self._open_device) if self._was_lost else self._open_device()
        self._device = device = await opening
        self._was_lost = False
        device.on_lost(lambda error: self._hear_of_loss(device, error))
        self.diagnosis.forget()
        self.post_device(self._device)
        self.post_memory()

    async def found_device(self) -> Device:
        """Return the device; a new one where it was lost."""
        if self._was_lost:
            await self.find_device()
        return self.ready_device()

    def ready_device(self) -> Device:
        """Return the device. Raises NoAdapterError where there is none."""
        if self._device is None:
            raise NoAdapterError(say("there is no GPU to do this on: see the help on this page"))
        return self._device

    def post_device(self, device: Device) -> None:
        """Tell the page what the device is and which kernels it uses."""
        info, variants = device.info, device.tuning.describe()
        features = sorted(device.features)
        self.post(GpuEvent(info.name, info.backend, info.is_software, features, variants))

    def post_memory(self) -> None:
        """Tell the page what it holds on the device."""
        if self._device is not None:
            self.post(MemoryEvent(self._device.allocated_bytes))

    async def know_speed(self) -> Speed:
        """Measure the device before the first plan; a model is ready to talk without it."""
        async with self._measuring:
            if self.speed is None:
                self.speed = await measure_speed(self.ready_device())
                self.training.use_model(self.ready_model(), self.speed)
            return self.speed

    def _hear_of_loss(self, device: Device, error: DeviceLostError) -> None:
        """A device went away by itself: what is under way on it finds out, and has to end."""
        if device is not self._device:
            return
        if self.board.jobs:
            self.training.control.resume()  # who waits would wait for ever
        else:
            self._lose(device, error)
            self.board.show("error")
            self._tell_of_loss()

    def _lose(self, device: Device, error: DeviceLostError) -> None:
        """Forget everything that was on a device that went away; it needs no freeing."""
        if device is not self._device:
            return  # another job on it was the first to tell
        self._loss = Loss.of(error, self.board.jobs, had_tuned=self.full.is_unsaved)
        self.adapters.abandon()
        self.full.abandon()
        self._device, self.model, self.conversation = None, None, None
        self.speed = None
        self._was_lost = True
        self.training.control.resume()
        self.post(ModelLostEvent())

    def _tell_of_loss(self) -> None:
        """Tell the page once nothing is under way any more: it may ask for the model again."""
        if self._loss is not None and not self.board.jobs:
            loss, self._loss = self._loss, None
            self.post(loss.event())

    # Jobs

    @asynccontextmanager
    async def job(self, kind: Job) -> AsyncIterator[None]:
        """Hold the GPU for a job, and see to what is left if that goes wrong."""
        device = self._device
        try:
            with self.board.job(kind):
                try:
                    yield
                except DeviceLostError as error:
                    if device is not None:
                        self._lose(device, error)
                    raise
                except GpuError:
                    if device is not None:
                        try:
                            await device.calm()
                        except DeviceLostError as error:  # it failed a moment before it said so
                            self._lose(device, error)
                            raise
                    raise
                finally:
                    self.post_memory()
        finally:
            self._tell_of_loss()

    @asynccontextmanager
    async def device_job(self, device: Device) -> AsyncIterator[None]:
        """Hold the device for a job that needs no model."""
        self.board.require("ready", "error", "booting")
        before = self.board.status
        try:
            async with self.job("checking"):
                yield
        finally:
            if self.model is None and device is self._device:
                self.board.show(before)  # the board knows no word for an idle GPU

    # The model

    def ready_model(self) -> Model:
        """Return the loaded model. Raises NoAdapterError or ConfigError where there is none."""
        self.ready_device()
        if self.model is None:
            raise ConfigError(say("no model is loaded yet: wait for it, or choose one"))
        return self.model

    async def use_model(self, model: Model) -> None:
        """Work with another model; the one before it is freed."""
        await self.adapters.use_model(model)
        await self.full.replaced()
        self._free_model()
        self.model = model
        self.conversation = Conversation(model)
        self.corpus.forget()
        self.training.use_model(model, self.speed)

    async def set_aside(self) -> None:
        """Make room for a model: the one that is there goes, its adapters stay as files."""
        await self.adapters.set_aside()
        await self.full.replaced()
        self._free_model()
        self.conversation, self.model = None, None

    async def let_kept_model_go(self) -> None:
        """Forget the trained model that is kept until it is downloaded."""
        await self.full.let_go(self.model.base_name if self.model is not None else "")

    def close(self) -> None:
        """Free what is held on the device; the device itself stays open."""
        self.adapters.close()
        self.full.drop()
        self._free_model()
        self.conversation, self.model = None, None

    def _free_model(self) -> None:
        if self.conversation is not None:
            self.conversation.destroy()
        if self.model is not None:
            self.model.destroy()

    def _forget_adapter(self, adapter: Adapter) -> None:
        if self.conversation is not None:
            self.conversation.forget(adapter)
