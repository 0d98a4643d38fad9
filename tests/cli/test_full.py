"""Training of all weights from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import STEP_KEYS, lines, run, train
from tests.cli.test_cli import folder as folder
from tests.tiny_folder import make_tiny_folder
from tests.tiny_model import make_tiny_gguf

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
    assert all(set(step) - {"gpu_busy"} == STEP_KEYS for step in steps)
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


def test_it_is_accompanied_and_goes_on_to_the_same_bits(folder: Path) -> None:
    options = ("--confirm-full", *FULL[:2], "--optimizer", "adam8bit", "--eval-fraction", "0.2")
    beside = ("--eval-every", "4", "--sample-every", "8", "--checkpoint-every", "4")
    every = (*options, *beside, "--steps", "8")
    *told, last = train(folder, "whole", *every)
    assert [line["step"] for line in told if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in told if "eval_loss" in line] == [0, 4, 8]
    assert [line["step"] for line in told if "sample" in line] == [0, 8]
    assert last["eval_loss"] < last["eval_loss_before"]
    record = json.loads((folder / "whole" / "run.json").read_text())
    assert (record["settings"]["mode"], record["adapter"]) == ("full", None)

    kept = folder / "whole" / "checkpoints"
    (newest,) = kept.glob("checkpoint-*-00000008.safetensors")
    newest.unlink()  # as if the run had ended before it
    *rest, _ = train(folder, "rest", "--confirm-full", "--resume", str(folder / "whole"))
    assert [line["step"] for line in rest if "loss" in line] == [5, 6, 7, 8]
    assert [line["loss"] for line in rest if "loss" in line] == [
        line["loss"] for line in told if "loss" in line
    ][4:]
    first, second = (folder / name / "model.safetensors" for name in ("whole", "rest"))
    assert first.read_bytes() == second.read_bytes()


def test_what_was_quantized_on_load_is_trained(folder: Path) -> None:
    kind = weights = "int4"
    made = make_tiny_folder(make_tiny_gguf(types={"projection": "F16", "embedding": "F16"}))
    for name, data in made.items():
        (folder / "half").mkdir(exist_ok=True)
        (folder / "half" / name).write_bytes(data)
    files = ("--model", folder / "half", "--corpus", folder / "text.txt", "--out", folder / kind)
    options = (*FULL, "--confirm-full", "--steps", "6", "--max-seq-len", "16")
    options += ("--learning-rate", "0.01", "--full-weights", weights, "--quantize", kind)
    *steps, _ = lines("train", *files, *options)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.3
    assert json.loads((folder / kind / "settings.json").read_text())["quantize"] == kind
    text = ("--text", folder / "text.txt", "--max-seq-len", "16")
    (base,) = lines("eval", "--model", folder / "half", *text)
    (trained,) = lines("eval", "--model", folder / kind, *text)
    assert trained["loss"] < base["loss"] - 0.3
