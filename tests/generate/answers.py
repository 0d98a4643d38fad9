"""What the tests of generation share: answers, expected answers, and what was computed for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.config import GenerationConfig
from app.generate.generator import GenerationResult, Generator
from app.generate.passes import Passes
from app.nn.adapter import Adapter
from tests.conftest import run
from tests.nn.engine import LORA, Float32Array, Tensors, Tiny, random_tokens

GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=8)
MAX_CONTEXT = 96


class Computed:
    """What was really computed: tokens of every pass, and the logits it gave."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int]] = []
        self.logits: list[Float32Array] = []

    def take(self) -> tuple[list[tuple[int, int]], list[Float32Array]]:
        """Return (start, count) of the passes since the last call, and their logits."""
        taken = self.chunks, self.logits
        self.chunks, self.logits = [], []
        return taken


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    made = Computed()
    plain = Passes.run

    async def watched(passes: Passes, token_ids: list[int], start: int) -> Any:
        logits = await plain(passes, token_ids, start)
        made.chunks.append((start, len(token_ids)))
        made.logits.append(logits)
        return logits

    monkeypatch.setattr(Passes, "run", watched)
    return made


@pytest.fixture
def generator(tiny: Tiny) -> Iterator[Generator]:
    generator = Generator(tiny.model, MAX_CONTEXT)
    yield generator
    generator.destroy()


@pytest.fixture
def adapter(tiny: Tiny, generator: Generator) -> Iterator[Adapter]:
    adapter = tiny.adapter()
    yield adapter
    generator.forget(adapter)
    adapter.destroy()


def prompt_of(tiny: Tiny, length: int, seed: int = 11) -> list[int]:
    return [int(token) for token in random_tokens(tiny.config, length, seed=seed)]


def answer(
    generator: Generator,
    prompt: list[int],
    config: GenerationConfig = GREEDY,
    adapter: Adapter | None = None,
    **options: Any,
) -> GenerationResult:
    return run(generator.generate(prompt, config, adapter=adapter, **options))


def reference_answer(
    tiny: Tiny, prompt: list[int], count: int, tensors: Tensors | None = None
) -> list[int]:
    """Continue greedily with a full forward in float64 for every token."""
    ids = list(prompt)
    for _ in range(count):
        logits = tiny.reference.forward(np.array([ids]), tensors, LORA)[0, -1]
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]
