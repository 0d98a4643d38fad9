"""Laying out a training run for the page, before and without allocating it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError, Problems, StudioError
from app.io.model_card import TrainingFacts
from app.messages import say
from app.models.loader import Model
from app.plan.company import suggest_company
from app.plan.coverage import coverage
from app.plan.defaults import suggest_config
from app.plan.mode_plan import ModePlan
from app.plan.modes import Mode, RunSettings
from app.plan.planner import Planner
from app.plan.presets import PRESETS, PresetName
from app.plan.report import UnavailableMode, advice_values, report_of
from app.plan.run_input import dataset_of, merge_settings, settings_values
from app.plan.speed import Speed
from app.studio.corpus import TokenizedCorpus
from app.studio.full_settings import check_page_settings, confirmation, suggested_full
from app.studio.kept_plan import KeptPlan, Room
from app.studio.protocol import PlanEvent, RunRequest
from app.text.dataset import Dataset, make_dataset
from app.text.windows import Windows, num_windows_read
from app.train.records import TrainResult

CHECKPOINT_EVERY = 25
"""A suggested step takes up to two seconds on a GPU: at most a minute's work is lost."""

LORA_NAMES = frozenset(LoraConfig.names())


@dataclass(frozen=True)
class RunLayout:
    """A planned run and what it was planned from.

    Attributes:
        other: Plans the other mode, to compare.
        room: For checkpoints of all weights; None where nothing can be stored.
        asked_every: Steps from one of those to the next, None where the page chooses.
    """

    planner: Planner
    other: Planner
    plan: ModePlan
    suggested: RunSettings
    room: Room | None = None
    asked_every: int | None = None

    @property
    def kept(self) -> KeptPlan | None:
        """What a run of all weights keeps as it goes; an adapter's settings say it themselves."""
        if self.plan.mode != "full":
            return None
        return KeptPlan(self.plan, self.room, self.asked_every)

    @property
    def lora(self) -> LoraConfig:
        """Shape of the adapter."""
        return self.plan.settings.lora

    @property
    def config(self) -> TrainConfig:
        """Settings of the run."""
        train, kept = self.plan.settings.train, self.kept
        return train if kept is None else replace(train, checkpoint_every=kept.every)

    @property
    def dataset(self) -> Dataset:
        """What is learnt from, and what is kept aside."""
        return self.plan.dataset

    @property
    def windows(self) -> Windows:
        """What is trained on."""
        return self.dataset.train

    @property
    def eval_windows(self) -> Windows | None:
        """What is kept aside."""
        return self.dataset.evaluation

    def facts(self, steps_before: int, first_loss: float, result: TrainResult) -> TrainingFacts:
        """Return what a run of this came to, for the adapter's model card."""
        return TrainingFacts(
            settings=settings_values(self.lora, self.config),
            num_tokens=self.windows.num_tokens,
            num_eval_tokens=self.eval_windows.num_tokens if self.eval_windows else 0,
            steps=steps_before + result.steps,
            first_loss=first_loss,
            final_loss=result.final_loss,
        )

    def with_lora(self, lora: LoraConfig) -> RunLayout:
        """Return the run with another adapter, laid out anew."""
        settings = replace(self.plan.settings, lora=lora)
        return replace(self, plan=self.planner.assess(settings))

    def with_speed(self, speed: Speed) -> RunLayout:
        """Return the run with its time estimated anew."""
        plan = replace(self.plan, time=speed.estimate(self.plan.work))
        planner, other = replace(self.planner, speed=speed), replace(self.other, speed=speed)
        return replace(self, plan=plan, planner=planner, other=other)

    def event(self) -> PlanEvent:
        """Return the plan as the page shows it."""
        plan = self.plan
        evaluation = plan.dataset.evaluation
        suggested, kept = self.suggested.train, self.kept
        if kept is not None:
            suggested = replace(suggested, checkpoint_every=kept.suggested)
        parts = {name: size for name, size in plan.outline.parts().items() if size}
        problem = ""
        if plan.is_refused:
            problem = plan.warnings[0].text if plan.warnings else plan.misfit
        return PlanEvent(
            settings=settings_values(self.lora, self.config),
            suggested=settings_values(self.suggested.lora, suggested),
            problem=problem,
            num_steps=plan.num_steps,
            num_tokens=self.windows.num_tokens,
            num_eval_tokens=evaluation.num_tokens if evaluation else 0,
            num_eval_windows=evaluation.num_windows if evaluation else 0,
            num_eval_windows_read=num_windows_read(evaluation, self.config.max_eval_tokens),
            tokens_per_step=plan.tokens_per_step,
            seconds=plan.time.seconds,
            passes=plan.passes,
            coverage=coverage(plan.passes),
            bytes=parts,
            total_bytes=plan.total_bytes,
            optimizer_state_bytes=plan.outline.optimizer_state_bytes,
            occupancy=self.dataset.occupancy,
            modes=sorted(
                [self._report(plan, is_selected=True), self._report(self._compared())],
                key=lambda report: str(report["mode"]),
            ),
        )

    def _report(
        self, plan: ModePlan | UnavailableMode, *, is_selected: bool = False
    ) -> dict[str, Any]:
        device, speed = self.planner.device, self.planner.speed
        report = report_of(plan, device, speed, is_selected=is_selected)
        if plan.mode == "full" and isinstance(plan, ModePlan):
            report["confirm"] = confirmation(plan, device, speed.gflops)
        kept = self.kept
        if is_selected and kept is not None:
            report["warnings"] += [advice_values(warning) for warning in kept.warnings()]
            report["notes"] += kept.notes()
            report["settings"] = settings_values(self.lora, self.config)
        return report

    def _compared(self) -> ModePlan | UnavailableMode:
        """Return what the other mode would take with the same settings."""
        try:
            return self.other.assess(self.plan.settings)
        except StudioError as error:
            return UnavailableMode(self.other.mode.name, error.sentence)


