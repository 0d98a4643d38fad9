"""What a run has reported so far: every step, evaluation and sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from app.train.records import StepRecord

COLUMNS = tuple(item.name for item in fields(StepRecord) if item.name != "ranks")


@dataclass(frozen=True)
class Evaluation:
    """The loss of what was kept aside, after a step; of step 0, before the first."""

    step: int
    loss: float
    perplexity: float


@dataclass(frozen=True)
class Sample:
    """What the model writes after a step, the likeliest token each time."""

    step: int
    prompt: str
    text: str


@dataclass
class History:
    """Everything in order.

    Attributes:
        resumed_at: Steps at which the run was gone on with from a checkpoint.
    """

    steps: list[StepRecord] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    resumed_at: list[int] = field(default_factory=list)

    def array(self) -> npt.NDArray[np.float64]:
        """Return (steps, columns) float64: every step to the last bit."""
        rows = [[_number(getattr(step, name)) for name in COLUMNS] for step in self.steps]
        return np.array(rows, np.float64).reshape(-1, len(COLUMNS))

    def document(self) -> dict[str, Any]:
        """Return the rest as JSON."""
        return {
            "columns": list(COLUMNS),
            "ranks": self.ranks(),
            "evaluations": [finite(asdict(item)) for item in self.evaluations],
            "samples": [asdict(item) for item in self.samples],
            "resumed_at": list(self.resumed_at),
        }

    def ranks(self) -> dict[str, dict[str, int]]:
        """Return step → module path → ranks in use, for the steps at which they changed."""
        return {str(item.step): dict(item.ranks) for item in self.steps if item.ranks is not None}

    @classmethod
    def restored(cls, array: npt.NDArray[np.float64], document: Mapping[str, Any]) -> History:
        """Return a history as it was kept."""
        columns, ranks = document["columns"], document["ranks"]
        steps = []
        for row in array.tolist():
            value = dict(zip(columns, row, strict=True))
            value |= {name: int(value[name]) for name in ("step", "num_tokens")}
            value |= {"skipped": bool(value["skipped"]), "ranks": ranks.get(str(value["step"]))}
            busy = value.get("gpu_busy", math.nan)
            value["gpu_busy"] = None if math.isnan(busy) else busy
            steps.append(StepRecord(**value))
        evaluations = [
            Evaluation(item["step"], _number(item["loss"]), _number(item["perplexity"]))
            for item in document["evaluations"]
        ]
        samples = [Sample(**item) for item in document["samples"]]
        return cls(steps, evaluations, samples, list(document["resumed_at"]))


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace NaN and infinities by null: JSON has no words for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
