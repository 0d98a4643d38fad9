"""The comparison of training methods: its settings are real, its table says what the runs say."""

import json

import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import CorpusError
from tests.bench.training.corpus import read_paragraphs
from tests.bench.training.methods import BASE_TRAIN, METHODS
from tests.bench.training.table import markdown, runs_of


def figure(method: str, seed: int, loss: float) -> dict:
    return {
        "method": method,
        "seed": seed,
        "eval": [[0, 4.5], [60, loss]],
        "num_tokens": 7400,
        "parts_bytes": {"optimizer": 3 << 20},
    }


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_settings_that_are_allowed(name):
    method = METHODS[name]
    TrainConfig.from_dict({**BASE_TRAIN, **method.train, "steps": 60})
    LoraConfig.from_dict(dict(method.lora))
    assert name == "baseline" or {**method.train, **method.lora}, "else it is the first row"


def test_a_difference_is_the_mean_over_seeds_that_both_have():
    runs = [figure("baseline", 0, 4.0), figure("baseline", 1, 4.2), figure("adafactor", 1, 4.1)]
    *_, baseline, adafactor = markdown(runs).splitlines()
    assert baseline == "| baseline | 4.000, 4.200 | 4.100 |  | 7400 | 3.0 MiB |"
    assert adafactor == "| adafactor | 4.100 | 4.100 | -0.100 | 7400 | 3.0 MiB |"


def test_a_run_that_was_made_again_replaces_the_first():
    runs = [figure("baseline", 1, 4.3), figure("baseline", 0, 4.0), figure("baseline", 1, 4.2)]
    assert [run["eval"][-1][1] for run in runs_of(runs, "baseline")] == [4.0, 4.2]


def test_paragraphs_are_documents_and_a_wrong_folder_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/chapter_1.json").write_text(json.dumps({"text": "One.\n\nTwo.\n\nThree."}))
    file = read_paragraphs(tmp_path, [1], 7, name="train.jsonl")
    assert [json.loads(line) for line in file.text.splitlines()] == [
        {"text": "One."},
        {"text": "Two."},
    ]
    with pytest.raises(CorpusError, match="hold 14 characters, not 99"):
        read_paragraphs(tmp_path, [1], 99, name="train.jsonl")
    with pytest.raises(CorpusError, match=r"chapter_2\.json is not a chapter"):
        read_paragraphs(tmp_path, [2], 7, name="train.jsonl")
