"""The command line as scripts use it: JSON lines on stdout, sentences on stderr, exit status."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.checks.cases import CASES
from app.io.safetensors import read_safetensors
from tests.tiny_folder import make_tiny_folder
from tests.tiny_model import make_tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The heron of Zembria sleeps on one leg. " * 40
STEP_KEYS = {"step", "loss", "grad_norm", "learning_rate", "num_tokens", "tokens_per_second"}

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    make_tiny_gguf(folder / "tiny.gguf", seed=3)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "app", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def lines(*arguments: str | Path) -> list[dict[str, Any]]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def train(folder: Path, out: str, *more: str) -> list[dict[str, Any]]:
    files = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt")
    settings = ("--max-seq-len", "16", "--micro-batch-size", "2", "--learning-rate", "0.01")
    return lines("train", *files, "--out", folder / out, *settings, *more)


def test_train_eval_chat(folder: Path) -> None:
    *steps, last = train(folder, "adapter", "--steps", "6", "--schedule", "linear")
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert all(set(step) - {"gpu_busy"} == STEP_KEYS for step in steps)
    assert [step["num_tokens"] for step in steps] == [32, 64, 96, 128, 160, 192]
    assert [step["learning_rate"] for step in steps] == pytest.approx(
        [0.01 * (6 - index) / 6 for index in range(6)]
    )
    assert last["done"] is True
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert {path.name for path in (folder / "adapter").iterdir()} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
    }

    evaluated = ("--text", folder / "text.txt", "--max-seq-len", "16")
    (base,) = lines("eval", "--model", folder / "tiny.gguf", *evaluated)
    (tuned,) = lines(
        "eval", "--model", folder / "tiny.gguf", *evaluated, "--adapter", folder / "adapter"
    )
    assert set(base) == {"loss", "perplexity", "num_tokens", "num_predicted"}
    assert tuned["loss"] < base["loss"]
    assert base["perplexity"] == pytest.approx(math.exp(base["loss"]))
    windows = math.ceil(base["num_tokens"] / 16)
    assert base["num_predicted"] == base["num_tokens"] - windows

    asked = ("--prompt", "The heron", "--raw", "--max-new-tokens", "5", "--temperature", "0")
    (answer,) = lines("chat", "--model", folder / "tiny.gguf", *asked)
    assert set(answer) >= {"text", "token_ids", "tokens_per_second"}
    assert 1 <= len(answer["token_ids"]) <= 5


def test_low_bit_adapters_go_on_from_their_packed_file(folder: Path) -> None:
    *steps, _ = train(folder, "bits", "--steps", "4", "--adapter-bits", "1")
    packed = folder / "bits" / "adapter_model.lorabits"
    asked = ("--text", folder / "text.txt", "--max-seq-len", "16")
    losses = [
        lines("eval", "--model", folder / "tiny.gguf", *asked, "--adapter", path)[0]["loss"]
        for path in (packed, folder / "bits")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    *again, _ = train(folder, "more", "--steps", "4", "--adapter", str(packed))
    assert again[0]["loss"] < steps[0]["loss"]
    assert (folder / "more" / "adapter_model.lorabits").stat().st_size == packed.stat().st_size


def test_plan_foretells_the_run(folder: Path) -> None:
    files = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt")
    settings = ("--max-seq-len", "32", "--micro-batch-size", "4", "--steps", "5")
    adapter, full = lines("plan", *files, *settings, "--calibrate")
    assert (adapter["mode"], full["mode"]) == ("adapter", "full")
    assert adapter["feasible"] is True
    assert adapter["selected"] is True
    assert adapter["num_steps"] == 5
    assert adapter["basis"] == "calibration"
    assert adapter["seconds_low"] <= adapter["seconds"] <= adapter["seconds_high"]
    (advice,) = adapter["warnings"]  # of the text that five steps do not come to
    assert adapter["passes"] < 1
    assert advice["settings"] == {"steps": None, "epochs": 1.0}
    parts = dict(adapter["bytes"])
    assert parts.pop("total") == sum(parts.values())

    small = str((adapter["bytes"]["total"] - 1) / 1e9)
    (tight, _) = lines("plan", *files, *settings, "--device-memory-gb", small)
    assert tight["is_checkpointing"] is True  # which makes room
    least = ("--gradient-checkpointing", "off", "--device-memory-gb", small)
    (refused, _) = lines("plan", *files, *settings, *least)
    assert refused["feasible"] is False
    assert "GPU memory" in refused["reason"]
    remedy = refused["warnings"][0]["settings"]
    assert remedy == {"micro_batch_size": 2, "gradient_accumulation_steps": 2}
    wrong = run("plan", *files, "--max-seq-len", "0", "--nonsense")
    assert wrong.returncode == 2
    assert "max_seq_len" in wrong.stderr
    assert "--nonsense" in wrong.stderr


def test_same_seed_same_losses_and_a_run_goes_on_from_its_adapter(folder: Path) -> None:
    first = train(folder, "first", "--steps", "4", "--seed", "7")
    again = train(folder, "again", "--steps", "4", "--seed", "7")
    assert [step["loss"] for step in first[:-1]] == [step["loss"] for step in again[:-1]]
    further = train(folder, "further", "--steps", "1", "--adapter", str(folder / "first"))
    assert further[0]["loss"] < first[0]["loss"]


def test_settings_from_a_file_and_a_run_repeated_from_what_it_wrote(folder: Path) -> None:
    config = folder / "run.json"
    config.write_text(
        '{"r": 2, "lora_alpha": 4, "steps": 9, "seed": 7, "packing": "dual", "quantize": "int4"}'
    )
    first = train(folder, "from-file", "--config", str(config), "--steps", "3", "--rslora")
    assert len(first) == 4  # an option wins over the file
    written = json.loads((folder / "from-file" / "settings.json").read_text())
    assert (written["rank"], written["steps"], written["use_rslora"]) == (2, 3, True)
    assert (written["packing"], written["max_seq_len"]) == ("dual", 16)
    assert written["quantize"] == "int4"
    again = lines(
        *("train", "--model", folder / "tiny.gguf", "--corpus", folder / "text.txt"),
        *("--out", folder / "repeated", "--config", folder / "from-file" / "settings.json"),
    )
    assert [step["loss"] for step in again[:-1]] == [step["loss"] for step in first[:-1]]


def test_a_corpus_is_previewed_without_a_device(folder: Path) -> None:
    (folder / "talk.jsonl").write_text('{"prompt": "Who?", "completion": " I."}\n' * 3)
    asked = ("--model", folder / "tiny.gguf", "--corpus", folder / "talk.jsonl")
    (shown,) = lines("preview", *asked, "--packing", "best-fit", "--max-seq-len", "64")
    assert (shown["num_documents"], shown["num_windows"], shown["num_repeated"]) == (3, 1, 2)
    learned = "".join(token["text"] for token in shown["windows"][0] if token["is_learned"])
    assert learned.count(" I.") == 3
    assert "Who" not in learned
    done = run("preview", *asked)
    assert done.stderr == ""
    assert '3 times: {"prompt": "Who?",' in done.stdout
    assert "«(W)|" in done.stdout


def test_all_that_is_wrong_is_one_line_before_the_model_is_touched(folder: Path) -> None:
    config = folder / "wrong.json"
    config.write_text(
        '{"rank": 0, "learning_rate": "fast", "ranks": 3, "eval_fraction": 1, "quantize": "int3"}'
    )
    (folder / "nothing.txt").write_bytes(b"")
    done = run(
        *("train", "--model", folder / "tiny.gguf", "--corpus", folder / "nothing.txt"),
        *("--out", folder / "untouched", "--config", config, "--max-seq-len", "5000"),
        *("--optimizer", "sgd", "--alpha", "nan", "--colour", "blue", "--json"),
        *("--resume", folder / "nowhere"),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()  # no device was opened, no model loaded
    for words in (
        "unknown option --colour",
        "nowhere",
        "quantize is 'int3': choose from none, int4, ",
        "unknown setting 'ranks': choose from adapter_bits, alpha,",
        "rank is 0: give a whole number from 1 to 256",
        "alpha is nan: give a number above 0",
        "learning_rate is 'fast': give a number above 0, up to 10",
        "eval_fraction is 1: give 0 or a share below 1",
        "optimizer is 'sgd': choose from adamw, adam8bit, adafactor",
        "max_seq_len is 5000: Tiny Random has a context of 512 tokens",
        "nothing.txt is empty",
    ):
        assert words in line
    assert not (folder / "untouched").exists()


def test_what_a_run_learns_from_and_its_ranks_are_told(folder: Path) -> None:
    notes = "The lamp is lit.\n\nThe lamp is lit.\n\n" + "Snow fell on the harbour.\n\n" * 3
    (folder / "notes.md").write_text(notes)
    done = run(
        *("train", "--model", folder / "tiny.gguf", "--corpus", folder / "notes.md"),
        *("--out", folder / "told", "--packing", "best-fit", "--max-seq-len", "64", "--steps"),
        *("4", "--rank-schedule", "progressive", "--optimizer", "adafactor", "--json"),
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "3 lines repeat an earlier one, 0 only nearly:\n  3 times: Snow fell on the harbour.",
        "5 documents: ",
        "of padding); nothing kept for evaluation",
        "4 steps, ",
        "hold the state of adafactor",
        "14 ranks in use in 14 projections",
        "56 ranks in use in 14 projections",
    ):
        assert words in done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    changes = {step["step"]: set(step["ranks"].values()) for step in steps if "ranks" in step}
    assert changes == {1: {1}, 2: {2}, 3: {4}}


def test_a_folder_is_quantized_while_it_is_loaded(folder: Path) -> None:
    types = {"projection": "F16", "embedding": "F16"}
    make_tiny_folder(make_tiny_gguf(types=types), dtype="F16", path=folder / "tiny-f16")
    losses, told = {}, {}
    for kind in ("none", "int4", "nf4"):
        evaluate = ("eval", "--model", folder / "tiny-f16", "--text", folder / "text.txt")
        done = run(*evaluate, "--max-seq-len", "64", "--quantize", kind, "--json")
        assert done.returncode == 0, done.stderr
        losses[kind], told[kind] = json.loads(done.stdout)["loss"], done.stderr
    assert "quantized to nf4 while loading: 0." in told["nf4"]
    assert 0 < abs(losses["int4"] - losses["none"]) < 0.05
    assert 0 < abs(losses["nf4"] - losses["none"]) < 0.05
    chat = ("chat", "--model", folder / "tiny.gguf", "--prompt", "a", "--max-new-tokens", "1")
    assert "loaded as they are" in run(*chat, "--quantize", "int4").stderr
    refused = run(*chat, "--quantize", "nf4")
    assert refused.returncode == 2
    assert "is quantized already (Q4_1): nf4 is made of F32" in refused.stderr


def test_an_interrupted_run_keeps_its_adapter(folder: Path) -> None:
    out = folder / "interrupted"
    arguments = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt", "--out", out)
    with subprocess.Popen(
        command("train", *arguments, "--steps", "100000", "--max-seq-len", "16", "--json"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert json.loads(process.stdout.readline())["loss"] > 0
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().splitlines()
        assert process.wait(timeout=120) == 0
    last = json.loads(rest[-1])
    assert last["done"] is True
    assert last["stopped"] is True
    tensors, _ = read_safetensors((out / "adapter_model.safetensors").read_bytes())
    assert any(np.abs(tensor).max() > 0 for name, tensor in tensors.items() if "lora_B" in name)


def test_a_run_goes_on_in_another_process_to_the_same_bits(folder: Path) -> None:
    settings = (
        "--steps",
        "8",
        "--eval-every",
        "4",
        "--sample-every",
        "4",
        "--eval-fraction",
        "0.2",
    )
    settings += ("--sample-prompt", "The heron", "--rank-schedule", "progressive")
    *whole, last = train(folder, "whole", *settings)
    kinds = [set(line) - {"step"} for line in whole if "loss" not in line]
    assert kinds == [{"eval_loss", "perplexity"}, {"sample", "prompt"}] * 3
    assert last["perplexity"] == pytest.approx(math.exp(last["eval_loss"]))
    assert last["eval_loss"] < last["eval_loss_before"]
    assert last["perplexity_before"] == whole[0]["perplexity"]

    out = folder / "part"
    files = ("--model", folder / "tiny.gguf", "--corpus", folder / "text.txt", "--out", out)
    plain = ("--max-seq-len", "16", "--micro-batch-size", "2", "--learning-rate", "0.01")
    begun = command("train", *files, *plain, *settings, "--checkpoint-every", "1", "--json")
    with subprocess.Popen(
        begun, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        told = []
        while not told or told[-1].get("step") != 5:
            told.append(json.loads(process.stdout.readline()))
        process.kill()
    kept = [line for line in told if "loss" in line][:4]
    # All settings come from the checkpoint; of step 5 one may have been written or not.
    *rest, done = lines("train", *files, "--resume", out)
    steps = [line for line in rest if "loss" in line]
    assert steps[0]["step"] in (5, 6)
    losses = [line["loss"] for line in whole if "loss" in line]
    assert [line["loss"] for line in kept] == losses[:4]
    assert [line["loss"] for line in steps] == losses[steps[0]["step"] - 1 :]
    assert done["eval_loss"] == last["eval_loss"]
    names = ("adapter_model.safetensors",)
    assert [(out / n).read_bytes() for n in names] == [
        (folder / "whole" / n).read_bytes() for n in names
    ]
    record = json.loads((out / "run.json").read_text())
    assert record["history"]["loss"] == losses
    assert record["resumed_at"] == [steps[0]["step"] - 1]
    assert record["settings"]["checkpoint_every"] == 1

    refused = run("train", *files, "--resume", out, "--rank", "2", "--steps", "9")
    assert refused.returncode == 2
    sentence = refused.stderr.splitlines()[-1]
    assert "rank is 2 and was 4" in sentence
    assert "steps is 9 and was 8" in sentence
    refused = run("train", *files, "--resume", folder)
    assert refused.returncode == 2
    assert "has no checkpoints to go on from" in refused.stderr


def test_info(folder: Path) -> None:
    (info,) = lines("info")
    assert json.dumps(info).count("gflops") >= 1
    assert set(info) == {
        *("adapter", "features", "missing_features", "limits"),
        *("variants", "is_tuned", "memory", "peaks"),
    }


def test_doctor_checks_the_device_and_reports() -> None:
    facts, *checks, last = lines("doctor", "--quick")
    assert facts["peaks"]["fma_gflops"] > 0
    assert [check["check"] for check in checks] == list(CASES)
    assert all(check["ok"] and check["error"] <= check["allowed"] for check in checks)
    assert last["num_failed"] == 0
    assert last["num_checked"] == last["num_cases"] == len(checks)
    told = run("doctor", "--quick")
    assert told.returncode == 0, told.stderr
    assert f"All {len(checks)} cases agree with their reference" in told.stdout
    for words in (facts["adapter"]["name"], "GFLOP/s", "GB/s", "max_buffer_bytes", "## Kernels"):
        assert words in told.stdout
    assert f"1 of {len(checks)}: " in told.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "--rank", "0", "--corpus", "{text}", "--out", "{out}"), "rank is 0"),
        (("train", "--learning-rate", "-1", "--corpus", "{text}", "--out", "{out}"), "-1"),
        (
            ("train", "--packing", "triple", "--corpus", "{text}", "--out", "{out}"),
            "packing is 'triple': choose from none, dual, best-fit",
        ),
        (("train", "--corpus", "{missing}", "--out", "{out}"), "missing.txt"),
        (("train", "--corpus", "{empty}", "--out", "{out}"), "empty"),
        (("train", "--corpus", "{model}", "--out", "{out}"), "GGUF model"),
        (("eval", "--text", "{text}", "--adapter", "{missing}"), "missing.txt"),
        (("eval", "--text", "{text}", "--max-seq-len", "1"), "max_seq_len is 1"),
        (("chat",), "--prompt"),
        (("chat", "--prompt", "a", "--temperature", "-3"), "temperature is -3"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (folder / "empty.txt").write_bytes(b"")
    places = {
        "{text}": folder / "text.txt",
        "{out}": folder / "unused",
        "{missing}": folder / "missing.txt",
        "{empty}": folder / "empty.txt",
        "{model}": folder / "tiny.gguf",
    }
    filled = [str(places.get(word, word)) for word in arguments]
    done = run(filled[0], "--model", folder / "tiny.gguf", *filled[1:], "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert sentence in last
    assert "Traceback" not in done.stderr


def test_a_model_that_is_none(folder: Path) -> None:
    done = run("eval", "--model", folder / "text.txt", "--text", folder / "text.txt", "--json")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "GGUF" in last
