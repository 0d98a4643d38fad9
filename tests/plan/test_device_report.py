"""The report to paste into a bug report: complete, readable, nothing of a person's in it."""

from __future__ import annotations

import pytest

from app.checks.selfcheck import CheckResult
from app.gpu.device import Device
from app.plan.device_report import MAX_PROBLEM_LENGTH, check_summary, report_of
from app.plan.probe import describe_device


def result(op: str, *, ok: bool = True, problem: str = "", error: float = 1e-6) -> CheckResult:
    return CheckResult(op, "rows", ok, "y of launch 1", error, 1e-5, "training", problem, 0.25)


@pytest.mark.gpu
def test_a_device_is_told_in_full(device: Device) -> None:
    facts = describe_device(device)
    report = report_of([("browser", "Chrome | 1")], {**facts, "peaks": None}, None)
    for name, value in facts["limits"].items():
        assert f"| {name} " in report
        assert not value or f"{value:,}" in report
    for name in (*facts["features"], *facts["missing_features"], *facts["variants"]):
        assert f"| {name} " in report
    assert "| browser" in report
    assert "Chrome \\| 1" in report
    assert "Not run." in report
    assert "was not asked" in report
    measured = dict.fromkeys(
        ("fma_gflops", "int4_matmul_gflops", "copy_gbytes_per_second", "dispatch_us"), 12.34
    )
    assert report_of([], {**facts, "peaks": measured}, None).count("12.3 ") == 4


def test_failures_stand_on_top_and_stay_in_their_line() -> None:
    long = "shader:3 error | here\n" + "x" * 2 * MAX_PROBLEM_LENGTH
    results = [
        result("rope"),
        result("linear", ok=False, error=0.5),
        result("swiglu", ok=False, problem=long, error=float("inf")),
    ]
    lines = report_of([], None, results, num_cases=5).splitlines()
    assert "There is no device." in lines
    assert "2 of 3 cases differ from their reference, in 0.8 s, stopped before 2 more." in lines
    (told,) = [line for line in lines if line.startswith("- swiglu, rows: shader:3 error")]
    assert "error \\| here" in told
    assert len(told) < MAX_PROBLEM_LENGTH + 40
    rows = [line.split("|")[1].strip() for line in lines if "| rows" in line]
    assert rows == ["linear", "swiglu", "rope"]
    assert check_summary(results[:1], 1) == ("All 1 cases agree with their reference, in 0.2 s.")
