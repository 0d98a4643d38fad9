"""Planning, running and judging training runs for a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from app.io.checkpoint_format import Checkpoint
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.full import FullMode
from app.plan.modes import AdapterMode, Mode
from app.plan.speed import CALIBRATION_STEPS, Speed
from app.runs.course import Course, check_course
from app.runs.history import History
from app.runs.identity import RunIdentity
from app.runs.parts import Listener, Parts
from app.runs.record import record_text
from app.runs.resumed import resumed_lora
from app.studio.adapters import AdapterDesk
from app.studio.checkpoints import CheckpointDesk
from app.studio.copies import RunCopies
from app.studio.corpus import TokenizedCorpus
from app.studio.evaluation import Evaluation, check_enough, what_to_read
from app.studio.find_rate import find_rate
from app.studio.full import FullDesk, FullRun
from app.studio.kept_plan import Room
from app.studio.protocol import (
    CheckpointEvent,
    EvaluateRequest,
    EvaluationEvent,
    KeepingEvent,
    Message,
    PlanEvent,
    PreparingEvent,
    RunHistoryEvent,
    RunRequest,
    SampleEvent,
    StepEvent,
    WarningEvent,
)
from app.studio.provenance import split_of, text_hash
from app.studio.runs import RunLayout, lay_out
from app.studio.shelf_names import MAX_NAME_LENGTH
from app.text.preview import CorpusPreview, preview_of
from app.train.control import RunControl
from app.train.hardware_rank import choose_rank
from app.train.records import StepRecord
from app.train.trainer import Trainer

PLACES = {
    "held-out": "text kept out of training",
    "learnt": "the text learnt from",
    "pasted": "other text",
    "other": "other text",
    "unknown": "a text",
}
"""Where perplexities were measured, for the model card."""


class TrainingDesk:
    """Trains the session's adapter on the session's model."""

    def __init__(
        self,
        post: Callable[[Any], None],
        adapters: AdapterDesk,
        full: FullDesk,
        checkpoints: CheckpointDesk,
        on_held: Callable[[], None] | None = None,
    ) -> None:
        """Call `on_held` when a paused run has come to where it waits."""
        self._post = post
        self._on_held = on_held
        self._adapters = adapters
        self._full = full
        self._checkpoints = checkpoints
        self._model: Model | None = None
        self._modes: tuple[Mode, Mode] | None = None
        self._speed = Speed(0.0, False)
        self.control = RunControl()

    def use_model(self, model: Model, speed: Speed | None) -> None:
        """Train this model from now on; its speed may come later."""
        self._model = model
        self._modes = AdapterMode(model), FullMode(model, keeps_base=True)
        self._speed = speed or Speed(0.0, model.device.info.is_software)

    @property
    def speed(self) -> Speed:
        """What is known of the device's speed, real runs included."""
        return self._speed

    def plan(
        self, request: RunRequest, corpus: TokenizedCorpus, room: Room | None = None
    ) -> PlanEvent:
        """Lay a run out without allocating it; what does not fit is a plan with a problem.

        Raises:
            CorpusError: fewer than two tokens.
            ConfigError: settings out of range, or more asked of the corpus than there is.
        """
        layout, _ = self._lay_out(request, corpus, room)
        check_course(layout.config, layout.dataset)
        return layout.event()

    def preview(self, request: RunRequest, corpus: TokenizedCorpus) -> CorpusPreview:
        """Show what a run would learn from.

        Raises:
            CorpusError: too little to learn.
            ConfigError: settings out of range.
        """
        assert self._model is not None
        layout, _ = self._lay_out(request, corpus)
        return preview_of(layout.dataset, corpus.files, self._model.tokenizer)

    async def train(
        self,
        request: RunRequest,
        corpus: TokenizedCorpus,
        on_memory: Callable[[], None],
        resumed: Checkpoint | None = None,
    ) -> Message:
        """Run to the end or to a stop; the adapter trained so far becomes the current one.

        Args:
            request: What was asked for; of a run that goes on, with its own settings.
            corpus: Tokenized.
            on_memory: Called when the run is allocated.
            resumed: Where the run goes on from.

        Returns:
            The fields of `TrainResult`, and `first_loss`.

        Raises:
            ConfigError, CorpusError, OutOfGpuMemoryError, CheckpointError: before anything is
                changed.
            TrainingDivergedError: the adapter of the last good step is kept.
        """
        self.control = control = RunControl(self._on_held)
        model = self._model
        assert model is not None
        layout, kept = self._lay_out(request, corpus, await self._checkpoints.room())
        check_course(layout.config, layout.dataset)
        if layout.config.mode == "full":
            return await self._train_all(request, layout, corpus, on_memory, resumed)
        identity = await RunIdentity.of(model, layout.dataset, layout.lora, layout.config)
        steps_before = self._adapters.steps if kept else 0
        if resumed is not None:
            adapter = Adapter(model.config, model.device, resumed_lora(resumed, identity))
            layout = layout.with_lora(adapter.lora)
            steps_before = int(resumed.document["extra"].get("steps_before", 0))
        elif kept is not None:
            adapter = kept
        else:
            if layout.config.rank_schedule == "hardware":
                layout = await self._with_chosen_rank(layout)
            adapter = self._fresh_adapter(layout)
        records: list[StepRecord] = []
        named = request if resumed is None else resumed.document["extra"]
        run = str(named.get("run_name") or "")[:MAX_NAME_LENGTH]

        def on_step(record: StepRecord) -> None:
            if not record.skipped:
                self._adapters.replace(adapter, steps=steps_before + record.step, run=run)
            records.append(record)
            self._tell_step(layout, records)

        trainer: Trainer | None = None
        course: Course | None = None
        try:
            trainer = Trainer(
                model,
                adapter,
                layout.windows,
                layout.config,
                reserved_bytes=layout.plan.outline.reserved_bytes,
            )
            self._post(layout.event())
            await trainer.prepare(lambda stage, part: self._post(PreparingEvent(stage, part)))
            on_memory()
            course = Course(
                Parts(
                    model,
                    adapter,
                    layout.dataset,
                    layout.config,
                    trainer,
                    identity,
                    is_fresh=kept is None and resumed is None and adapter.packed is None,
                ),
                replace(self._listener(on_step), copies=RunCopies(self._adapters.keep_copies)),
                self._checkpoints.store,
                {
                    "num_characters": corpus.num_characters,
                    "steps_before": steps_before,
                    "run_name": run,
                },
            )
            if resumed is not None:
                await course.resume(resumed)
                done = steps_before + trainer.progress.step
                self._adapters.replace(adapter, steps=done, run=run)
                self._post_history(course.history)
            result = await course.run(control)
        finally:
            if trainer is not None:
                trainer.destroy()
            if not self._adapters.holds(adapter):
                adapter.destroy()
            elif records or resumed is not None:
                self._adapters.note_text(
                    adapter,
                    text_hash(corpus.files),
                    split_of(layout.config),
                    is_complete=resumed is None or steps_before == 0,
                )
            self._note_speed(layout, records)
        if adapter is self._adapters.current:
            steps = course.early_stop.best_step or result.steps
            self._adapters.replace(adapter, steps=steps_before + steps, run=run)
        history = (record.loss for record in course.history.steps if not record.skipped)
        first = next(history, None)
        if first is not None and self._adapters.holds(adapter):
            facts = layout.facts(steps_before, first, result)
            record = record_text(course.record(corpus.files, result))
            self._adapters.note_run(adapter, facts, record)
        await self._adapters.keep_copies()
        if not result.stopped and course.has_kept:
            await self._checkpoints.clear()  # else another run lies there, which may still go on
        await self._checkpoints.announce(model.base_name)
        return asdict(result) | {"first_loss": first}

    async def _train_all(
        self,
        request: RunRequest,
        layout: RunLayout,
        corpus: TokenizedCorpus,
        on_memory: Callable[[], None],
        resumed: Checkpoint | None,
    ) -> Message:
        """Train all weights: see `app.studio.full.FullDesk.train`."""
        assert self._model is not None
        records: list[StepRecord] = []

        def on_step(record: StepRecord) -> None:
            records.append(record)
            self._tell_step(layout, records)

        self._post(layout.event())
        run = FullRun(
            self._model,
            layout,
            corpus,
            self._speed.gflops,
            bool(request.get("confirm_full")) or resumed is not None,  # confirmed when it began
            self._listener(on_step, is_full=True),
            on_memory,
            self._checkpoints.store,
            resumed,
            self._post_history,
        )
        try:
            result = await self._full.train(run, self.control)
            if not result["stopped"]:
                await self._checkpoints.clear()
            return result
        finally:
            self._note_speed(layout, records)
            await self._checkpoints.announce(self._model.base_name)

    def _tell_step(self, layout: RunLayout, records: list[StepRecord]) -> None:
        """Tell of the last step, and of the time that the first ones promise."""
        self._post(StepEvent(**asdict(records[-1])))
        if len(records) == CALIBRATION_STEPS:
            self._note_speed(layout, records)
            self._post(layout.with_speed(self._speed).event())

    async def find_rate(self, request: RunRequest, corpus: TokenizedCorpus) -> Message:
        """Look for the learning rate of a run; nothing that there is changes.

        Returns:
            See `app.runs.rate_search.result_values`.

        Raises:
            ConfigError, CorpusError, OutOfGpuMemoryError: it cannot be done.
        """
        self.control = control = RunControl(self._on_held)
        assert self._model is not None
        layout, kept = self._lay_out(request, corpus)
        return await find_rate(self._model, layout, kept, control, self._post)

    def _listener(
        self, on_step: Callable[[StepRecord], None], *, is_full: bool = False
    ) -> Listener:
        return Listener(
            on_step=on_step,
            on_evaluation=lambda item: self._post(EvaluationEvent(**asdict(item))),
            on_sample=lambda item: self._post(SampleEvent(**asdict(item))),
            on_keeping=self._tell_keeping(is_full=is_full),
            on_checkpoint=lambda item: self._post(CheckpointEvent(item.step)),
            on_warning=lambda sentence: self._post(WarningEvent(sentence)),
        )

    def _tell_keeping(self, *, is_full: bool) -> Callable[[int, float | None], None]:
        """Return what tells the page of a checkpoint on its way, at every percent."""
        told: tuple[int, int | None] | None = None

        def tell(step: int, fraction: float | None) -> None:
            nonlocal told
            news = step, None if fraction is None else int(100 * fraction)
            if news != told:
                told = news
                self._post(KeepingEvent(step, fraction, is_full))

        return tell

    def _post_history(self, history: History) -> None:
        """Let the page show what the run reported before it was interrupted."""
        self._post(
            RunHistoryEvent(
                [asdict(item) for item in history.steps],
                [asdict(item) for item in history.evaluations],
                [asdict(item) for item in history.samples],
            )
        )

    def stop(self) -> None:
        """End the run or the evaluation at the next submit."""
        self.control.stop()
        self.control.resume()

    async def evaluate(self, request: EvaluateRequest, corpus: TokenizedCorpus) -> Message:
        """Judge base and adapter on other text, on windows kept out of training, or else on all.

        Returns:
            See `app.studio.evaluation.Evaluation.run`.
        """
        self.control = control = RunControl(self._on_held)
        assert self._model is not None
        check_enough(corpus)
        layout, _ = self._lay_out(request, corpus)
        desk = self._adapters
        tuned = self._full.model if request.get("use_tuned") else None
        texts = desk.texts if tuned is None else self._full.texts
        windows, learnt, source = what_to_read(
            layout.dataset, corpus, texts, is_pasted=bool(request.get("text"))
        )
        evaluation = Evaluation(
            self._model, desk.current, desk.strength, control, self._post, tuned
        )
        result = await evaluation.run(windows, learnt, source)
        if result["lora"] and tuned is None:
            pair = (result["base"]["perplexity"], result["lora"]["perplexity"])
            desk.note_evaluation(*pair, PLACES[source])
        return result

    def _lay_out(
        self, request: RunRequest, corpus: TokenizedCorpus, room: Room | None = None
    ) -> tuple[RunLayout, Adapter | None]:
        assert self._model is not None
        assert self._modes is not None
        is_full = request["edits"].get("mode") == "full"
        kept = self._adapters.current if request["keep_adapter"] and not is_full else None
        lora = kept.lora if kept is not None else None
        return lay_out(self._model, self._modes, corpus, request, lora, self._speed, room), kept

    async def _with_chosen_rank(self, layout: RunLayout) -> RunLayout:
        assert self._model is not None
        lora = await choose_rank(
            self._model,
            layout.lora,
            layout.windows,
            layout.config,
            lambda stage, part: self._post(PreparingEvent(stage, part)),
        )
        return layout.with_lora(lora)

    def _fresh_adapter(self, layout: RunLayout) -> Adapter:
        assert self._model is not None
        model = self._model
        return Adapter.create(model.config, model.device, layout.lora, layout.config.seed)

    def _note_speed(self, layout: RunLayout, records: list[StepRecord]) -> None:
        """Remember what a run really did: the next estimate for a run like it is measured."""
        if len(records) >= CALIBRATION_STEPS:
            steps = [(record.step, record.seconds) for record in records]
            self._speed = self._speed.measured(layout.plan.work, steps)
