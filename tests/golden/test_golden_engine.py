"""The engine on the real model against PyTorch and PEFT on the same dequantized weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.config import GenerationConfig, TrainConfig
from app.generate.generator import Generator
from app.gpu.device import Device
from app.io.adapter import read_adapter_dir
from app.io.source import FileSource
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.text.chat_template import render_chat
from app.text.windows import Windows, make_windows
from app.train.evaluate import EvalResult, evaluate
from app.train.records import StepRecord
from app.train.trainer import Trainer
from tests.conftest import run
from tests.golden import golden_data as golden
from tests.nn.engine import Step, logits_of, next_tokens
from tests.tolerances import (
    GOLDEN_GRADIENT_NMSE,
    GOLDEN_GRADIENT_NORM_REL,
    GOLDEN_LOGITS,
    GOLDEN_LOSS_ABS,
    GOLDEN_STEP_LOSS_REL,
    GOLDEN_TRAINED_LOSS_ABS,
    assert_close,
    nmse,
)

pytestmark = [pytest.mark.golden, pytest.mark.gpu]

VALUES = golden.load_values()


@pytest.fixture(scope="module")
def model(device: Device, real_model: Path) -> Iterator[Model]:
    model = run(load_model(device, FileSource(real_model), lambda done, total: None))
    yield model
    model.destroy()


@pytest.fixture
def seeded(model: Model) -> Iterator[Adapter]:
    """The adapter with a B that is not zero."""
    adapter = Adapter(model.config, model.device, golden.SEEDED_LORA)
    adapter.load(golden.seeded_adapter(model.config))
    yield adapter
    adapter.destroy()


@pytest.fixture
def from_peft(model: Model) -> Iterator[Adapter]:
    """The adapter that PEFT wrote to disk."""
    tensors, lora = read_adapter_dir(golden.ADAPTER_DIRECTORY, model.config)
    assert lora == golden.TRAINED_LORA
    adapter = Adapter(model.config, model.device, lora)
    adapter.load(tensors)
    yield adapter
    adapter.destroy()


def text_windows(max_seq_len: int) -> Windows:
    return make_windows(VALUES["token_ids"], max_seq_len)


def evaluated(model: Model, adapter: Adapter | None, windows: Windows) -> EvalResult:
    result = run(evaluate(model, adapter, windows))
    assert result is not None
    return result


def ten_steps(model: Model, adapter: Adapter, max_seq_len: int) -> list[StepRecord]:
    """Train as the golden run did: AdamW, a window a step, constant rate, no clipping."""
    config = TrainConfig(
        max_seq_len=max_seq_len,
        micro_batch_size=1,
        steps=10,
        learning_rate=VALUES["learning_rate"],
        max_grad_norm=0.0,
    )
    trainer = Trainer(model, adapter, text_windows(max_seq_len), config)
    records: list[StepRecord] = []
    try:
        run(trainer.prepare())
        run(trainer.run(records.append))
    finally:
        trainer.destroy()
    return records


def assert_follows_peft(records: list[StepRecord], length: int) -> None:
    losses, norms = VALUES[f"train_losses_{length}"], VALUES[f"train_grad_norms_{length}"]
    assert [record.num_tokens for record in records] == [length * step for step in range(1, 11)]
    assert [record.loss for record in records] == pytest.approx(losses, rel=GOLDEN_STEP_LOSS_REL)
    found = [record.grad_norm for record in records]
    assert found == pytest.approx(norms, rel=GOLDEN_GRADIENT_NORM_REL)


def test_tokens_and_prompt(model: Model) -> None:
    assert model.tokenizer.encode(golden.TEXT_FILE.read_text()) == VALUES["token_ids"]
    messages = [{"role": "user", "content": VALUES["greedy_prompt"]}]
    text = run(render_chat(model.chat_template, messages))
    assert text == VALUES["greedy_prompt_text"]
    assert model.tokenizer.encode(text) == VALUES["greedy_prompt_ids"]


def test_loss_of_the_base(model: Model) -> None:
    result = evaluated(model, None, text_windows(VALUES["eval_max_seq_len"]))
    assert abs(result.loss - VALUES["eval_loss_base"]) <= GOLDEN_LOSS_ABS
    assert result.num_predicted == VALUES["eval_num_predicted"]
    assert result.num_tokens == len(VALUES["token_ids"])
    assert result.perplexity == pytest.approx(np.exp(VALUES["eval_loss_base"]), rel=1e-3)


def test_loss_with_the_seeded_adapter(model: Model, seeded: Adapter) -> None:
    result = evaluated(model, seeded, text_windows(VALUES["eval_max_seq_len"]))
    assert abs(result.loss - VALUES["eval_loss_adapter"]) <= GOLDEN_LOSS_ABS
    assert abs(VALUES["eval_loss_adapter"] - VALUES["eval_loss_base"]) > 9 * GOLDEN_LOSS_ABS


def test_loss_with_the_adapter_that_peft_wrote(model: Model, from_peft: Adapter) -> None:
    # Its B is zero: it must load as it is and change nothing.
    first = text_windows(VALUES["eval_max_seq_len"]).subset([0])
    result = evaluated(model, from_peft, first)
    assert abs(result.loss - VALUES["window_losses_base"][0]) <= GOLDEN_LOSS_ABS


@pytest.mark.parametrize("kind", ["base", "adapter"])
def test_logits(model: Model, seeded: Adapter, kind: str) -> None:
    tokens = np.array([VALUES["token_ids"][: VALUES["eval_max_seq_len"]]], np.int32)
    logits = logits_of(model, seeded if kind == "adapter" else None, tokens)[0]
    with np.load(golden.LOGITS_FILE) as stored:
        found = logits[stored["positions"]]
        top_ids = stored[f"{kind}_top_ids"]
        assert found.argmax(axis=-1).tolist() == top_ids[:, 0].tolist()
        top = np.take_along_axis(found, top_ids, axis=-1)
        assert_close(top, stored[f"{kind}_top_logits"], GOLDEN_LOGITS, "top logits")
        part = found[:, :: golden.LOGITS_STRIDE]
        assert_close(part, stored[f"{kind}_slice"], GOLDEN_LOGITS, "logits")


@pytest.mark.parametrize("is_checkpointing", [False, True])
def test_gradients_of_every_adapter_tensor(
    model: Model, seeded: Adapter, is_checkpointing: bool
) -> None:
    length = VALUES["short_max_seq_len"]
    tokens = np.array([VALUES["token_ids"][:length]], np.int32)
    step = Step(model, seeded, tokens, is_checkpointing=is_checkpointing)
    step.add_gradients(next_tokens(tokens), 1 / (length - 1))
    loss, found = step.loss, step.gradients
    step.destroy()
    assert abs(loss - VALUES["gradient_loss"]) <= GOLDEN_LOSS_ABS
    gradients = {path: found[path] for path in golden.module_paths(model.config)}
    assert len(gradients) == len(found) == 210
    with np.load(golden.GRADIENTS_FILE) as stored:
        rows = golden.summarize(gradients)
        for row, expected in zip(rows, stored["summary"], strict=True):
            # The projections of an error as large as the gradient's norm times ε are about ε·norm.
            error = np.abs(row - expected).max() / expected[0]
            assert error**2 <= 16 * GOLDEN_GRADIENT_NMSE
        for path, part in golden.FULL_GRADIENTS:
            key = golden.full_key(path, part)
            assert nmse(gradients[path][part], stored[key]) <= GOLDEN_GRADIENT_NMSE, key


def test_ten_steps_follow_peft(model: Model, from_peft: Adapter) -> None:
    assert_follows_peft(ten_steps(model, from_peft, 32), 32)
    result = evaluated(model, from_peft, text_windows(VALUES["eval_max_seq_len"]))
    assert abs(result.loss - VALUES["train_eval_loss_after_32"]) <= GOLDEN_TRAINED_LOSS_ABS


@pytest.mark.slow
def test_ten_steps_of_longer_windows_follow_peft(model: Model, from_peft: Adapter) -> None:
    assert_follows_peft(ten_steps(model, from_peft, 128), 128)
    result = evaluated(model, from_peft, text_windows(VALUES["eval_max_seq_len"]))
    assert abs(result.loss - VALUES["train_eval_loss_after_128"]) <= GOLDEN_TRAINED_LOSS_ABS


def test_greedy_continuation(model: Model) -> None:
    generator = Generator(model, 128)
    expected = VALUES["greedy_token_ids"]
    config = GenerationConfig(temperature=0.0, max_new_tokens=len(expected))
    try:
        result = run(generator.generate(VALUES["greedy_prompt_ids"], config))
    finally:
        generator.destroy()
    assert result.token_ids == expected
