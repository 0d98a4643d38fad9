"""Training of all weights from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import STEP_KEYS, lines, run, train
from tests.cli.test_cli import folder as folder

pytestmark = pytest.mark.gpu

FULL = ("--mode", "full", "--eval-fraction", "0")


def test_a_slow_device_is_asked_first(folder: Path) -> None:
    files = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt")
    done = run("train", *files, "--out", folder / "not", "--max-seq-len", "16", *FULL)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: training all ")
    assert "Add --confirm-full" in done.stderr
    assert not (folder / "not" / "model.safetensors").exists()


def test_the_model_that_it_writes_is_the_one_it_trained(folder: Path) -> None:
    options = ("--confirm-full", "--mode", "full", "--optimizer", "adam8bit", "--steps", "8")
    *steps, last = train(folder, "model", *options, "--eval-fraction", "0.2")
    assert [step["step"] for step in steps] == list(range(1, 9))
    assert all(set(step) == STEP_KEYS for step in steps)
    assert last["mode"] == "full"
    assert last["eval_loss"] < last["eval_loss_before"]
    names = {path.name for path in (folder / "model").iterdir()}
    assert names >= {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json"}
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["torch_dtype"] == "float16"
    text = ("--text", folder / "text.txt", "--max-seq-len", "16")
    (base,) = lines("eval", "--model", folder / "tiny.gguf", *text)
    (trained,) = lines("eval", "--model", folder / "model", *text)
    assert trained["loss"] < base["loss"] - 0.5


def test_plan_lays_it_out_beside_the_adapter(folder: Path) -> None:
    files = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt")
    adapter, full = lines("plan", *files, "--max-seq-len", "16", "--full-weights", "f32")
    assert (adapter["mode"], full["mode"]) == ("adapter", "full")
    assert full["feasible"]
    assert full["num_trained"] > adapter["num_trained"]
    assert full["bytes"]["total"] == sum(
        size for name, size in full["bytes"].items() if name != "total"
    )
    assert full["seconds_low"] < full["seconds"] < full["seconds_high"]
