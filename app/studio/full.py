"""The model whose weights were all trained: made, talked to, handed out.

It lies beside the one that it began as, which stays as it was loaded: both can answer. The plan
counts both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.errors import (
    ConfigError,
    DeviceLostError,
    NoTunedModelError,
    StudioError,
    TrainingDivergedError,
    UnsavedModelError,
)
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.messages import say
from app.models.export_files import zipped_model
from app.models.loader import Model, free_own_weights
from app.plan.full import check_full_run
from app.runs.course import Course
from app.runs.history import History
from app.runs.identity import RunIdentity
from app.runs.parts import Listener, Parts
from app.runs.record import FILE_NAME as RECORD_NAME
from app.runs.record import record_text
from app.runs.resumed import check_resumable
from app.studio.conversation import Conversation
from app.studio.corpus import TokenizedCorpus
from app.studio.kept_model import KeptModels, Tuned
from app.studio.protocol import (
    KeepingEvent,
    Message,
    ModelPieceEvent,
    PreparingEvent,
    TunedEvent,
    TunedInfo,
)
from app.studio.provenance import LearntTexts, split_of, text_hash
from app.studio.runs import RunLayout
from app.train.control import RunControl
from app.train.full.trainer import FullTrainer
from app.train.records import StepRecord

CONFIRM = say("Confirm it in the dialog")


@dataclass(frozen=True)
class FullRun:
    """A run to make.

    Attributes:
        base: The loaded model, which stays as it is.
        gflops: Measured speed of the device.
        is_confirmed: The person has read what it takes.
        listener: Who hears of steps, evaluations and samples.
        on_begin: Called when the run is allocated.
        store: Where checkpoints go, if anywhere.
        resumed: Where the run goes on from.
        on_history: Told what a run that goes on had reported before.
    """

    base: Model
    layout: RunLayout
    corpus: TokenizedCorpus
    gflops: float
    is_confirmed: bool
    listener: Listener
    on_begin: Callable[[], None]
    store: CheckpointStore | None = None
    resumed: Checkpoint | None = None
    on_history: Callable[[History], None] = lambda _: None


class FullDesk:
    """Holds one trained model, and what there is to say of it.

    Attributes:
        texts: What it learnt from; None where there is none.
    """

    def __init__(self, post: Callable[[Any], None], kept: KeptModels) -> None:
        """Send events through `post`; what is not downloaded lies in `kept`."""
        self._post = post
        self._kept = kept
        self.texts: LearntTexts | None = None
        self._base: Model | None = None
        self._tuned: Model | None = None
        self._info: TunedInfo | None = None
        self._conversation: Conversation | None = None
        self._record = ""
        self._run_name = ""

    @property
    def model(self) -> Model:
        """The trained model. Raises NoTunedModelError where there is none."""
        if self._tuned is None or self._info is None:
            raise NoTunedModelError(say("no model was trained whole yet: choose Full in the plan"))
        return self._tuned

    @property
    def is_unsaved(self) -> bool:
        """Whether there is a trained model that lies on the device alone."""
        info = self._info
        return info is not None and not info.is_saved and not info.is_kept

    @property
    def conversation(self) -> Conversation:
        """Who answers as the trained model. Raises NoTunedModelError where there is none."""
        if self._conversation is None:
            self._conversation = Conversation(self.model)
        return self._conversation

    def check_saved(self, request: Mapping[str, Any], resumed: Checkpoint | None = None) -> None:
        """Refuse to let an unsaved model go unless the person has said so.

        Args:
            request: What is asked for.
            resumed: What is gone on from: nothing is lost where the model is of the same run.

        Raises:
            UnsavedModelError: it was never downloaded and the request has no `drop_tuned`.
        """
        if request.get("drop_tuned"):
            return
        if self._info is not None:
            if self._info.is_saved or (resumed is not None and resumed.run == self._run_name):
                return
            raise UnsavedModelError(
                say(
                    "the model that you trained ({steps} steps) was not downloaded and would be "
                    "lost: download it first, or let it go",
                    steps=self._info.steps,
                )
            )

    def check_none_kept(
        self, request: Mapping[str, Any], resumed: Checkpoint | None = None
    ) -> None:
        """Refuse to take the place of a model that is kept and not open.

        Raises:
            UnsavedModelError: there is one of another run and the request has no `drop_tuned`.
        """
        run = self._kept.run
        if request.get("drop_tuned") or self._info is not None or not run:
            return
        if resumed is None or resumed.run != run:
            raise UnsavedModelError(
                say(
                    "a trained model that was not downloaded is kept in this browser and would "
                    "be lost: open it and download it first, or let it go"
                )
            )

    async def train(self, run: FullRun, control: RunControl) -> Message:
        """Train all weights to the end or to a stop; what was learned so far is then the model.

        Returns:
            The fields of `TrainResult`, and `first_loss`.

        Raises:
            OutOfGpuMemoryError, ConfigError: it does not fit, or is to be confirmed first;
                nothing is changed.
            CheckpointError: what it goes on from is of another run; nothing is changed.
            TrainingDivergedError: the weights of the last good step are kept.
        """
        layout, base, resumed = run.layout, run.base, run.resumed
        check_full_run(layout.plan, base, run.gflops, is_confirmed=run.is_confirmed, how=CONFIRM)
        identity = await RunIdentity.of(base, layout.dataset, layout.lora, layout.config)
        if resumed is not None:
            check_resumable(resumed, identity)
        self.drop()
        self.texts = LearntTexts()
        self.texts.add(text_hash(run.corpus.files), split_of(layout.config))
        if resumed is None or resumed.run != self._kept.run:
            await self._kept.forget()
        tuned = replace(base, version=0)
        trainer = FullTrainer(
            tuned,
            layout.windows,
            layout.config,
            keeps_base=True,
            reserved_bytes=layout.plan.outline.reserved_bytes,
        )

        def on_step(record: StepRecord) -> None:
            if not record.skipped:
                self._note(base, tuned, trainer.num_parameters, record.step)
            run.listener.on_step(record)

        course: Course | None = None
        try:
            await trainer.prepare(lambda stage, part: self._post(PreparingEvent(stage, part)))
            run.on_begin()
            course = Course(
                Parts(tuned, None, layout.dataset, layout.config, trainer, identity),
                replace(run.listener, on_step=on_step),
                run.store,
                {
                    "num_characters": run.corpus.num_characters,
                    "is_paced": layout.asked_every is None,
                },
                layout.kept.pace if layout.kept is not None else None,
            )
            if resumed is not None:
                await course.resume(resumed)
                self._note(base, tuned, trainer.num_parameters, trainer.progress.step)
                run.on_history(course.history)
            self._run_name = course.run_name or os.urandom(4).hex()
            result = await course.run(control)
        except TrainingDivergedError:
            await self._keep(run, is_finished=False)
            raise
        finally:
            trainer.destroy()
            if self._tuned is not tuned:
                free_own_weights(tuned, base)
        if self._tuned is tuned:
            steps = course.early_stop.best_step or result.steps
            self._note(base, tuned, trainer.num_parameters, steps)
            self._record = record_text(course.record(run.corpus.files, result))
            await self._keep(run, is_finished=not result.stopped)
        first = next((item.loss for item in course.history.steps if not item.skipped), None)
        return asdict(result) | {"first_loss": first}

    async def _keep(self, run: FullRun, *, is_finished: bool) -> None:
        """Keep the model until somebody has it; what is in the way of it is told once."""
        tuned, info, texts = self._tuned, self._info, self.texts
        if tuned is None or info is None or texts is None:
            return
        told = -1

        def on_written(fraction: float | None) -> None:
            nonlocal told
            percent = 100 if fraction is None else int(100 * fraction)
            if percent != told or fraction is None:
                told = percent
                self._post(KeepingEvent(info.steps, fraction, is_full=True, is_model=True))

        weights = run.layout.config.full_weights
        what = Tuned(tuned, weights, info, self._run_name, self._record, texts)
        try:
            if await self._kept.keep(what, run.base, on_written, is_finished=is_finished):
                self._tell(replace(info, is_kept=True))
        except DeviceLostError:
            raise
        except StudioError as error:
            run.listener.on_warning(
                say(
                    "{error}: download the trained model before you leave, a reload loses it",
                    error=error,
                )
            )

    async def open_kept(self, base: Model) -> None:
        """Bring back the model that is kept. Raises as `KeptModels.open`; nothing is changed."""
        tuned = await self._kept.open(base)
        self.drop()
        self._base, self._tuned, self.texts = base, tuned.model, tuned.texts
        self._record, self._run_name = tuned.record, tuned.run
        self._tell(tuned.info)

    async def let_go(self, base_name: str) -> None:
        """Let the kept model go; one that is open stays as it is."""
        await self._kept.forget()
        if self._info is not None and self._info.is_kept:
            self._tell(replace(self._info, is_kept=False))
        await self._kept.announce(base_name)

    async def export(self, request: Mapping[str, Any]) -> Message:
        """Hand the whole model out as a zipped HuggingFace folder, in pieces as events.

        Returns:
            `filename`, and how many `bytes` it has.

        Raises:
            NoTunedModelError: there is none.
        """
        model, info = self.model, self._info
        more = {RECORD_NAME: self._record} if self._record else {}
        end = 0
        async for offset, data, fraction in zipped_model(model, more):
            end = max(end, offset + len(data))
            self._post(ModelPieceEvent(request["id"], offset, data, fraction))
        if self._tuned is model and self._info is info and info is not None:
            await self._kept.forget()
            self._tell(replace(info, is_saved=True, is_kept=False))
        return {"filename": f"{_file_stem(model.base_name)}-tuned.zip", "bytes": end}

    def check_none_open(self) -> None:
        """Refuse what needs the room of the trained model. Raises ConfigError."""
        if self._tuned is not None:
            raise ConfigError(
                say(
                    "the trained model lies on the GPU, where the search needs room for a copy of "
                    "all weights: download it, let it go, and look for a rate then"
                )
            )

    def drop(self) -> None:
        """Free the trained model; the one that it began as stays."""
        if self._conversation is not None:
            self._conversation.destroy()
        if self._tuned is not None and self._base is not None:
            free_own_weights(self._tuned, self._base)
        self.abandon()

    async def replaced(self) -> None:
        """Free the trained model for another one; it was asked about, and is kept no longer."""
        if self._info is not None and self._info.is_kept:
            await self._kept.forget()
        self.drop()

    def abandon(self) -> None:
        """The device is gone, and the model with it; nothing is freed."""
        had = self._info is not None
        self._base, self._tuned, self._conversation = None, None, None
        self._record, self._run_name, self.texts = "", "", None
        if had:
            self._tell(None)

    def _note(self, base: Model, tuned: Model, num_parameters: int, steps: int) -> None:
        """Say that the model has been trained for some updates."""
        self._base, self._tuned = base, tuned
        projections = tuned.weights.layers[0].projections.values()
        self._tell(
            TunedInfo(
                name=base.base_name,
                steps=steps,
                num_parameters=num_parameters,
                weights_bytes=tuned.weights_bytes,
                weights_format=next(iter(projections)).format,
                is_saved=False,
            )
        )

    def _tell(self, info: TunedInfo | None) -> None:
        self._info = info
        self._post(TunedEvent(info))


def _file_stem(name: str) -> str:
    """Return a name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name.rsplit("/", 1)[-1], flags=re.ASCII).strip("-._") or "model"
