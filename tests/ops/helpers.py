"""Run a case of the self-check under pytest's tolerances."""

from __future__ import annotations

from typing import Any

from app.gpu.device import Device
from app.gpu.tuning import GPU, SOFTWARE, Tuning
from app.studio.checks.bench import Bench, run_case
from tests.conftest import run
from tests.tolerances import assert_close

TUNINGS: dict[str, Tuning] = {"software": SOFTWARE, "gpu": GPU}


def check(device: Device, case: Any, tuning: str = "software", seed: int = 1, **shape: Any) -> None:
    """Run `case(bench, **shape)` and assert every comparison."""

    def record(bench: Bench) -> None:
        case(bench, **shape)

    for comparison in run(run_case(device, record, TUNINGS[tuning], seed)):
        assert_close(comparison.actual, comparison.expected, comparison.tolerance, comparison.name)
