"""Whether a model that is not there yet suits a device: a run of it is planned by its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from app.config import LoraConfig, ModelConfig, Quantization, TrainConfig
from app.errors import ConfigError, StudioError
from app.gpu.budget import MemoryBudget
from app.gpu.device import Device
from app.io.huggingface_config import model_config_from_json
from app.io.stored_tensor import StoredTensor
from app.messages import say
from app.models.loader import Model, check_weights_fit
from app.models.quantization import target_format
from app.models.random import ByteTokenizer, new_weights
from app.ops.matrix import FORMAT_OF_TYPE
from app.plan.modes import AdapterMode, RunSettings
from app.plan.planner import Planner
from app.plan.speed import Speed
from app.text.dataset import Dataset, make_dataset
from app.text.documents import Documents

Verdict = Literal["fits", "tight", "none", "unsupported"]

ROOMY_SHARE = 0.8
"""A run of more than this share of the budget is tight: the screen needs memory too."""

TIMED_TOKENS = 10_000
"""Of the training whose time is told: some pages of text."""

NUM_TOKENS = 1 << 14
"""Of the text that a run is planned for: enough to fill every window of a step."""


@dataclass(frozen=True)
class ModelShape:
    """A model by what is known of it before it is fetched.

    Attributes:
        config: Its dimensions.
        weights: Type of its projections, such as Q8_0.
        tables: Type of its embedding and head.
    """

    config: ModelConfig
    weights: str
    tables: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ModelShape:
        """Return the shape of an entry of static/catalogue.json.

        Raises:
            FormatError: an architecture that is not supported, or a number out of range.
            ConfigError: a type that the engine does not compute with.
        """
        config = model_config_from_json(entry["config"], str(entry["name"]))
        weights = str(entry["weights"])
        tables = str(entry.get("tables", weights))
        for found in (weights, tables):
            if found not in FORMAT_OF_TYPE:
                known = ", ".join(FORMAT_OF_TYPE)
                raise ConfigError(
                    say(
                        "its weights are {found}; the engine computes with {known}",
                        found=found,
                        known=known,
                    )
                )
        return cls(config, weights, tables)

    def model(self, device: Device, quantization: Quantization) -> Model:
        """Return the model without buffers.

        Raises:
            FormatError: it cannot be quantized so.
        """
        projections, tables = (
            target_format(StoredTensor(kind, (), kind, 0, 0), quantization, is_table=is_table)
            for kind, is_table in ((self.weights, False), (self.tables, True))
        )
        weights, _, _ = new_weights(self.config, projections, tables)
        tokenizer = ByteTokenizer(self.config.vocab_size)
        name = self.config.name
        return Model(self.config, weights, tokenizer, None, name, device, quantization)


@dataclass(frozen=True)
class Fit:
    """What training a model would take of a device.

    Attributes:
        verdict: `tight` is a run that fits only with smaller batches or windows, recomputing, or
            with little to spare; `unsupported` a model that the engine does not load.
        reason: Why it does not fit or load, '' where it does.
        is_refused: It cannot even be tried: a limit that the device told is exceeded.
        weights_bytes: Of the model on the GPU, 0 where it does not load.
        total_bytes: Of the run, weights included, 0 where there is none.
        seconds: To train on `TIMED_TOKENS`, None where the device's speed is not known.
    """

    verdict: Verdict
    reason: str = ""
    is_refused: bool = False
    weights_bytes: int = 0
    total_bytes: int = 0
    seconds: float | None = None


def fit_of(
    device: Device,
    entry: Mapping[str, Any],
    quantization: Quantization = "none",
    device_memory_gb: float | None = None,
    speed: Speed | None = None,
) -> Fit:
    """Plan an adapter with the settings of `LoraConfig()` and `TrainConfig()`.

    Args:
        device: Nothing is allocated on it.
        entry: Of static/catalogue.json: `name`, `config` by the keys of config.json, and the types
            of `weights` and, where they differ, of `tables`.
        quantization: What its floats become while they are loaded.
        device_memory_gb: What the person said of the device, in 10⁹ bytes.
        speed: What is known of the device's.
    """
    try:
        model = ModelShape.of(entry).model(device, quantization)
    except StudioError as error:
        return Fit("unsupported", error.sentence, is_refused=True)
    try:
        check_weights_fit(device, model.weights)
    except StudioError as error:
        return Fit("none", error.sentence, is_refused=True, weights_bytes=model.weights_bytes)
    window = min(TrainConfig().max_seq_len, model.config.max_position_embeddings)
    train = TrainConfig(max_seq_len=window, steps=1, device_memory_gb=device_memory_gb)
    wanted = RunSettings(LoraConfig(), train)
    known = speed or Speed(0.0, device.info.is_software)
    planner = Planner(AdapterMode(model), device, partial(_cut, _some_text()), known)
    plan = planner.plan(wanted)
    budget = MemoryBudget.of(device, device_memory_gb)
    verdict: Verdict = "fits"
    if not plan.is_feasible:
        verdict = "none"
    elif plan.notes or plan.total_bytes > ROOMY_SHARE * budget.memory_bytes:
        verdict = "tight"
    seconds = None
    if plan.is_feasible and (known.gflops or known.runs):
        shape = plan.work.shape
        each = shape.seq_len * shape.micro_batch_size * shape.gradient_accumulation_steps
        seconds = plan.time.seconds * TIMED_TOKENS / each
    return Fit(
        verdict, plan.misfit, plan.is_refused, model.weights_bytes, plan.total_bytes, seconds
    )


def _some_text() -> Documents:
    ids = np.zeros(NUM_TOKENS, np.int32)
    return Documents(ids, np.ones(NUM_TOKENS, np.bool_), np.array([0, NUM_TOKENS]), ("text",))


def _cut(text: Documents, settings: RunSettings) -> Dataset:
    return make_dataset(text, by_documents=False, max_seq_len=settings.train.max_seq_len)
