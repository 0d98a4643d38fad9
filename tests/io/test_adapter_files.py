"""Adapter folders and single files on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.config import LoraConfig
from app.errors import AdapterError, FormatError
from app.io.adapter import model_card, read_adapter_dir, write_adapter_dir
from app.io.model_card import TrainingFacts
from tests.io.test_adapter import LORA, MODEL, Q0, foreign_config, foreign_file, make_tensors


def test_folder_round_trip(tmp_path: Path) -> None:
    tensors = make_tensors(LORA)
    path = tmp_path / "deep" / "adapter"
    write_adapter_dir(path, tensors, LORA, MODEL, "HuggingFaceTB/SmolLM2-135M-Instruct")
    assert sorted(item.name for item in path.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    for source in (path, path / "adapter_model.safetensors"):
        found, lora = read_adapter_dir(source, MODEL)
        assert lora == LORA
        np.testing.assert_array_equal(found[Q0][1], tensors[Q0][1])
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card
    assert "base_model" not in model_card(LORA, "Some name: with a colon")


def test_a_card_leaves_out_what_had_no_say() -> None:
    def rows(steps: int | None) -> list[str]:
        settings = {"steps": steps, "epochs": 9.0, "sample_prompt": "", "seed": 0}
        card = model_card(LORA, "m", TrainingFacts(settings, 900, 90, 20, 5.0, 4.0))
        return [line for line in card.splitlines() if line.startswith("| ")][1:]

    assert rows(20) == ["| steps | 20 |", "| sample_prompt | – |", "| seed | 0 |"]
    assert rows(None)[:2] == ["| steps | – |", "| epochs | 9.0 |"]


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_adapter_dir(tmp_path, make_tensors(LORA), LORA, MODEL, "m")
    wider = LoraConfig(8, 16)
    write_adapter_dir(tmp_path, make_tensors(wider), wider, MODEL, "m")
    assert read_adapter_dir(tmp_path, MODEL)[1] == wider
    assert len(list(tmp_path.iterdir())) == 3


def test_a_single_file_goes_by_the_config_it_carries(tmp_path: Path) -> None:
    write_adapter_dir(tmp_path, make_tensors(LORA), LORA, MODEL, "m")
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps(foreign_config(lora_alpha=2)))
    assert read_adapter_dir(tmp_path / "adapter_model.safetensors", MODEL)[1].alpha == 8
    assert read_adapter_dir(tmp_path, MODEL)[1].alpha == 2
    config.unlink()
    assert read_adapter_dir(tmp_path, MODEL)[1].alpha == 8


def test_a_foreign_file_finds_its_config_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "anything.safetensors"
    file.write_bytes(foreign_file(make_tensors(LORA)))
    with pytest.raises(AdapterError, match="does not carry its config"):
        read_adapter_dir(file, MODEL)
    (tmp_path / "adapter_config.json").write_text(json.dumps(foreign_config()))
    assert read_adapter_dir(file, MODEL)[1] == LORA


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"cannot read the adapter .*nowhere: No such file"):
        read_adapter_dir(tmp_path / "nowhere", MODEL)
    with pytest.raises(AdapterError, match=r"has no adapter_model\.safetensors\. Give a PEFT"):
        read_adapter_dir(tmp_path, MODEL)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(AdapterError, match="a pickle, which is never opened"):
        read_adapter_dir(tmp_path, MODEL)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"PK\x03\x04 not safetensors")
    with pytest.raises(FormatError, match="damaged"):
        read_adapter_dir(tmp_path, MODEL)
    (tmp_path / "adapter_config.json").write_text("{oops")
    with pytest.raises(AdapterError, match="not valid JSON"):
        read_adapter_dir(tmp_path, MODEL)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AdapterError, match="cannot write the adapter to"):
        write_adapter_dir(tmp_path / "file", make_tensors(LORA), LORA, MODEL, "m")


def test_nothing_is_written_when_the_adapter_is_bad(tmp_path: Path) -> None:
    tensors = make_tensors(LORA)
    tensors[Q0][0][0, 0] = np.nan
    with pytest.raises(AdapterError, match="NaN"):
        write_adapter_dir(tmp_path / "out", tensors, LORA, MODEL, "m")
    assert not (tmp_path / "out").exists()
