"""What the model writes while it learns: the likeliest continuation of always the same words."""

from __future__ import annotations

from collections.abc import Callable

from app.config import GenerationConfig
from app.errors import ConfigError
from app.generate.generator import Generator
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.dataset import Dataset

PROMPT_TOKENS = 8
"""Of the corpus, where no other words are given."""

SAMPLE_TOKENS = 32


class Sampler:
    """Continues a prompt now and then; holds a key-value cache from the first time on.

    Args:
        model: Base, or what is trained itself.
        adapter: Applied as it is at that moment.
        prompt: Words to continue; empty: the first ones of what is kept aside, or learnt.
        dataset: Where those are.

    Raises:
        ConfigError: the model knows no token of the prompt, or too many.
    """

    def __init__(
        self, model: Model, adapter: Adapter | None, prompt: str, dataset: Dataset
    ) -> None:
        self._model = model
        self._adapter = adapter
        self._generator: Generator | None = None
        if prompt:
            self._token_ids = model.tokenizer.encode(prompt)
        else:
            windows = dataset.evaluation or dataset.train
            self._token_ids = windows.inputs(0)[:PROMPT_TOKENS].tolist()
        self.prompt = prompt or model.tokenizer.decode(self._token_ids)
        room = model.weights.rope_table.shape[0] - SAMPLE_TOKENS
        if not 0 < len(self._token_ids) <= room:
            raise ConfigError(
                say(
                    "{setting} has {count} tokens: give from 1 to {room}",
                    setting="sample_prompt",
                    count=len(self._token_ids),
                    room=room,
                )
            )

    async def write(self, should_stop: Callable[[], bool]) -> str | None:
        """Return the continuation, None where it was stopped.

        Raises:
            OutOfGpuMemoryError: the device has no room for the cache.
            AdapterError: the adapter's output is not a finite number.
        """
        config = GenerationConfig(
            max_new_tokens=SAMPLE_TOKENS,
            temperature=0.0,
            stop_token_ids=self._model.stop_token_ids,
        )
        if self._generator is None:
            self._generator = Generator(self._model, len(self._token_ids) + SAMPLE_TOKENS)
        result = await self._generator.generate(
            self._token_ids, config, adapter=self._adapter, should_stop=should_stop
        )
        if result.stop_reason == "stopped":
            return None
        return self._model.tokenizer.decode(result.token_ids)

    def destroy(self) -> None:
        """Free the cache."""
        if self._generator is not None:
            self._generator.destroy()
            self._generator = None
