"""Chat templates: a conversation to the text that the model was taught to continue.

A template is a program that comes with a model, so it runs where it can do no harm and can
be ended: natively in a child process (jinja2's immutable sandbox, limits on time and memory),
in the browser in a worker of its own (`static/text/chat-template.js`, @huggingface/jinja). The
rules are those of transformers: trim_blocks, lstrip_blocks, raise_exception, plain tojson.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from app.errors import FormatError
from app.messages import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.text.tokenizer import Tokenizer

LIMIT_SECONDS = 1.0
MAX_TEXT = 4_000_000
"""Characters; more than any context holds. The same in static/template-worker.js."""

_START_LIMIT_SECONDS = 60.0
_CHILD_MEMORY_BYTES = 1 << 30
_MAX_LINE_BYTES = 6 * MAX_TEXT + 1024
"""A character takes at most six bytes of JSON."""


async def render_chat(
    template: str | None,
    messages: Sequence[Mapping[str, str]],
    *,
    tokenizer: Tokenizer | None = None,
    add_generation_prompt: bool = True,
    limit_seconds: float = LIMIT_SECONDS,
) -> str:
    """Return the text of one conversation: see `ChatRenderer.render`."""
    async with ChatRenderer(template, tokenizer, limit_seconds) as renderer:
        return await renderer.render(messages, add_generation_prompt=add_generation_prompt)


class ChatRenderer:
    """Renders conversations with one template, in one process or worker for all of them.

    Args:
        template: the model's own template; without one, ChatML is written.
        tokenizer: gives the template its bos_token and eos_token; empty text without one.
        limit_seconds: how long the template may run for each conversation.
    """

    def __init__(
        self,
        template: str | None,
        tokenizer: Tokenizer | None = None,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._template, self._limit_seconds = template, limit_seconds
        self._tokens = {
            "bos_token": _token(tokenizer, "bos_token_id"),
            "eos_token": _token(tokenizer, "eos_token_id"),
        }
        self._child = _Child()

    async def __aenter__(self) -> Self:
        """Return self; a process is started when the first conversation comes."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the process."""
        await self._child.end()

    async def render(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> str:
        """Return the text of a conversation, ready for the model's answer.

        Args:
            messages: each with "role" (system, user or assistant) and "content".
            add_generation_prompt: end with the opening of the assistant's answer.

        Raises:
            FormatError: the template is wrong, refuses the conversation or runs too long.
        """
        if not self._template:
            return _chatml(messages, add_generation_prompt)
        context: dict[str, Any] = {
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            **self._tokens,
        }
        if sys.platform == "emscripten":
            answer = await _render_in_worker(self._template, context, self._limit_seconds)
        else:
            answer = await self._child.render(self._template, context, self._limit_seconds)
        if "text" in answer:
            return answer["text"]
        reason = answer.get("error", "no answer").rstrip(".")
        raise FormatError(
            say(
                "the model's chat template cannot be used here: {reason}. Change the "
                "conversation, send the text without the template, or choose another model",
                reason=reason,
            )
        )


def _chatml(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages]
    return "".join(turns) + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def _token(tokenizer: Tokenizer | None, name: str) -> str:
    token_id = getattr(tokenizer, name, None)
    if tokenizer is None or token_id is None:
        return ""
    return tokenizer.token(token_id) or ""


async def _render_in_worker(template: str, context: Any, limit_seconds: float) -> dict[str, str]:
    import js

    answer = await js.loraLab.renderChat(template, json.dumps(context), 1000 * limit_seconds)
    rendered: dict[str, str] = answer.to_py()
    return rendered


class _Child:
    """A Python process that renders, a line of JSON for each conversation."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def render(self, template: str, context: Any, limit_seconds: float) -> dict[str, str]:
        """Return {text} or {error}; a process that fails is ended, the next call starts another."""
        request = json.dumps({"template": template, "context": context}).encode()
        output, trouble = b"", b""
        try:
            process = self._process or await self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(ConnectionError):  # its stderr says why it is gone
                process.stdin.write(request + b"\n")
                await process.stdin.drain()
            output = await asyncio.wait_for(process.stdout.readline(), limit_seconds)
        except TimeoutError:
            return {"error": f"it ran for more than {limit_seconds:g} s"}
        finally:
            if not output:
                trouble = await self.end()
        if not output:
            last_line = trouble.decode(errors="replace").strip().rpartition("\n")[2]
            return {"error": last_line or "its process ended"}
        answer: dict[str, str] = json.loads(output)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.text.chat_template",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert process.stdout is not None
        # The child says when it is up, so that the limit is the template's alone.
        await asyncio.wait_for(process.stdout.readline(), _START_LIMIT_SECONDS)
        return process

    async def end(self) -> bytes:
        """End the process, if there is one; return what it wrote to stderr."""
        process, self._process = self._process, None
        if process is None:
            return b""
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        _, trouble = await process.communicate()
        return trouble


def _render_here(template: str, context: Mapping[str, Any]) -> str:
    """Render in this process, which must be one that may be killed."""
    from datetime import datetime

    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks answers for training tools; the text is that inside it."""

        tags = {"generation"}  # noqa: RUF012  (declared so by jinja2)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template).render(context)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows, where the time limit has to do
        return
    resource.setrlimit(resource.RLIMIT_AS, (_CHILD_MEMORY_BYTES, _CHILD_MEMORY_BYTES))


def _serve() -> None:
    """Answer each line {template, context} of stdin with a line {text} or {error} on stdout."""
    import jinja2.ext
    import jinja2.sandbox  # noqa: F401  (so that the time limit does not count it)

    _limit_memory()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            text = _render_here(request["template"], request["context"])
            answer = {"text": text}
            if len(text) > MAX_TEXT:
                answer = {"error": f"it made more than {MAX_TEXT} characters"}
        except MemoryError:
            answer = {"error": "it needs too much memory"}
        except Exception as error:  # a template can raise anything; the parent shows it
            answer = {"error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
