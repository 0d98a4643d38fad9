"""What a run depends on, so that a checkpoint is only ever gone on with by the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.config import LoraConfig, TrainConfig
from app.errors import CheckpointError
from app.messages import say
from app.models.loader import Model
from app.plan.run_input import settings_values
from app.text.dataset import Dataset

SLICE_BYTES = 4096
MAX_SLICES = 64
"""What is read of a model's weights: as good as any to tell two models apart, and quick."""

INDEPENDENT = (
    "eval_every",
    "sample_every",
    "sample_prompt",
    "checkpoint_every",
    "gradient_checkpointing",
    "device_memory_gb",
)
"""Settings that change no bit of a parameter: they may be others when a run goes on."""

_OF_WINDOWS = {"max_seq_len", "packing", "eval_fraction", "seed"}


@dataclass(frozen=True)
class RunIdentity:
    """What must be the same for a run to go on to the same bits.

    Attributes:
        base_name: The model's name.
        model: Hash of its shape and of slices of its weights, as they lie on the GPU.
        windows: Hash of the tokens of all windows, of training and of evaluation.
        settings: As they were asked for, by name.
    """

    base_name: str
    model: str
    windows: str
    settings: Mapping[str, Any]

    @classmethod
    async def of(
        cls, model: Model, dataset: Dataset, lora: LoraConfig, config: TrainConfig
    ) -> RunIdentity:
        """Return the identity of a run; the settings as they were asked for."""
        return cls(
            model.base_name,
            await model_fingerprint(model),
            dataset_hash(dataset),
            settings_values(lora, config),
        )

    def check_same(self, saved: Mapping[str, Any]) -> None:
        """Refuse to go on from another run.

        Args:
            saved: The fields of the identity in the checkpoint.

        Raises:
            CheckpointError: names all that differs.
        """
        told = []
        if self.model != saved["model"]:
            told.append(
                f"the model is {self.base_name} and was {saved['base_name']}"
                if self.base_name != saved["base_name"]
                else f"the weights of {self.base_name} are others"
            )
        settings: Mapping[str, Any] = saved["settings"]
        names = [
            name
            for name in dict.fromkeys((*settings, *self.settings))
            if name not in INDEPENDENT and self.settings.get(name) != settings.get(name)
        ]
        told += [
            f"{name} is {self.settings.get(name)} and was {settings.get(name)}" for name in names
        ]
        if self.windows != saved["windows"] and not _OF_WINDOWS & set(names):
            told.append("the corpus is another one")
        if told:
            raise CheckpointError(
                say(
                    "the checkpoint is of another run: {told}. Give what that run was given, or "
                    "begin anew",
                    told="; ".join(told),
                )
            )


def lora_document(lora: LoraConfig | None) -> dict[str, Any] | None:
    """Return an adapter's settings as JSON has them; null where there is no adapter."""
    if lora is None:
        return None
    values = asdict(lora)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


async def model_fingerprint(model: Model) -> str:
    """Return a hash of a model's shape and of the beginnings of its weights."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True).encode())
    storages = list(model.weights.storages())
    for index in np.linspace(0, len(storages) - 1, min(len(storages), MAX_SLICES)).astype(int):
        storage = storages[int(index)]
        size = min(SLICE_BYTES, storage.size_bytes // 4 * 4)
        digest.update(f"\n{storage.label} {storage.size_bytes}\n".encode())
        digest.update(await model.device.read(storage.buffer, 0, size))
    return digest.hexdigest()


def dataset_hash(dataset: Dataset) -> str:
    """Return a hash of all that is learnt and judged by: tokens, which count, and windows."""
    digest = hashlib.sha256()
    for windows in (dataset.train, dataset.evaluation):
        if windows is None:
            continue
        for array in (
            windows.token_ids,
            windows.is_learned,
            windows.starts,
            windows.segment_lengths,
            windows.bounds,
        ):
            flat = np.ascontiguousarray(array).reshape(-1)
            digest.update(f"\n{flat.dtype.str} {flat.size}\n".encode())
            digest.update(flat.view(np.uint8).data)
    return digest.hexdigest()