def lay_out(
    model: Model,
    modes: tuple[Mode, Mode],
    corpus: TokenizedCorpus,
    request: RunRequest,
    kept_lora: LoraConfig | None,
    speed: Speed,
    room: Room | None = None,
) -> RunLayout:
    """Return a plan: what suits this device and fits it, with the person's edits on top.

    Args:
        model: The loaded model.
        modes: An adapter, and all weights; the settings say which is trained.
        corpus: The whole text.
        request: Edits, which nothing here changes, and how far the run should go.
        kept_lora: The current adapter's, when the run goes on from it; it wins over edits.
        speed: Of the device.
        room: For checkpoints of all weights.

    Raises:
        ConfigError: settings out of range, a window longer than the model's context; with what
            the corpus lacks, where it does.
        CorpusError: fewer than two tokens, and nothing else is wrong.
    """
    documents, edits = corpus.documents, request["edits"]
    preset = _preset(request.get("preset", "balanced"))
    suggested = suggest_config(
        model.config,
        speed.gflops,
        documents.num_tokens,
        speed.is_software,
        documents.num_documents if corpus.by_documents else None,
        preset,
        wants_evaluation=bool(edits.get("eval_every")),
    )
    suggested = (
        suggested_full(suggested, is_software=speed.is_software)
        if edits.get("mode") == "full"
        else replace(suggested, checkpoint_every=CHECKPOINT_EVERY)
    )
    if "eval_every" not in edits and edits.get("early_stop_patience"):
        suggested = replace(suggested, eval_every=1)  # until it is known how often
    rank = PRESETS[preset].rank
    suggested_lora = kept_lora or LoraConfig(rank, 2 * rank)
    problems = Problems()
    lora, config = merge_settings(
        suggested_lora,
        suggested,
        edits,
        problems,
        model=model.config,
        model_name=model.base_name,
    )
    lora = kept_lora or lora
    if config.mode == "full":
        config = replace(config, rank_schedule="fixed")  # an adapter's: the form hides it
        with problems.gathered():
            check_page_settings(config, model)
    dataset_of(documents, config, problems, by_documents=corpus.by_documents)
    problems.raise_if_any()

    def cut(settings: RunSettings) -> Dataset:
        return make_dataset(
            documents,
            by_documents=corpus.by_documents,
            max_seq_len=settings.train.max_seq_len,
            packing=settings.train.packing,
            eval_fraction=settings.train.eval_fraction,
            seed=settings.train.seed,
        )

    kept = LORA_NAMES if kept_lora is not None else frozenset[str]()
    planners = [
        Planner(modes[0], model.device, cut, speed, kept),
        Planner(modes[1], model.device, cut, speed, LORA_NAMES),
    ]
    if config.mode == "full":
        planners.reverse()
    planner, other = planners
    plan = planner.plan(RunSettings(lora, config), edits)
    company = suggest_company(model, plan, speed, edits)
    chosen = {name: value for name, value in company.items() if name not in edits}
    plan = planner.accompanied(plan, **chosen)
    plan.settings.train.check()  # an early stop without evaluations
    suggested = replace(suggested, **_suggested_company(plan, company, edits))
    asked_every = config.checkpoint_every if "checkpoint_every" in edits else None
    suggestion = RunSettings(suggested_lora, suggested)
    return RunLayout(planner, other, plan, suggestion, room, asked_every)


def _suggested_company(
    plan: ModePlan, company: Mapping[str, Any], edits: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is suggested of evaluations and samples: what is run, where nobody chose."""
    return {
        name: value if name in edits else plan.settings.value(name)
        for name, value in company.items()
    }


def _preset(name: Any) -> PresetName:
    for known in PRESETS:
        if known == name:
            return known
    raise ConfigError(
        say("preset is {name}: choose from {presets}", name=f"{name!r}", presets=", ".join(PRESETS))
    )


def check_settings(edits: Mapping[str, Any], problems: Problems, model: Model | None) -> None:
    """Note what is wrong with a person's edits, whatever else a run is made of."""
    # Not the suggestion: it takes the corpus to know it, and how often it evaluates.
    every = 0 if "eval_every" in edits or not edits.get("early_stop_patience") else 1
    merge_settings(
        LoraConfig(),
        TrainConfig(max_seq_len=2, eval_every=every),
        edits,
        problems,
        model=model.config if model else None,
        model_name=model.base_name if model else "",
    )
