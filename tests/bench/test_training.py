"""The comparison of training methods: its settings are real, its table says what the runs say."""

import json
from pathlib import Path

import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError, CorpusError
from app.gpu.device import Device
from app.text.dataset import CorpusFile
from tests.bench.training.bases import Bases
from tests.bench.training.corpus import read_paragraphs
from tests.bench.training.measure import measure
from tests.bench.training.methods import BASE_TRAIN, METHODS
from tests.bench.training.table import markdown, runs_of
from tests.conftest import run
from tests.tiny_folder import make_tiny_folder
from tests.tiny_model import make_tiny_gguf

WITH_BASE = [name for name, method in METHODS.items() if method.base is not None]


def figure(method: str, seed: int, loss: float) -> dict:
    return {
        "method": method,
        "seed": seed,
        "eval": [[0, 4.5], [60, loss]],
        "num_tokens": 7400,
        "parts_bytes": {"weights": 5 << 20, "optimizer": 3 << 20},
    }


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_settings_that_are_allowed(name):
    method = METHODS[name]
    TrainConfig.from_dict({**BASE_TRAIN, **method.train, "steps": 60})
    LoraConfig.from_dict(dict(method.lora))
    changed = {**method.train, **method.lora} or method.base
    assert name == "baseline" or changed, "else it is the first row"


def test_a_difference_is_the_mean_over_seeds_that_both_have():
    runs = [figure("baseline", 0, 4.0), figure("baseline", 1, 4.2), figure("adafactor", 1, 4.1)]
    *_, baseline, adafactor = markdown(runs).splitlines()
    assert baseline == "| baseline | 4.000, 4.200 | 4.100 |  | 7400 | 3.0 MiB |"
    assert adafactor == "| adafactor | 4.100 | 4.100 | -0.100 | 7400 | 3.0 MiB |"


def test_methods_with_a_base_have_a_table_with_what_it_knew_before():
    runs = [figure("baseline", 0, 4.0), figure("nf4 base", 0, 4.1), figure("nf4 base", 1, 4.3)]
    *_, last = markdown(runs).split("\n\n")
    assert last.splitlines()[2:] == [
        "| nf4 base | 4.500 | 4.100, 4.300 | 4.200 | +0.100 | 90.0 → 66.7 | 5.0 MiB | 8.0 MiB |"
    ]


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a GGUF file, and its floats as HuggingFace files beside it."""
    path = tmp_path_factory.mktemp("base")
    data = make_tiny_gguf(path / "tiny.gguf")
    make_tiny_folder(data, dtype="F16", path=path)
    return path


@pytest.mark.gpu
@pytest.mark.parametrize("name", WITH_BASE)
def test_a_method_trains_on_its_base(device: Device, folder: Path, name: str) -> None:
    method, before = METHODS[name], device.allocated_bytes
    lines = "\n".join(json.dumps({"text": f"{word} of the sea. " * 9}) for word in ("Calm", "Deep"))
    files = CorpusFile("train.jsonl", lines), CorpusFile("eval.jsonl", lines)
    bases = Bases(device, folder / "tiny.gguf", folder)
    model = run(bases.get(method))
    assert method.base is not None
    assert model.quantization == method.base.quantization
    made = run(measure(model, files, name, 0, 2, 1))
    assert [step for step, _ in made["eval"]] == [0, 1, 2]
    assert made["eval"][2][1] < made["eval"][0][1], "it is the text that it learns from"
    assert (made["rank"] is None) == method.is_full
    bases.destroy()
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_a_base_is_loaded_once_and_needs_its_folder(device: Device, folder: Path) -> None:
    bases = Bases(device, folder / "tiny.gguf", None)
    first = run(bases.get(METHODS["baseline"]))
    assert run(bases.get(METHODS["adam8bit"])) is first
    with pytest.raises(ConfigError, match="give a HuggingFace folder with --folder"):
        run(bases.get(METHODS["nf4 base"]))
    bases.destroy()
