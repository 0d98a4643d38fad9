"""What the model writes while it learns: the likeliest continuation of always the same words."""

from __future__ import annotations

from collections.abc import Callable

from app.config import GenerationConfig
from app.errors import ConfigError
from app.generate.generator import Generator
from app.generate.prompts import SAMPLE_TOKENS, prompt_ids, prompt_room
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.dataset import Dataset


class Sampler:
    """Continues a prompt now and then; between two samples it holds nothing on the GPU.

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
        self._token_ids = prompt_ids(model, prompt, dataset)
        self.prompt = prompt or model.tokenizer.decode(self._token_ids)
        room = prompt_room(model)
        if not 0 < len(self._token_ids) <= room:
            raise ConfigError(
                say(
                    "{setting} has {count} tokens: give from 1 to {room}",
                    setting="sample_prompt",
                    count=len(self._token_ids),
                    room=room,
                )
            )

    async def write(
        self, should_stop: Callable[[], bool], *, is_of_base: bool = False
    ) -> str | None:
        """Return the continuation, None where it was stopped.

        Args:
            should_stop: Asked before each token.
            is_of_base: Leave the adapter out.

        Raises:
            OutOfGpuMemoryError: the device has no room for the cache.
            AdapterError: the adapter's output is not a finite number.
        """
        config = GenerationConfig(
            max_new_tokens=SAMPLE_TOKENS,
            temperature=0.0,
            stop_token_ids=self._model.stop_token_ids,
        )
        generator = Generator(self._model, len(self._token_ids) + SAMPLE_TOKENS)
        try:
            result = await generator.generate(
                self._token_ids,
                config,
                adapter=None if is_of_base else self._adapter,
                should_stop=should_stop,
            )
        finally:
            generator.destroy()
        if result.stop_reason == "stopped":
            return None
        return self._model.tokenizer.decode(result.token_ids)
