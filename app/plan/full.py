"""Training of all weights, laid out and weighed: what it takes, and whether it may be begun."""

from __future__ import annotations

from dataclasses import replace

from app.config import TrainConfig
from app.errors import ConfigError, OutOfGpuMemoryError
from app.gpu.budget import MemoryBudget, format_bytes
from app.gpu.device import Device
from app.gpu.memory import padded
from app.messages import listed, say, say_count
from app.models.loader import Model
from app.nn.trainable import TrainableWeights
from app.plan.beside import BesideShape, beside_of
from app.plan.durations import format_duration, format_range
from app.plan.mode_plan import ModePlan
from app.plan.modes import Outline, Outlines, RunSettings
from app.plan.work import ModeName, training_flops_per_token
from app.text.dataset import Dataset
from app.train.full.record import FullGraphs, record_full_training
from app.train.step import check_context

ADVISED_GFLOPS = 8000.0
"""Measured speed from which training all weights of a small model needs no confirmation."""

CONFIRM_OPTION = say("Add --confirm-full")

SOFTWARE_UPDATE_RATES = {"adamw": 0.32, "adafactor": 0.24, "adam8bit": 0.053}
"""What part of a copy's rate an update reaches where the processor computes it (SmolLM2-135M in
f16 on lavapipe: 2.28, 3.51 and 9.93 s): arithmetic holds it up, that of 8-bit codes most."""


class FullMode:
    """All weights of the model itself."""

    name: ModeName = "full"

    def __init__(self, model: Model, *, keeps_base: bool = False) -> None:
        """Train `model`; with `keeps_base` its loaded weights stay beside the trained ones."""
        self._model = model
        self._keeps_base = keeps_base
        self._kept = Outlines()

    def outline(self, settings: RunSettings, dataset: Dataset) -> Outline:
        """Record a step; the same question is answered from memory.

        Raises:
            ConfigError: windows longer than the model's context, or int4 of a model that is not.
        """
        windows = dataset.train
        check_context(self._model, windows)
        train = settings.train
        shape = min(train.micro_batch_size, windows.num_windows), int(windows.lengths.max())
        budget = MemoryBudget.of(self._model.device, train.device_memory_gb)
        beside = BesideShape.of(self._model, train, dataset)
        is_packed, memory_bytes = windows.is_packed, budget.memory_bytes
        return self._kept.get(
            (
                train.full_weights,
                *(*shape, train.optimizer, train.gradient_checkpointing),
                *(is_packed, budget),
            ),
            lambda reserved: self._outline(train, shape, is_packed, memory_bytes - reserved),
            beside,
            lambda: beside_of(self._trained_model(train), None, beside, 0),
            memory_bytes,
        )

    def _trained_model(self, train: TrainConfig) -> Model:
        """Return the model with the weights it has while it is trained; without buffers."""
        model = self._model
        weights = TrainableWeights.create(
            model.config, model.weights, train.full_weights, keeps_base=self._keeps_base
        ).weights
        return replace(model, weights=weights)

    def _outline(
        self, train: TrainConfig, shape: tuple[int, int], is_packed: bool, budget_bytes: int
    ) -> Outline:
        model, (count, seq_len) = self._model, shape
        kept_storages = set(self._trained_model(train).weights.storages())
        freed = [
            storage
            for storage in model.weights.storages()
            if storage not in kept_storages and not self._keeps_base
        ]
        graphs = record_full_training(
            model,
            micro_batch_size=count,
            seq_len=seq_len,
            optimizer=train.optimizer,
            weights=train.full_weights,
            is_packed=is_packed,
            gradient_checkpointing=train.gradient_checkpointing,
            budget_bytes=budget_bytes,
            must_fit=False,
            keeps_base=self._keeps_base,
        )
        kept, recomputed = (
            training_flops_per_token(model.config, seq_len, mode="full", is_checkpointing=is_on)
            for is_on in (False, True)
        )
        lasting = graphs.lasting.values()
        trained = [tensor for tensor in lasting if tensor.storage.part == "weights"]
        return Outline(
            graphs.plan,
            recomputed if graphs.is_checkpointing else kept,
            len(graphs.micro_batch.nodes),
            graphs.trained.num_parameters,
            graphs.is_checkpointing,
            graphs.optimizer.state_bytes,
            recomputed / kept - 1,
            _update_bytes(graphs) / _update_rate(model, train),
            sum(tensor.size_bytes for tensor in lasting),
            sum(tensor.size_bytes for tensor in trained),
            freed_bytes=sum(padded(storage.size_bytes) for storage in freed),
        )


