"""Chat templates: both hosts write the same text, and neither lets a template run wild."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from app.errors import FormatError
from app.text.chat_template import LIMIT_SECONDS, render_chat
from app.text.tokenizer import Tokenizer
from tests.text.conftest import Page

CONVERSATIONS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": 'Hello <b>you</b> & "me" 🦜\n\n  indented'}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Why?  "},
        {"role": "assistant", "content": "Because.\n"},
        {"role": "user", "content": "{{ not a template }} {% raw %}"},
    ],
]
CHATML = (
    "{% for message in messages %}\n"
    "    {% if message['role'] == 'user' %}\n"
    "<|im_start|>user\n{{ message.content | trim }}<|im_end|>\n"
    "    {%- else %}\n"
    "{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>' }}\n"
    "    {% endif %}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% set ns = namespace(count=0) %}{% for message in messages %}"
    "{% set ns.count = ns.count + 1 %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.first %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{{ ns.count }}{% if tools is defined %}no{% endif %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}"
)
JSON = (
    "{{ messages | tojson }}|{{ messages[-1] | tojson }}|"
    "{% for i in range(2, 9, 3) %}{{ i }},{% endfor %}"
    "{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% endif %}"
    "{% generation %}{{ m.role }}{% endgeneration %};{% endfor %}"
)
NESTED_BOMB = (
    "{% for i in range(90000) %}{% for j in range(90000) %}"
    "{% if i == j + 1 %}{% endif %}{% endfor %}{% endfor %}"
)


def native(
    template: str | None,
    messages: list[dict[str, str]],
    tokenizer: Tokenizer | None = None,
    *,
    prompt: bool = True,
) -> str:
    return asyncio.run(
        render_chat(template, messages, tokenizer=tokenizer, add_generation_prompt=prompt)
    )


def context(messages: list[dict[str, str]], *, prompt: bool = True) -> dict[str, Any]:
    return {
        "messages": messages,
        "add_generation_prompt": prompt,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
    }


def test_both_hosts_write_the_same(
    page: Page, metadata: dict[str, Any], tokenizer: Tokenizer
) -> None:
    smollm2 = metadata["tokenizer.chat_template"]
    cases = [
        (template, messages, prompt)
        for template in (smollm2, CHATML, LLAMA2, LLAMA3, JSON)
        for messages in CONVERSATIONS
        for prompt in (True, False)
        if prompt or template is smollm2
    ]
    requests = [
        {"template": template, "context": context(messages, prompt=prompt), "limit": 20_000}
        for template, messages, prompt in cases
    ]
    answers = page.run("render_with_js.mjs", requests)

    async def natively() -> list[str]:
        renders = [
            render_chat(
                template,
                messages,
                tokenizer=tokenizer,
                add_generation_prompt=prompt,
                limit_seconds=20,
            )
            for template, messages, prompt in cases
        ]
        return await asyncio.gather(*renders)

    assert [answer.get("text") for answer in answers] == asyncio.run(natively())


def test_smollm2_adds_its_own_system_message(metadata: dict[str, Any]) -> None:
    template = metadata["tokenizer.chat_template"]
    assert native(template, [{"role": "user", "content": "Hi"}]) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("template", [None, ""])
def test_without_a_template_chatml_is_written(template: str | None) -> None:
    messages = CONVERSATIONS[1][:2]
    turns = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n  Why?  <|im_end|>\n"
    assert native(template, messages, prompt=False) == turns
    assert native(template, messages) == turns + "<|im_start|>assistant\n"


BAD = [
    ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    ("{% for %}", ""),
    ("{{ messages[0].content.no.such.thing.at.all() }}", ""),
    ("{% for i in range(10**9) %}x{% endfor %}", ""),
    ("{% for i in range(1000000000) %}x{% endfor %}", "ange"),
    (NESTED_BOMB, "it ran for more than 1 s"),
    ("{% for i in range(4100) %}{{ '" + "x" * 999 + "' }}{% endfor %}", "characters"),
]


@pytest.mark.parametrize(("template", "reason"), BAD)
def test_a_bad_template_is_one_sentence_in_good_time(template: str, reason: str) -> None:
    start = time.monotonic()
    with pytest.raises(FormatError, match="chat template cannot be used here: .*" + reason):
        native(template, CONVERSATIONS[0])
    # One second for the template; the rest is starting Python on a busy machine.
    assert time.monotonic() - start < LIMIT_SECONDS + 120


def test_a_bad_template_ends_in_the_browser_too_and_the_next_one_works(page: Page) -> None:
    good = {"template": "{{ messages[0].role }}", "context": context(CONVERSATIONS[0])}
    bad = [{**good, "template": template} for template, _ in BAD]
    requests = [{**request, "limit": 1000} for one in bad for request in (one, good)]
    answers = page.run("render_with_js.mjs", requests)
    for (template, reason), answer in zip(BAD, answers[0::2], strict=True):
        assert reason in answer["error"], (template, answer)
    assert [answer.get("text") for answer in answers[1::2]] == ["user"] * len(BAD)
    bomb = answers[2 * [template for template, _ in BAD].index(NESTED_BOMB)]
    assert bomb["milliseconds"] >= 990  # a timer may fire a fraction of a millisecond early


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(template: str) -> None:
    with pytest.raises(FormatError, match="unsafe"):
        native(template + "{{ 1 }}", CONVERSATIONS[0])
