"""What tuning found, as it is shown and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.gpu.tuning import Tuning
from app.plan.tuning_space import Operation

REPORT_VERSION = 1


@dataclass(frozen=True)
class OperationReport:
    """What was found for one operation class; candidates are named by their labels.

    Attributes:
        pick: What is used from now on.
        prior: What would be used otherwise.
        times: Median seconds of the class's work, the fastest first.
        excluded: Candidates that failed or were wrong, and how.
        skipped: Candidates for which no time was left.
        seconds: What tuning the class took.
    """

    operation: str
    pick: str
    prior: str
    times: dict[str, float]
    excluded: dict[str, str]
    skipped: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class TuningReport:
    """What was found for all classes.

    Attributes:
        seconds: What tuning took.
        was_stopped: It ended early because somebody asked for it: not to be kept.
    """

    operations: tuple[OperationReport, ...]
    seconds: float
    was_stopped: bool = False

    def to_json(self) -> str:
        """Return the report as text."""
        return json.dumps({"version": REPORT_VERSION, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> TuningReport:
        """Return a report from its text.

        Raises:
            ValueError: it is not one, or of another version.
        """
        try:
            values = json.loads(text)
            if values.pop("version") != REPORT_VERSION:
                raise ValueError("the report is of another version")
            operations = tuple(_operation(entry) for entry in values["operations"])
            return cls(operations, _seconds(values["seconds"]), values["was_stopped"] is True)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a report of a tuning: {error!r}") from error

    def tuning(self, operations: Sequence[Operation], prior: Tuning) -> Tuning:
        """Return the tuning that was picked.

        Args:
            operations: The classes as they are now.
            prior: Of the device; gives all that no class sets.

        Raises:
            ValueError: the report is of other classes, or a pick is no candidate any more.
        """
        if [found.operation for found in self.operations] != [item.name for item in operations]:
            raise ValueError("the report is of other operation classes")
        for operation, found in zip(operations, self.operations, strict=True):
            prior = operation.candidate(found.pick).apply(prior)
        return prior


def _operation(values: Any) -> OperationReport:
    return OperationReport(
        operation=str(values["operation"]),
        pick=str(values["pick"]),
        prior=str(values["prior"]),
        times={str(label): _seconds(value) for label, value in values["times"].items()},
        excluded={str(label): str(reason) for label, reason in values["excluded"].items()},
        skipped=tuple(str(label) for label in values["skipped"]),
        seconds=_seconds(values["seconds"]),
    )


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{value!r} is no time")
    return seconds
