"""What the pictures of the benchmark show; drawing itself needs matplotlib, of the bench extra."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tools.plot_benchmarks import ARITHMETIC, MEMORY, main, read_run, rows_of, target_of

FIGURES: list[dict[str, Any]] = [
    {"bench": "device", "is_software": True},
    {"bench": "fma_peak", "gflops": 100.0},
    {"bench": "rope", "model": "a", "gbytes_per_second": 5.0, "share": 1.1},
    {"bench": "int4_matmul_forward", "model": "a", "part": "o", "gflops": 30.0, "share": 0.3},
    {"bench": "int4_matmul_forward", "model": "b", "part": "o", "gflops": 40.0, "share": 0.4},
    {"bench": "train_step", "model": "a", "gflops": 20.0, "share": 0.2},
    *(
        {"bench": "curve", "axis": axis, "value": n, "ms": 5.0 * n, "ms_low": n, "ms_high": 9 * n}
        for axis in ("tokens", "window", "rank", "layers")
        for n in (1, 2, 4)
    ),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lavapipe.jsonl"
    path.write_text("\n".join(map(json.dumps, FIGURES)), encoding="utf-8")
    return path


def test_rows_stand_under_the_peak_they_are_compared_with(file: Path) -> None:
    run = read_run(file)
    assert run.is_software
    expected = [ARITHMETIC, "train step", "int4 product forward, o", MEMORY, "rope"]
    assert rows_of([run]) == expected


@pytest.mark.parametrize(
    ("name", "on_gpu", "on_software"),
    [
        ("int4_matmul_forward", 0.65, 0.40),
        ("int8_matmul_backward", 0.60, 0.35),
        ("train_step", 0.45, None),
        ("rms_norm_forward", None, None),
    ],
)
def test_targets(name: str, on_gpu: float | None, on_software: float | None) -> None:
    assert target_of({"bench": name}, is_software=False) == on_gpu
    assert target_of({"bench": name}, is_software=True) == on_software


def test_lines_of_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "other.jsonl"
    path.write_text('{"bench": "rope"}\n')
    assert main([str(path)]) == 2
    assert "no line says what the device is" in capsys.readouterr().err


def test_pictures_are_the_same_each_time(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("first", "second"):
        assert main([str(file), "--out", str(tmp_path / folder)]) == 0
    for name in ("shares.svg", "curves.svg"):
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert ElementTree.parse(first).getroot().tag.endswith("svg")
        assert first.read_bytes() == second.read_bytes()