def _update_rate(model: Model, train: TrainConfig) -> float:
    """Return what part of a copy's rate an update reaches."""
    return SOFTWARE_UPDATE_RATES[train.optimizer] if model.device.info.is_software else 1.0


def _update_bytes(graphs: FullGraphs) -> float:
    """Return what the bindings of all dispatches of an update come to."""
    return float(sum(t.size_bytes for node in graphs.update.nodes for t in node.bindings))


def check_full_run(
    plan: ModePlan, model: Model, gflops: float, *, is_confirmed: bool, how: str = CONFIRM_OPTION
) -> str:
    """Return what a run takes, as a sentence, if it may be begun.

    Args:
        plan: The run with exactly its settings.
        model: What is to be trained.
        gflops: Measured speed of products on the device, 1e9 operations a second.
        is_confirmed: The person has read what it takes and wants it.
        how: What to do to confirm it.

    Raises:
        OutOfGpuMemoryError: it does not fit; names what it needs by part and what there is.
        ConfigError: the device is slower than advised and nothing is confirmed; names time,
            memory and how to confirm.
    """
    train = plan.settings.train
    if not plan.is_feasible:
        raise OutOfGpuMemoryError(
            say(
                "training all {num_trained} weights in {full_weights} with {optimizer} "
                "cannot fit: {misfit} ({parts}). Use a smaller window or batch, full_weights "
                "f16 or int4, optimizer adam8bit or adafactor, a smaller model, or an "
                "adapter; where the device has more, say so with device_memory_gb",
                num_trained=plan.outline.num_trained,
                full_weights=train.full_weights,
                optimizer=train.optimizer,
                misfit=plan.misfit,
                parts=_by_part(plan),
            )
        )
    takes = what_it_takes(plan)
    if not is_confirmed and is_slow(gflops):
        raise ConfigError(
            say(
                "{takes}: {slowness}. {how} to do it all the same, or train an adapter",
                takes=takes,
                slowness=slowness(model.device, gflops),
                how=how,
            )
        )
    return takes


def what_it_takes(plan: ModePlan) -> str:
    """Return memory by part and time of a run, as a sentence without its end."""
    return say(
        "training all {weights} weights takes {size} ({parts}) and about {time} ({range}) "
        "for {steps} steps",
        weights=plan.outline.num_trained,
        size=format_bytes(plan.total_bytes),
        parts=_by_part(plan),
        time=format_duration(plan.time.seconds),
        range=format_range(plan.time.low, plan.time.high),
        steps=plan.num_steps,
    )


def is_slow(gflops: float) -> bool:
    """Whether a device is slower than advised, so that a run wants a confirmation."""
    return gflops < ADVISED_GFLOPS


def slowness(device: Device, gflops: float) -> str:
    """Return how fast a device was measured and what is advised, without the sentence's end."""
    return say(
        "{device} was measured at {measured} GFLOP/s, and at least {advised} are advised",
        device=device.info.name,
        measured=round(gflops, 1) if gflops < 100 else round(gflops),
        advised=round(ADVISED_GFLOPS),
    )


def _by_part(plan: ModePlan) -> str:
    parts = plan.outline.parts()
    words = {
        "weights": say("weights"),
        "adapter": say("adapter"),
        "gradients": say("gradients"),
        "optimizer": say("optimizer"),
        "activations": say("activations"),
        "scratch": say("working space"),
        "evaluation": say("evaluation and samples"),
    }
    return listed(
        say("{part} {size}", part=words.get(name, name), size=format_bytes(size))
        for name, size in parts.items()
        if size
    )


def check_full_settings(config: TrainConfig, *, has_adapter: bool) -> None:
    """Refuse what full training has no use for, all at once.

    Raises:
        ConfigError: an adapter to start from, or a schedule of its ranks.
    """
    wrong = []
    if has_adapter:
        wrong.append("adapter")
    if config.rank_schedule != "fixed":
        wrong.append("rank_schedule")
    if wrong:
        raise ConfigError(
            say_count(
                len(wrong),
                "{wrong} cannot be used where all weights are trained: leave it out, or choose "
                "mode adapter",
                "{wrong} cannot be used where all weights are trained: leave them out, or choose "
                "mode adapter",
                wrong=", ".join(wrong),
            )
        )
