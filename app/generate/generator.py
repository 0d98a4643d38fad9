"""Answers, token by token, with a key-value cache that outlives a turn of conversation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.config import GenerationConfig
from app.errors import AdapterError, ConfigError, GpuError
from app.generate.passes import Passes, new_caches
from app.generate.sampler import Sampler
from app.gpu.memory import padded
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter

StopReason = Literal["stop", "length", "stopped"]

Applied = tuple[Adapter | None, float]
"""An adapter and its strength; the base is (None, 1.0)."""

MAX_ADAPTERS = 2
"""Adapters whose passes are kept recorded, so that two can answer side by side."""


@dataclass(frozen=True)
class GenerationResult:
    """One answer.

    Attributes:
        token_ids: New tokens, without the stop token.
        stop_reason: A stop token came, the length ran out, or the person stopped it.
        tokens_per_second: Rate of the new tokens, prompt not counted.
        prefill_seconds: Time of the prompt.
    """

    token_ids: list[int]
    stop_reason: StopReason
    tokens_per_second: float
    prefill_seconds: float
    num_prompt_tokens: int


class Generator:
    """Generates with one model, with or without an adapter.

    Base and adapter have recorded passes of their own: without an adapter nothing low-rank is
    computed at all, so the base answers to the last bit as if there had never been one. They
    share one cache, which is refilled when the adapter, its strength or its parameters change.

    Args:
        model: What answers.
        max_context: Tokens of prompt and answer together, at most.

    Raises:
        OutOfGpuMemoryError: the device cannot hold the cache; nothing stays allocated.
    """

    def __init__(self, model: Model, max_context: int) -> None:
        self._model = model
        self.max_context = min(max_context, model.weights.rope_table.shape[0])
        device = model.device
        self._caches = new_caches(model.config, self.max_context)
        self._passes: dict[Applied, Passes] = {}
        try:
            for pair in self._caches:
                for tensor in pair:
                    tensor.storage.buffer = device.create_buffer(
                        padded(tensor.size_bytes), tensor.storage.label
                    )
        except BaseException:
            self.destroy()
            raise
        self._cached: list[int] = []
        self._cached_for: tuple[Applied, tuple[int, int]] = ((None, 1.0), (0, 0))

    async def generate(
        self,
        token_ids: Sequence[int],
        config: GenerationConfig,
        *,
        adapter: Adapter | None = None,
        strength: float = 1.0,
        on_token: Callable[[int], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> GenerationResult:
        """Continue a prompt.

        Args:
            token_ids: The prompt; what it shares with the last call is not computed again.
            config: Sampling, length and stop tokens.
            adapter: Applied where given.
            strength: Factor of its scale; 1 is the adapter as it was trained, and with 0 the
                base answers as if there were none, to the last bit.
            on_token: Called with each new token as it comes.
            should_stop: Asked before each token.

        Raises:
            ConfigError: settings out of range, an empty prompt, or one that leaves no room.
            AdapterError: with the adapter the model's output is not a finite number.
        """
        config.check()
        prompt = list(token_ids)
        if not prompt:
            raise ConfigError(say("the prompt has no tokens: write something to answer"))
        if len(prompt) >= self.max_context:
            raise ConfigError(
                say(
                    "the prompt has {num_prompt} tokens but a context holds {max_context}, "
                    "answer included: start a new conversation or shorten it",
                    num_prompt=len(prompt),
                    max_context=self.max_context,
                )
            )
        if strength == 0:
            adapter = None
        applied = (adapter, strength if adapter else 1.0)
        passes = await self._passes_of(applied)
        started = time.perf_counter()
        logits = await self._prefill(passes, prompt, applied, should_stop)
        prefilled = time.perf_counter()
        sampler = Sampler(config)
        new: list[int] = []
        reason: StopReason = "stopped"
        room = min(config.max_new_tokens, self.max_context - len(prompt))
        while logits is not None and not should_stop():
            check_finite(logits, adapter)
            token = sampler.sample(logits, prompt + new)
            if token in config.stop_token_ids:
                reason = "stop"
                break
            new.append(token)
            if on_token:
                on_token(token)
            if len(new) >= room:
                reason = "length"
                break
            logits = await passes.run([token], len(self._cached))
            self._cached.append(token)
            await asyncio.sleep(0)
        seconds = time.perf_counter() - prefilled
        rate = len(new) / seconds if new and seconds > 0 else 0.0
        return GenerationResult(new, reason, rate, prefilled - started, len(prompt))

    async def _prefill(
        self,
        passes: Passes,
        prompt: list[int],
        applied: Applied,
        should_stop: Callable[[], bool],
    ) -> NDArray[np.float32] | None:
        """Bring the cache up to the prompt; return the logits of its last token."""
        adapter = applied[0]
        version = (applied, (self._model.version, adapter.version if adapter else 0))
        if version != self._cached_for:
            self._cached, self._cached_for = [], version
        shared = 0
        # The last token is always computed: its logits are what is wanted.
        for old, wanted in zip(self._cached, prompt[:-1], strict=False):
            if old != wanted:
                break
            shared += 1
        del self._cached[shared:]
        logits = None
        for start in range(shared, len(prompt), passes.chunk_rows):
            if should_stop():
                return None
            chunk = prompt[start : start + passes.chunk_rows]
            logits = await passes.run(chunk, start)
            self._cached += chunk
            await asyncio.sleep(0)
        return logits

    async def _passes_of(self, applied: Applied) -> Passes:
        """Return the passes for an adapter, recording them on first use.

        Those of the last two stay, so that two adapters can answer in turn.
        """
        passes = self._passes.pop(applied, None)
        if passes is None:
            with_adapter = [key for key in self._passes if key[0] is not None]
            if applied[0] is not None and len(with_adapter) >= MAX_ADAPTERS:
                self._passes.pop(with_adapter[0]).destroy()
            passes = await Passes.create(self._model, applied[0], self._caches, applied[1])
        self._passes[applied] = passes  # the one used last stands last
        return passes

    def forget(self, adapter: Adapter) -> None:
        """Free what was recorded for an adapter that goes away."""
        for applied in [key for key in self._passes if key[0] is adapter]:
            self._passes.pop(applied).destroy()
        if self._cached_for[0][0] is adapter:
            self._cached, self._cached_for = [], ((None, 1.0), (0, 0))

    def destroy(self) -> None:
        """Free caches and passes."""
        for passes in self._passes.values():
            passes.destroy()
        self._passes = {}
        for pair in self._caches:
            for tensor in pair:
                if tensor.storage.buffer is not None:
                    self._model.device.destroy_buffer(tensor.storage.buffer)
                    tensor.storage.buffer = None


def check_finite(logits: NDArray[np.float32], adapter: Adapter | None) -> None:
    """Refuse to choose among values that are not numbers.

    Raises:
        AdapterError: it came about with an adapter.
        GpuError: the base itself gave them.
    """
    if np.isfinite(logits).all():
        return
    if adapter is None:
        raise GpuError(
            say(
                "the model's output is not a finite number: its file or the GPU driver is at "
                "fault, load the model again"
            )
        )
    raise AdapterError(
        say(
            "with the adapter the model's output is not a finite number: its values have "
            "grown too large, so switch it off or train a new one with a lower learning "
            "rate"
        )
    )
