"""Settings, model and corpus of a run checked together: all that is wrong in one message."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError, CorpusError, FormatError, Problems, StudioError
from app.io.settings_file import SETTINGS_NAME, read_settings_file, write_settings_file
from app.plan.run_input import merge_settings, read_run, settings_values
from tests.conftest import run
from tests.tiny_model import make_tiny_gguf

NOT_SETTINGS: tuple[Any, ...] = (
    None, True, "", "4", "x" * 9999, [], [4], {}, {"a": 1}, -1, 10**400, 0.5, math.nan, math.inf,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_tiny_gguf(folder / "tiny.gguf", context=96)
    (folder / "text.txt").write_text("the heron sleeps on one leg. " * 40, encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "one.txt").write_text("a", encoding="utf-8")
    (folder / "bad.jsonl").write_text('{"text": 1}\n', encoding="utf-8")
    return folder


def problems_of(folder: Path, values: dict[str, Any], *corpus: str) -> tuple[str, ...]:
    paths = [folder / name for name in corpus or ("text.txt",)]
    with pytest.raises(StudioError) as caught:
        run(read_run(values, model=folder / "tiny.gguf", corpus=paths))
    return caught.value.problems


def test_everything_that_is_wrong_is_told_at_once_with_what_is_allowed(folder: Path) -> None:
    values = {
        "rank": 5000,
        "learning_rate": -1,
        "max_seq_len": 97,
        "eval_fraction": 1,
        "optimizer": "sgd",
        "steps": "many",
        "ranks": 3,
        "dropout": 0.1,
    }
    found = problems_of(folder, values, "empty.txt", "bad.jsonl")
    assert [problem.split(":")[0] for problem in found] == [
        "unknown settings 'ranks', 'dropout'",
        "rank is 5000",
        "steps is 'many'",
        "optimizer is 'sgd'",
        "learning_rate is -1",
        "eval_fraction is 1",
        "max_seq_len is 97",
        "empty.txt is empty",
    ]
    assert ": choose from " in found[0]
    assert all(name in found[0] for name in LoraConfig.names() + TrainConfig.names())
    assert "from 1 to 256" in found[1]
    assert "Tiny Random has a context of 96 tokens, give a whole number from 2 to 96" in found[6]


def test_a_window_beyond_any_model_is_told_once(folder: Path) -> None:
    (found,) = problems_of(folder, {"max_seq_len": 10**6})
    assert "from 2 to 96" in found


@pytest.mark.parametrize(
    ("corpus", "words"),
    [("one.txt", "at least 2 tokens"), ("bad.jsonl", "line 1"), ("none.txt", "none.txt")],
)
def test_what_the_corpus_lacks_is_told_beside_a_bad_setting(
    folder: Path, corpus: str, words: str
) -> None:
    rank, lacks = problems_of(folder, {"rank": 0}, corpus)
    assert rank.startswith("rank is 0")
    assert words in lacks


def test_a_model_that_is_none_hides_nothing(folder: Path) -> None:
    paths = [folder / "bad.jsonl"]
    with pytest.raises(ConfigError) as caught:
        run(read_run({"rank": 0}, model=folder / "text.txt", corpus=paths))
    model, rank, corpus = caught.value.problems
    assert "GGUF" in model
    assert rank.startswith("rank")
    assert "line 1" in corpus


def test_what_is_wrong_with_two_files_keeps_its_kind(folder: Path) -> None:
    (folder / "latin.txt").write_bytes(b"\xe9t\xe9")
    paths = [folder / "empty.txt", folder / "latin.txt"]
    with pytest.raises(CorpusError, match=r"empty.txt .*; latin.txt"):
        run(read_run({}, model=folder / "tiny.gguf", corpus=paths))


def test_a_window_that_nobody_asked_for_fits_the_model(folder: Path) -> None:
    asked = run(read_run({}, model=folder / "tiny.gguf", corpus=[folder / "text.txt"]))
    assert asked.config.max_seq_len == 96
    assert asked.dataset.train.lengths.max() == 96


@pytest.mark.parametrize("name", [*LoraConfig.names(), *TrainConfig.names()])
def test_a_value_of_any_type_is_taken_or_told(name: str) -> None:
    num_told = 0
    for value in NOT_SETTINGS:
        problems = Problems()
        merge_settings(LoraConfig(), TrainConfig(), {name: value}, problems)
        for told in problems.found:
            num_told += 1
            assert told.startswith(f"{name} ")
            assert len(told) < 250
            assert ": give " in told or ": choose from " in told
    assert num_told >= 8


def test_numbers_are_taken_as_json_and_javascript_write_them() -> None:
    problems = Problems()
    values = {"rank": 8.0, "alpha": 16.0, "target_modules": "q_proj, v_proj", "steps": 3.0}
    lora, train = merge_settings(LoraConfig(), TrainConfig(), values, problems)
    assert not problems.found
    assert (lora.rank, lora.alpha, train.steps) == (8, 16, 3)
    assert isinstance(lora.alpha, int)
    assert lora.target_modules == ("q_proj", "v_proj")


# Files of settings


def test_settings_that_were_written_are_read_back(tmp_path: Path) -> None:
    lora = LoraConfig(rank=3, target_modules=("q_proj",))
    train = TrainConfig(steps=5, learning_rate=3e-4, packing="dual")
    write_settings_file(tmp_path, settings_values(lora, train))
    values = read_settings_file(tmp_path / SETTINGS_NAME)
    problems = Problems()
    assert merge_settings(LoraConfig(), TrainConfig(), values, problems) == (lora, train)
    assert not problems.found


def test_toml_and_the_names_of_peft(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("r = 16 # wide\nlearning_rate = 2e-4\ntarget_modules = 'all-linear'\n")
    assert read_settings_file(path) == {
        "rank": 16,
        "learning_rate": 2e-4,
        "target_modules": "all-linear",
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "", "not JSON"),
        ("a.json", "[1]", "holds no settings"),
        ("a.json", '{"rank": 1, "rank": 2}', "'rank' is given twice"),
        ("a.json", '{"rank": 1, "r": 2}', "rank under two names"),
        ("a.json", "[" * 100_000, "nested deeper"),
        ("a.json", '{"rank": ' + "9" * 5000 + "}", "not JSON"),
        ("a.json", " " * 1_100_000, "more than 1 MiB"),
        ("a.toml", "rank 4", "not TOML"),
        ("a.toml", "a = " + "[" * 100_000, "not TOML"),
        ("a.toml", "rank = 1\nrank = 2", "not TOML"),
    ],
)
def test_a_file_that_is_no_settings_is_one_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=words):
        read_settings_file(tmp_path / name)


def test_a_missing_or_binary_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"cannot read .*none\.json"):
        read_settings_file(tmp_path / "none.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(FormatError, match="not JSON"):
        read_settings_file(tmp_path / "a.json")
    assert json.dumps(settings_values(LoraConfig(), TrainConfig()))
