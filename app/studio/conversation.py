"""Answering in the page's chat: template, fitting into the context, streaming text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.config import GenerationConfig, ModelConfig
from app.errors import ConfigError
from app.generate.generator import Generator
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.studio.protocol import ChatMessage, ChatRequest, CountChatRequest
from app.studio.settings import merge_generation
from app.text.chat_template import render_chat
from app.text.tokenizer import StreamDecoder

MAX_CONTEXT = 2048
"""Tokens of conversation that are kept in the cache, where the model can see as many."""

END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>")


@dataclass(frozen=True)
class Answer:
    """What was said, how it ended and how fast it came.

    Attributes:
        num_tokens: of the answer; `num_prompt_tokens` of all that it answers.
        max_context: tokens of both that the model sees at once.
        num_dropped: oldest messages that were left out for want of room.
    """

    text: str
    stop_reason: str
    num_tokens: int
    num_prompt_tokens: int
    max_context: int
    tokens_per_second: float
    prefill_seconds: float
    num_dropped: int


@dataclass(frozen=True)
class PromptSize:
    """How much of the context a conversation takes before it is answered.

    Attributes:
        num_prompt_tokens: of all that would be answered, without what is dropped.
        room: tokens that a prompt may have.
        max_new_tokens: tokens that the answer may have.
        max_context: tokens of both that the model sees at once.
        num_dropped: oldest messages that would be left out for want of room.
    """

    num_prompt_tokens: int
    room: int
    max_new_tokens: int
    max_context: int
    num_dropped: int


class Conversation:
    """Generates answers with one model; the page keeps the messages."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.max_context = self.context_of(model.config)
        self._generator: Generator | None = None

    @staticmethod
    def context_of(config: ModelConfig) -> int:
        """Return how many tokens of a conversation are seen at once."""
        return min(MAX_CONTEXT, config.max_position_embeddings)

    async def answer(
        self,
        request: ChatRequest,
        adapter: Adapter | None,
        strength: float,
        on_text: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> Answer:
        """Generate the next turn, with `adapter` at a strength or, if None, with the base alone.

        Raises:
            ConfigError: settings out of range, or a message longer than the model can see.
        """
        tokenizer = self._model.tokenizer
        config = replace(
            merge_generation(request["settings"]), stop_token_ids=self._stop_token_ids()
        )
        room = self._room(config)
        prompt, num_dropped = await self._fit(request["messages"], request["raw"], room)
        if len(prompt) > room:
            raise _too_long(request["messages"], len(prompt), room)
        decoder = StreamDecoder(tokenizer, skip_special=True)
        pieces: list[str] = []

        def push(text: str) -> None:
            if text:
                pieces.append(text)
                on_text(text)

        if self._generator is None:
            self._generator = Generator(self._model, self.max_context)
        result = await self._generator.generate(
            prompt,
            config,
            adapter=adapter,
            strength=strength,
            on_token=lambda token_id: push(decoder.push(token_id)),
            should_stop=should_stop,
        )
        push(decoder.flush())
        return Answer(
            text="".join(pieces).strip() if not request["raw"] else "".join(pieces),
            stop_reason=result.stop_reason,
            num_tokens=len(result.token_ids),
            num_prompt_tokens=result.num_prompt_tokens,
            max_context=self.max_context,
            tokens_per_second=result.tokens_per_second,
            prefill_seconds=result.prefill_seconds,
            num_dropped=num_dropped,
        )

    async def measure(self, request: CountChatRequest) -> PromptSize:
        """Count what `answer` would be asked with, before it is; it may be more than there is room.

        Raises:
            ConfigError: settings out of range.
        """
        config = merge_generation(request["settings"])
        room = self._room(config)
        prompt, num_dropped = await self._fit(request["messages"], request["raw"], room)
        left = max(0, self.max_context - len(prompt))
        return PromptSize(
            num_prompt_tokens=len(prompt),
            room=room,
            max_new_tokens=min(config.max_new_tokens, left),
            max_context=self.max_context,
            num_dropped=num_dropped,
        )

    def forget(self, adapter: Adapter) -> None:
        """Free what was recorded for an adapter that goes away."""
        if self._generator is not None:
            self._generator.forget(adapter)

    def destroy(self) -> None:
        """Free the key-value cache."""
        if self._generator is not None:
            self._generator.destroy()
            self._generator = None

    def _stop_token_ids(self) -> tuple[int, ...]:
        tokenizer = self._model.tokenizer
        found = [tokenizer.eos_token_id, *(tokenizer.token_id(name) for name in END_OF_TURN)]
        return tuple(sorted({token_id for token_id in found if token_id is not None}))

    def _room(self, config: GenerationConfig) -> int:
        """Return the tokens that a prompt may have: half of the context at least."""
        return self.max_context - min(config.max_new_tokens, self.max_context // 2)

    async def _fit(
        self, messages: Sequence[ChatMessage], raw: bool, room: int
    ) -> tuple[list[int], int]:
        """Return the prompt's tokens and how many of the oldest messages were left out.

        A system prompt at the beginning and the last message always stay, whatever their length.
        """
        kept = list(messages)
        system = [kept.pop(0)] if kept and kept[0]["role"] == "system" else []
        while True:
            token_ids = await self._encode([*system, *kept], raw)
            if len(token_ids) <= room or len(kept) <= 1:
                return token_ids, len(messages) - len(system) - len(kept)
            del kept[: 2 if len(kept) > 2 else 1]

    async def _encode(self, messages: Sequence[ChatMessage], raw: bool) -> list[int]:
        if raw:
            text = "".join(message["content"] for message in messages[-1:])
        else:
            model = self._model
            turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
            text = await render_chat(model.chat_template, turns, tokenizer=model.tokenizer)
        return self._model.tokenizer.encode(text)


def _too_long(messages: Sequence[ChatMessage], number: int, room: int) -> ConfigError:
    if messages[0]["role"] == "system":
        return ConfigError(
            say(
                "your message with its system prompt has {number} tokens and the model "
                "sees at most {room} of them at once: shorten it",
                number=number,
                room=room,
            )
        )
    return ConfigError(
        say(
            "your message has {number} tokens and the model sees at most {room} of "
            "them at once: shorten it",
            number=number,
            room=room,
        )
    )
