"""Bad input gets a clear sentence and loses nothing: model, adapter and text stay as they were."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from app.config import TARGET_MODULES, LoraConfig, ModelConfig
from app.io.adapter import adapter_to_safetensors
from app.io.gguf_model import model_config_from_gguf
from app.io.safetensors import write_safetensors
from tests.browser.studio import Studio
from tests.tiny_model import make_tiny_gguf, parse_gguf

LORA = LoraConfig(rank=2, alpha=4)


def make_adapter(config: ModelConfig, scale: float = 0.1) -> bytes:
    """Return a random adapter file for a model."""
    rng = np.random.default_rng(0)
    tensors = {}
    for layer in range(config.num_hidden_layers):
        for module in TARGET_MODULES:
            outputs, inputs = config.projection_shape(module)
            block = "mlp" if module in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            a = rng.standard_normal((LORA.rank, inputs)).astype(np.float32) * scale
            b = rng.standard_normal((outputs, LORA.rank)).astype(np.float32) * scale
            tensors[f"model.layers.{layer}.{block}.{module}"] = (a, b)
    return adapter_to_safetensors(tensors, LORA, config, "tiny")


@pytest.fixture(scope="module")
def config(tiny_gguf: bytes) -> ModelConfig:
    return model_config_from_gguf(parse_gguf(tiny_gguf))


@pytest.fixture
def studio(tiny: Studio, config: ModelConfig) -> Iterator[Studio]:
    """The shared page with an adapter loaded; after the error all must be as before."""
    tiny.load_adapter("mine.safetensors", make_adapter(config))
    model = tiny.page.locator("#model-text").inner_text()
    yield tiny
    tiny.wait_status("ready")
    assert tiny.page.locator("#model-text").inner_text() == model
    tiny.wait_adapter("mine.safetensors")
    tiny.page.locator("#error-dismiss").click()
    expect(tiny.get("error")).to_be_hidden()


# Text


@pytest.mark.parametrize(("text", "word"), [("", "empty"), ("   \n\t ", "spaces")])
def test_empty_text(studio: Studio, text: str, word: str) -> None:
    studio.paste(text)
    studio.train()
    studio.wait_error(word, "paste or choose some text")


def test_text_of_one_token(studio: Studio) -> None:
    with studio.held("plan"):  # it would say so before Train is pressed
        studio.paste("a")
        studio.wait_counted()
        studio.train()
        studio.wait_error("token")


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("picture.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "PNG image"),
        ("program.txt", b"text first" * 9 + b"\x00\x01\x02", "binary"),
        ("latin.txt", "Größe, Öl, Übung".encode("latin-1"), "UTF-8"),
        ("nothing.txt", b"", "empty"),
    ],
    ids=["image", "binary", "latin-1", "empty"],
)
def test_file_that_is_no_text(studio: Studio, name: str, data: bytes, word: str) -> None:
    studio.paste("typed before")
    studio.choose("corpus-file", name, data)
    studio.wait_error(name, word)
    expect(studio.page.locator("#corpus-chip")).to_be_hidden()
    assert studio.get("corpus-text").input_value() == "typed before"


def test_text_of_50_megabytes(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"word " * 10_000_001)
    studio.paste("typed before")
    studio.choose("corpus-file", path.name, path)
    studio.wait_error("large.txt", "50")
    assert studio.get("corpus-text").input_value() == "typed before"


def test_all_settings_out_of_range_are_told_at_once(studio: Studio) -> None:
    studio.paste("some text to learn from " * 8)
    studio.wait_counted()
    with studio.held("plan"):  # it would tell of them before Train is pressed
        studio.change_settings(learning_rate="-1", rank="many", max_seq_len="5000")
        studio.train()
        studio.wait_error(
            "Learning rate is -1: give a number above 0, up to 10.",
            "Rank is 'many': give a whole number from 1 to 256.",
            "Window, in tokens is 5000",
            "context of 512 tokens",
        )
        assert studio.get("error").locator("li").count() == 3
    studio.get("plan-open").click()
    studio.page.locator("#plan-reset").click()
    studio.page.locator("#plan-dialog").get_by_role("button", name="Done").click()


# Models


def lying_gguf(data: bytes) -> bytes:
    """Return a GGUF whose header counts more tensors than any file holds."""
    return data[:8] + struct.pack("<Q", 2**60) + data[16:]


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("cut.gguf", lambda data: data[: len(data) // 2], ("cut.gguf", "truncated")),
        ("header.gguf", lambda data: data[:200], ("header.gguf",)),
        ("text.gguf", lambda _: b"this is no model at all, only text", ("text.gguf", "GGUF")),
        ("empty.gguf", lambda _: b"", ("empty.gguf",)),
        ("lying.gguf", lying_gguf, ("lying.gguf",)),
        (
            "other.gguf",
            lambda _: make_tiny_gguf(metadata={"general.architecture": "gptneox"}),
            ("gptneox", "llama"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_model_that_cannot_be_read(
    studio: Studio, tiny_gguf: bytes, name: str, spoil: object, words: tuple[str, ...]
) -> None:
    assert callable(spoil)
    studio.choose("model-file", name, spoil(tiny_gguf))
    studio.wait_error(*words)


# Adapters


def spoiled(adapter: bytes, change: str) -> bytes:
    """Return an adapter file with one fault."""
    size = struct.unpack("<Q", adapter[:8])[0]
    header = json.loads(adapter[8 : 8 + size])
    body = bytearray(adapter[8 + size :])
    names = sorted(name for name in header if name != "__metadata__")
    if change == "nan":
        begin = header[names[0]]["data_offsets"][0]
        body[begin : begin + 4] = struct.pack("<f", float("nan"))
    elif change == "missing":
        del header[names[0]]
        return write_safetensors(
            {
                name: np.frombuffer(body, np.float32)[
                    slice(*(offset // 4 for offset in header[name]["data_offsets"]))
                ].reshape(header[name]["shape"])
                for name in names[1:]
            },
            header["__metadata__"],
        )
    elif change == "offsets":
        header[names[0]]["data_offsets"] = [0, 2**40]
    elif change == "shape":
        header[names[0]]["shape"] = [1, 1]
    text = json.dumps(header).encode()
    if change == "length":
        return struct.pack("<Q", 2**62) + text + bytes(body)
    return struct.pack("<Q", len(text)) + text + bytes(body)


@pytest.mark.parametrize("change", ["nan", "missing", "offsets", "shape", "length"])
def test_adapter_with_a_fault(studio: Studio, config: ModelConfig, change: str) -> None:
    data = spoiled(make_adapter(config), change)
    studio.choose("adapter-drop", f"{change}.safetensors", data)
    message = studio.wait_error()
    assert len(message) > 30
    if change == "nan":
        assert "lora_" in message


def test_adapter_of_another_model(studio: Studio) -> None:
    other = model_config_from_gguf(parse_gguf(make_tiny_gguf(hidden=96, intermediate=64)))
    studio.choose("adapter-drop", "other.safetensors", make_adapter(other))
    studio.wait_error("down_proj", "(2, 64)", "(2, 128)")


# Drops


def test_dropping_text_model_and_nonsense(studio: Studio, tiny_gguf: bytes) -> None:
    studio.drop(("notes.txt", b"dropped text to learn from " * 5))
    expect(studio.page.locator("#corpus-chip-name")).to_contain_text("notes.txt")
    assert studio.wait_counted() > 10
    studio.page.locator("#corpus-chip-remove").click()
    studio.drop(("holiday.mov", b"\x00\x01"))
    studio.wait_error("holiday.mov", ".safetensors")


def test_of_several_files_what_is_understood_is_taken_and_the_rest_named(
    tiny: Studio, config: ModelConfig
) -> None:
    several = [("a.txt", b"one more text " * 5), ("b.pdf", b"%PDF"), ("c.docx", b"PK")]
    tiny.drop(*several, ("another.safetensors", make_adapter(config)))
    expect(tiny.get("notice-unread")).to_contain_text("b.pdf and c.docx are of kinds")
    expect(tiny.page.locator("#corpus-chip-name")).to_contain_text("a.txt")
    tiny.wait_adapter("another.safetensors")
    tiny.drop(("b.txt", b"and another text " * 5))
    expect(tiny.get("notice-unread")).to_have_count(0)
