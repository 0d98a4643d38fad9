"""Answers whose products are rounded to eight bits: only there, and only a little different."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.generate.generator import Generator
from app.generate.passes import record_pass, tuning_of
from app.gpu.tuning import SOFTWARE, choose
from app.nn.adapter import Adapter
from app.train.step import record_evaluation, record_training
from tests.conftest import run
from tests.generate.answers import GREEDY, MAX_CONTEXT, Computed, prompt_of
from tests.nn.engine import Tiny, load_tiny
from tests.tolerances import nmse

pytestmark = pytest.mark.gpu

ROUNDED_LOGITS_NMSE = 1e-3
"""Of the tiny random model, whose logits say nothing for certain: 3e-4 measured. On SmolLM2-135M
docs/decisions/0008 has the divergence from the unrounded answers."""


ROUNDING = replace(
    SOFTWARE,
    prefill=choose("linear_dot8", "operand_direct", LANES=8),
    decode=choose("linear_dot8_vector", LANES=8, SLICES=8),
)


def shaders(tiny: Tiny, generator: Generator, rows: int) -> set[str]:
    """Return what a pass of so many rows launches."""
    graph = record_pass(tiny.model, None, generator._caches, rows).graph
    return {node.kernel.name for node in graph.nodes}


def test_answers_differ_a_little(
    tiny: Tiny, generator: Generator, computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = prompt_of(tiny, 70)  # chunks of many rows, and single ones
    config = replace(GREEDY, max_new_tokens=1)
    run(generator.generate(prompt, config))
    exact = computed.take()[1]
    monkeypatch.setattr(tiny.device, "tuning", ROUNDING)
    rounding = Generator(tiny.model, MAX_CONTEXT)
    run(rounding.generate(prompt, config))
    rounded = computed.take()[1]
    rounding.destroy()
    assert len(rounded) == len(exact) > 1
    for found, wanted in zip(rounded, exact, strict=True):
        assert 0 < nmse(found, wanted) <= ROUNDED_LOGITS_NMSE


def test_only_answers_are_rounded(
    tiny: Tiny, generator: Generator, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "linear_dot8" not in shaders(tiny, generator, 32)  # unless a tuning says so
    monkeypatch.setattr(tiny.device, "tuning", ROUNDING)
    assert {"linear_dot8", "linear_dot8_vector"} <= shaders(tiny, generator, 32)
    assert "linear_dot8_vector" in shaders(tiny, generator, 1)
    trained = record_training(tiny.model, adapter, micro_batch_size=1, seq_len=16, budget_bytes=0)
    evaluated, _ = record_evaluation(tiny.model, adapter, num_sequences=1, seq_len=16)
    for graph in (trained.micro_batch, evaluated):
        assert not [node for node in graph.nodes if "dot8" in node.kernel.name]


def test_a_model_with_other_formats_is_not_rounded(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = load_tiny(tiny.device, types={"projection": "F16"}, layers=1)
    monkeypatch.setattr(tiny.device, "tuning", ROUNDING)
    assert tuning_of(dense.model) == ROUNDING
    assert tuning_of(tiny.model) == ROUNDING.for_chat() != ROUNDING
    dense.model.destroy()
