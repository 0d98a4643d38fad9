"""A run from its first step to its end: evaluations, samples, checkpoints, an early stop."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from app.config import TrainConfig
from app.errors import ConfigError, DeviceLostError, StudioError
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.messages import say
from app.runs.early_stop import EarlyStop
from app.runs.history import Evaluation, History, Sample
from app.runs.keeper import Keeper
from app.runs.pace import CheckpointPace
from app.runs.parts import Listener, Parts
from app.runs.record import describe_device, run_record
from app.runs.resumed import check_resumable, progress_of, readable, state_in
from app.runs.samples import Sampler
from app.text.dataset import CorpusFile, Dataset
from app.text.windows import spread_windows
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.records import StepRecord, TrainResult

LEFT_OUT = {
    "evaluation": say("the evaluation was left out and the run goes on: {error}", error=""),
    "sample": say("the sample was left out and the run goes on: {error}", error=""),
}


def check_course(config: TrainConfig, dataset: Dataset) -> None:
    """Refuse what cannot be done, before anything is.

    Raises:
        ConfigError: evaluations are asked for and nothing is kept aside.
    """
    if config.eval_every and dataset.evaluation is None:
        raise ConfigError(
            say(
                "{setting} is {given} and nothing is kept aside to evaluate on: raise {other} "
                "({share}), or give more text",
                setting="eval_every",
                given=config.eval_every,
                other="eval_fraction",
                share=config.eval_fraction,
            )
        )


def is_every(number: int, step: int) -> bool:
    """Whether what is done every so many steps, 0 for never, is due after a step."""
    return bool(number) and step % number == 0


def steps_of(items: Iterable[Evaluation | Sample]) -> set[int]:
    """Return after which steps something was told."""
    return {item.step for item in items}


class Course:
    """Runs a trainer and does what else is due between its updates.

    What is due before the first update waits until after it where the adapter is fresh: what it
    would have shown is what the base shows at any time, and the first loss comes sooner.

    What of that fails (the disk is full, there is no memory for an evaluation) is told once;
    the run goes on.

    Args:
        parts: What the run is made of.
        listener: Who hears of what happens.
        store: Where checkpoints go, if anywhere.
        extra: What the host wants to find again in a checkpoint, JSON.
        pace: Says when one is due, in place of the settings' `checkpoint_every`.

    Attributes:
        history: Everything reported so far.
        early_stop: What the evaluations have come to.

    Raises:
        ConfigError: see `check_course`; or the prompt of the samples is too long.
    """

    def __init__(
        self,
        parts: Parts,
        listener: Listener | None = None,
        store: CheckpointStore | None = None,
        extra: Mapping[str, Any] | None = None,
        pace: CheckpointPace | None = None,
    ) -> None:
        config = parts.config
        check_course(config, parts.dataset)
        self._parts = parts
        self._listener = listener or Listener()
        self._extra = dict(extra or {})
        self._keeper = None
        if store is not None and config.checkpoint_every:
            self._keeper = Keeper(parts, self._listener, store, pace)
        self._control = RunControl()
        self._sampler = (
            Sampler(parts.model, parts.adapter, config.sample_prompt, parts.dataset)
            if config.sample_every
            else None
        )
        held_out = parts.dataset.evaluation
        self._read = None if held_out is None else spread_windows(held_out, config.max_eval_tokens)
        self._warned: set[str] = set()
        self._accompanied = -1
        self._owes_start = False
        self.history = History()
        self.early_stop = EarlyStop(config.early_stop_patience)

    async def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this very run.

        Raises:
            CheckpointError: it is of another run; nothing is changed.
            FormatError: it can no longer be read; what was trained is then good for nothing.
        """
        check_resumable(checkpoint, self._parts.identity)
        with readable(checkpoint):
            document, arrays = checkpoint.document, checkpoint.arrays
            progress = progress_of(document["progress"])
            history = History.restored(arrays["history"], document["history"])
            early_stop = self.early_stop.restored(document["early_stop"], arrays)
            accompanied, device = int(document["accompanied"]), document["device"]
            owes_start = bool(document.get("owes_start"))
        await self._parts.trainer.bring(progress, state_in(checkpoint))
        if self._keeper is not None:
            self._keeper.go_on_from(checkpoint)
        self._accompanied, self._owes_start = accompanied, owes_start
        self.history, self.early_stop = history, early_stop
        history.resumed_at.append(progress.step)
        if device != describe_device(self._parts.model.device):
            self._listener.on_warning(
                say(
                    "the run was begun on another device or with other kernels: from here on its "
                    "numbers may differ in their last digits from those of one never interrupted"
                )
            )

    async def run(self, control: RunControl) -> TrainResult:
        """Make all updates that are still to come.

        With early stopping the adapter ends as it was at the best evaluation. Where the person
        stops the run and checkpoints are kept, one is written of where it stopped.

        Raises:
            TrainingDivergedError: the adapter of the last good step is kept.
        """
        trainer, self._control = self._parts.trainer, control
        start = trainer.progress.step
        if start == 0 and self._parts.is_fresh:
            self._accompanied, self._owes_start = 0, self._is_accompanied
        elif start > self._accompanied and (start == 0 or self.is_due(start)):
            # What was due after the step that it goes on from, or is before the first.
            await self._accompany(start)
        if not self.early_stop.is_due:  # else it had ended when it was kept
            await trainer.run(self._take, control, self)
        result = self._result(control)
        stopped_sound = control.stopped and not trainer.progress.skipped_in_a_row
        if stopped_sound and self._keeper is not None and result.steps > start:
            await self._keep()
        if self.early_stop.parameters and self.early_stop.best_step != result.steps:
            trainer.load_parameters(self.early_stop.parameters)
        if self._parts.config.eval_every and result.steps and not control.stopped:
            # The last reading is of what the run ends with, wherever its steps end.
            await self._guarded("evaluation", self.final_evaluation(control))
        return result

    def _result(self, control: RunControl) -> TrainResult:
        """Return how the whole run ended, what came before it was gone on with included."""
        progress, steps = self._parts.trainer.progress, self.history.steps
        return TrainResult(
            steps=progress.step,
            stopped=control.stopped,
            num_tokens=progress.num_tokens,
            num_skipped=progress.num_skipped,
            seconds=progress.seconds,
            final_loss=steps[-1].loss if steps else math.nan,
            stopped_early=self.early_stop.is_due,
        )

    @property
    def run_name(self) -> str:
        """What its checkpoints call the run, '' where none are kept."""
        return self._keeper.run if self._keeper is not None else ""

    @property
    def has_kept(self) -> bool:
        """Whether a checkpoint of the run lies in the store."""
        return self._keeper is not None and self._keeper.has_kept

    def is_due(self, step: int) -> bool:
        """Return whether anything is to be done after this step."""
        config, copies = self._parts.config, self._listener.copies
        if self._owes_start or (copies is not None and copies.is_due()):
            return True
        if any(is_every(number, step) for number in (config.eval_every, config.sample_every)):
            return True
        return self._keeper is not None and self._keeper.is_due(step)

    async def visit(self, step: int) -> bool:
        """Do what is due after a step; False where the run is to stop early."""
        await self._accompany(step)
        return not self.early_stop.is_due

    async def final_evaluation(self, control: RunControl) -> Evaluation | None:
        """Return the held-out loss that the adapter ends with; None without held-out text.

        The reading of the last step, or of the best one, counts where there was one.
        """
        self._control = control
        step = self._parts.trainer.progress.step
        if self.early_stop.parameters:
            step = self.early_stop.best_step
        for evaluation in reversed(self.history.evaluations):
            if evaluation.step == step:
                return evaluation
        return await self._evaluate(step)

    def before(self) -> dict[str, float]:
        """Return loss and perplexity before the first step, where they were read."""
        first = next((item for item in self.history.evaluations if item.step == 0), None)
        if first is None:
            return {}
        return {"eval_loss_before": first.loss, "perplexity_before": first.perplexity}

    def record(self, files: Iterable[CorpusFile], result: TrainResult | None) -> dict[str, Any]:
        """Return the record of the run: see `app.runs.record`."""
        parts = self._parts
        return run_record(
            parts.identity,
            parts.lora,
            parts.model.device,
            files,
            parts.dataset,
            self.history,
            result,
        )

    @property
    def _is_accompanied(self) -> bool:
        return bool(self._parts.config.eval_every or self._parts.config.sample_every)

    def _take(self, record: StepRecord) -> None:
        self.history.steps.append(record)
        if self._keeper is not None:
            self._keeper.note_step(record)
        self._listener.on_step(record)

    async def _accompany(self, step: int) -> None:
        """Evaluate, write, keep: in this order, so that a checkpoint knows of the others."""
        if self._owes_start:
            await self._look(0)
            self._owes_start = self._control.stopped
        await self._look(step)
        if self._control.stopped:
            return  # some of it was cut short: where the run goes on, it is done again
        self._accompanied = step
        if step and self._keeper is not None and self._keeper.is_due(step):
            await self._keep()
        copies = self._listener.copies
        if step and copies is not None and copies.is_due():
            await copies.keep()

    async def _look(self, step: int) -> None:
        """Evaluate and write, where that is due after a step."""
        config, history = self._parts.config, self.history
        if is_every(config.eval_every, step) and step not in steps_of(history.evaluations):
            await self._guarded("evaluation", self._judge(step))
        if self._sampler is None or step in steps_of(history.samples):
            return
        if is_every(config.sample_every, step):
            await self._guarded("sample", self._sample(step, self._sampler))

    async def _guarded(self, what: str, work: Awaitable[object]) -> None:
        """Do something beside the training: what fails is told once and ends no run."""
        try:
            await work
        except DeviceLostError:
            raise
        except StudioError as error:
            self._warn(what, LEFT_OUT[what].with_values(error=error))

    def _warn(self, what: str, sentence: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._listener.on_warning(sentence)

    async def _judge(self, step: int) -> None:
        evaluation = await self._evaluate(step)
        if evaluation is None or not step or not self.early_stop.patience:
            return
        if self.early_stop.judge(step, evaluation.loss):
            self.early_stop.parameters = await self._parts.trainer.parameters()

    async def _evaluate(self, step: int) -> Evaluation | None:
        parts = self._parts
        if self._read is None:
            return None
        adapter = None if self._is_of_base(step) else parts.adapter
        # No more at once than a step takes: it would need more memory than that, and the step's
        # is still held.
        result = await evaluate(
            parts.model,
            adapter,
            self._read,
            self._control,
            most_together=parts.config.micro_batch_size,
        )
        if result is None:
            return None
        evaluation = Evaluation(step, result.loss, result.perplexity)
        self.history.evaluations.append(evaluation)
        if parts.config.eval_every:  # else nobody asked to hear of them
            self._listener.on_evaluation(evaluation)
        return evaluation

    def _is_of_base(self, step: int) -> bool:
        """Whether what is told as of a step is the base's: it comes after updates were made."""
        return self._owes_start and step == 0

    async def _sample(self, step: int, sampler: Sampler) -> None:
        is_of_base = self._is_of_base(step)
        text = await sampler.write(lambda: self._control.stopped, is_of_base=is_of_base)
        if text is None:
            return
        sample = Sample(step, sampler.prompt, text)
        self.history.samples.append(sample)
        self._listener.on_sample(sample)

    async def _keep(self) -> None:
        """Write a checkpoint of the run as it is; where that fails, the run goes on without."""
        assert self._keeper is not None
        document = {
            "accompanied": self._accompanied,
            "owes_start": self._owes_start,
            "early_stop": self.early_stop.document(),
            "history": self.history.document(),
            "extra": self._extra,
        }
        arrays = {"history": self.history.array(), **self.early_stop.arrays()}
        try:
            await self._keeper.keep(document, arrays)
        except DeviceLostError:
            raise
        except StudioError as error:
            self._warn("checkpoint", say("{error}: the run goes on without it", error=error))
