"""`find-lr` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_cli import folder as folder
from tests.cli.test_cli import lines, run, train

pytestmark = pytest.mark.gpu

SETTINGS = ("--max-seq-len", "16", "--micro-batch-size", "2", "--tune", "never")


def files_of(folder: Path) -> tuple[str | Path, ...]:
    return ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt")


def test_a_rate_is_found_and_learns(folder: Path) -> None:
    *points, last = lines("find-lr", *files_of(folder), *SETTINGS)
    keys = {"step", "learning_rate", "loss", "loss_before", "change", "num_tokens", "seconds"}
    assert all(set(point) == keys for point in points)
    assert [point["step"] for point in points] == list(range(1, len(points) + 1))
    assert points[0]["learning_rate"] == 1e-5
    assert points[0]["change"] == pytest.approx(0, abs=1e-3)
    assert last["done"] is True
    assert last["steps"] == len(points) == len(last["smoothed"])
    assert last["reason"] == ""
    low, high = last["range"]
    assert 1e-5 < low <= last["suggestion"] <= high < 1
    assert {path.name for path in folder.iterdir()} == {"tiny.gguf", "text.txt"}


def test_it_starts_from_an_adapter_and_suggests_nothing_where_nothing_falls(folder: Path) -> None:
    first, *_ = train(folder, "found", "--steps", "4")
    few = ("--highest-rate", "1e-4", "--search-steps", "20", "--adapter", folder / "found")
    done = run("find-lr", *files_of(folder), *SETTINGS, *few)
    assert done.returncode == 0
    beginning, *_, last = done.stdout.splitlines()
    assert last.startswith("nothing to suggest: the loss ")
    assert float(beginning.split("loss ")[1].split()[0]) < first["loss"]


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    wrong = ("--search-steps", "3", "--lowest-rate", "x", "--rank", "0", "--resume", folder)
    done = run("find-lr", *files_of(folder), *wrong, "--nonsense")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    for word in ("search_steps is 3", "lowest_rate is 'x'", "rank is 0", "--resume", "--nonsense"):
        assert word in line
    told = run("find-lr", "--help").stdout
    assert "--search-steps" in told
    assert "steepest" in told


def test_all_weights_are_searched_on_a_copy(folder: Path) -> None:
    full = ("--mode", "full", "--eval-fraction", "0", "--search-steps", "20")
    *points, last = lines("find-lr", *files_of(folder), *SETTINGS, *full)
    assert last["steps"] == len(points) > 2
    assert points[0]["change"] == pytest.approx(0, abs=1e-2)
    assert last["fall"] > 0.1
    small = (*full, "--device-memory-gb", "0.001")
    refused = run("find-lr", *files_of(folder), *SETTINGS, *small)
    assert refused.returncode == 2
    assert "cannot fit" in refused.stderr
