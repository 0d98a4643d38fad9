"""Run a case of the self-check under pytest."""

from __future__ import annotations

from typing import Any

from app.checks.bench import Case, record, run_bench
from app.gpu.device import Device
from app.gpu.tuning import GPU, SOFTWARE, SOFTWARE_SUBGROUPS, Tuning
from tests.conftest import run
from tests.tolerances import assert_close

TUNINGS: dict[str, Tuning] = {"software": SOFTWARE, "gpu": GPU}

SUBGROUPS = {"subgroups": SOFTWARE_SUBGROUPS}
"""Differs from "software" in products and attention; needs subgroups of known size."""


def check(
    device: Device, case: Case, tuning: str | Tuning = "software", seed: int = 1, **shape: Any
) -> None:
    """Run `case(bench, **shape)`, by a preset or its name, and assert every comparison."""
    if isinstance(tuning, str):
        tuning = (TUNINGS | SUBGROUPS)[tuning]
    for result in run(run_bench(device, record(case, tuning, seed, **shape))):
        assert_close(result.actual, result.expected, result.tolerance, result.name)
