"""The adapter learns what the base cannot know: the reason for all of this."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.config import GenerationConfig, LoraConfig, TrainConfig
from app.generate.generator import Generator
from app.gpu.device import Device
from app.io.source import FileSource
from app.models.loader import load_model
from app.nn.adapter import Adapter
from app.text.chat_template import render_chat
from app.text.windows import make_windows
from app.train.records import StepRecord
from app.train.trainer import Trainer
from tests.train.facts import FACTS, write_facts

LEARNED = FACTS[:2]
STEPS = 24
CORPUS_BYTES = 1500


@pytest.mark.gpu
@pytest.mark.golden
def test_greedy_answers_turn_right_where_the_base_was_wrong(
    device: Device, real_model: Path
) -> None:
    losses: list[float] = []
    based, taught = asyncio.run(_answers_before_and_after(device, real_model, losses))
    for fact, before, after in zip(LEARNED, based, taught, strict=True):
        assert fact.answer not in before, f"the base knew it: {before}"
        assert fact.answer in after, f"asked {fact.question} the adapter said: {after}"
    assert losses[-1] < 0.5 * losses[0]


async def _answers_before_and_after(
    device: Device, path: Path, losses: list[float]
) -> tuple[list[str], list[str]]:
    model = await load_model(device, FileSource(path), lambda done, total: None)
    adapter = Adapter.create(model.config, device, LoraConfig(), seed=0)
    generator = Generator(model, 128)

    async def answer(question: str, use_lora: bool) -> str:
        messages = [{"role": "user", "content": question}]
        prompt = await render_chat(model.chat_template, messages, tokenizer=model.tokenizer)
        config = GenerationConfig(
            max_new_tokens=16, temperature=0, stop_token_ids=model.stop_token_ids
        )
        result = await generator.generate(
            model.tokenizer.encode(prompt), config, adapter=adapter if use_lora else None
        )
        return model.tokenizer.decode(result.token_ids)

    try:
        based = [await answer(fact.question, False) for fact in LEARNED]
        windows = make_windows(model.tokenizer.encode(write_facts(LEARNED, CORPUS_BYTES)), 48)
        config = TrainConfig(
            max_seq_len=48, micro_batch_size=1, steps=STEPS, learning_rate=3e-3, eval_fraction=0
        )
        trainer = Trainer(model, adapter, windows, config)

        def keep(record: StepRecord) -> None:
            losses.append(record.loss)

        try:
            await trainer.prepare()
            await trainer.run(keep)
        finally:
            trainer.destroy()
        taught = [await answer(fact.question, True) for fact in LEARNED]
    finally:
        generator.destroy()
        adapter.destroy()
        model.destroy()
    return based, taught
