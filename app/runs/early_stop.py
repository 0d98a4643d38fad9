"""Ending a run whose held-out loss no longer falls, with the adapter of its best evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.train.state import Arrays

PREFIX = "best."


@dataclass
class EarlyStop:
    """What the evaluations of a run have come to.

    Attributes:
        patience: Evaluations in a row without a better loss that end the run; 0 never does.
        best_step: Step of the best evaluation; 0 where there is none yet.
        best_loss: Its loss.
        num_worse: Evaluations since.
        parameters: What was trained, as it was then.
    """

    patience: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    num_worse: int = 0
    parameters: Arrays = field(default_factory=dict)

    @property
    def is_due(self) -> bool:
        """Whether the run has not become better for long enough."""
        return 0 < self.patience <= self.num_worse

    def judge(self, step: int, loss: float) -> bool:
        """Count an evaluation; True where it is the best so far, whose parameters are wanted."""
        if loss < self.best_loss:
            self.best_step, self.best_loss, self.num_worse = step, loss, 0
            return True
        self.num_worse += 1
        return False

    def document(self) -> dict[str, Any]:
        """Return all but the parameters as JSON."""
        loss = self.best_loss if math.isfinite(self.best_loss) else None
        return {"best_step": self.best_step, "best_loss": loss, "num_worse": self.num_worse}

    def arrays(self) -> Arrays:
        """Return the parameters as a checkpoint has them."""
        return {PREFIX + name: array for name, array in self.parameters.items()}

    def restored(self, document: Mapping[str, Any], arrays: Arrays) -> EarlyStop:
        """Return what was kept, with this one's patience."""
        loss = document["best_loss"]
        return EarlyStop(
            self.patience,
            int(document["best_step"]),
            math.inf if loss is None else float(loss),
            int(document["num_worse"]),
            {
                name.removeprefix(PREFIX): array
                for name, array in arrays.items()
                if name.startswith(PREFIX)
            },
        )
