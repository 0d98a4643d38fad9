"""An adapter's folder as a .zip: the same bytes each time, and nothing taken on trust."""

from __future__ import annotations

import io
import zipfile

import pytest

from app.config import LoraConfig
from app.errors import AdapterError
from app.io import adapter_zip
from app.io.adapter_zip import unzip_adapter, zip_folder
from app.io.model_card import TrainingFacts, model_card
from app.messages import told_in

FILES = {
    "adapter_model.safetensors": b"weights" * 99,
    "adapter_config.json": b"{}",
    "README.md": b"#",
}


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_folder_comes_back_from_its_zip_and_is_the_same_each_time() -> None:
    data = zip_folder(FILES)
    assert data == zip_folder(FILES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    weights, config = FILES["adapter_model.safetensors"], FILES["adapter_config.json"]
    assert unzip_adapter(data) == (weights, config)
    inside = zipped(*((f"mine/{name}", data) for name, data in FILES.items()))
    assert unzip_adapter(inside) == (weights, config)
    packed = zipped(("adapter_model.safetensors", weights), method=zipfile.ZIP_DEFLATED)
    assert unzip_adapter(packed) == (weights, None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"no sound .zip, it does not begin as one \(0 bytes\): zip the folder"),
        (b"<!doctype html>", r"does not begin as one \(15 bytes\).*or choose its adapter_model"),
        (b"PK\x03\x04" + bytes(40), "no sound .zip, it is cut off or damaged"),
        (zip_folder(FILES)[:-30], "no sound .zip, it is cut off or damaged"),
        (zipped(("notes.txt", b"x")), "holds no adapter_model.safetensors"),
        (
            zipped(("a/adapter_model.safetensors", b"x"), ("b/adapter_model.safetensors", b"y")),
            "2 files named",
        ),
        (zipped(*((f"{number}.txt", b"") for number in range(1001))), "1,001 files"),
    ],
)
def test_what_is_no_adapter_is_told(data: bytes, words: str) -> None:
    with pytest.raises(AdapterError, match=words) as found:
        unzip_adapter(data)
    # In words that another language has too, and none of Python's own.
    assert "zip file" not in str(found.value)
    assert told_in({"error": found.value.sentence})


def test_damage_and_bombs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zip_folder(FILES)
    for cut in range(0, len(data), 37):
        with pytest.raises(AdapterError):
            unzip_adapter(data[:cut])
    damaged = data.replace(b"weights", b"wEights", 1)
    with pytest.raises(AdapterError, match="no sound"):
        unzip_adapter(damaged)
    monkeypatch.setattr(adapter_zip, "MAX_UNPACKED_BYTES", 1000)
    bomb = zipped(("adapter_model.safetensors", bytes(10**6)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2000
    with pytest.raises(AdapterError, match="more than 1,000 bytes"):
        unzip_adapter(bomb)


def test_the_card_tells_how_it_was_made_and_not_of_what() -> None:
    facts = TrainingFacts(
        settings={"rank": 4, "steps": None, "target_modules": ["q_proj", "v_proj"], "odd": "a|b"},
        num_tokens=12345,
        num_eval_tokens=678,
        steps=30,
        first_loss=3.5,
        final_loss=1.25,
        perplexities=(20.0, 4.5),
        measured_on="text kept out of training",
    )
    base = "HuggingFaceTB/SmolLM2-135M-Instruct"
    card = model_card(LoraConfig(), base, facts, name="Night\nwatch")
    assert card.startswith("---\nlibrary_name: peft\n")
    for words in (
        f"base_model: {base}\n",
        "# Night watch\n",
        "12,345 tokens learnt from, 678 kept aside",
        "3.5000 at the first step, 1.2500 at the last",
        "20.00 base, 4.50 adapter",
        "| target_modules | q_proj, v_proj |",
        "| odd | a\\|b |",
        "| steps | – |",
        "published under apache-2.0",
    ):
        assert words in card
    plain = model_card(LoraConfig(), "My own model")
    assert "base_model" not in plain
    assert "look up the licence of My own model" in plain
    assert "## Training" not in plain
