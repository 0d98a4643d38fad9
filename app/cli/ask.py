"""`eval` and `chat`: what a model, with or without an adapter, knows and says."""

from __future__ import annotations

import argparse
from dataclasses import replace

from app.cli.arguments import given_settings
from app.cli.opening import open_adapter, open_model
from app.cli.output import Output
from app.config import GenerationConfig, TrainConfig
from app.generate.generator import Generator
from app.plan.run_input import read_run
from app.text.chat_template import render_chat
from app.train.evaluate import evaluate

MAX_CHAT_CONTEXT = 2048


async def evaluate_text(options: argparse.Namespace) -> None:
    """Tell loss and perplexity of a text."""
    output = Output(is_json=options.json)
    values = given_settings(options, TrainConfig) | {"eval_fraction": 0.0}
    asked = await read_run(
        values, model=options.model, corpus=[options.text], adapter=options.adapter
    )
    model = await open_model(options, output)
    adapter = open_adapter(model, options.adapter) if options.adapter else None
    result = await evaluate(model, adapter, asked.dataset.train)
    assert result is not None
    output.result(
        {
            "loss": result.loss,
            "perplexity": result.perplexity,
            "num_tokens": result.num_tokens,
            "num_predicted": result.num_predicted,
        },
        f"loss {result.loss:.4f}  perplexity {result.perplexity:.2f}  ({result.num_tokens} tokens)",
    )


async def chat(options: argparse.Namespace) -> None:
    """Answer one prompt."""
    output = Output(is_json=options.json)
    config = GenerationConfig.from_dict(given_settings(options, GenerationConfig))
    model = await open_model(options, output)
    adapter = open_adapter(model, options.adapter) if options.adapter else None
    text = options.prompt
    if not options.raw:
        messages = [{"role": "user", "content": options.prompt}]
        text = await render_chat(model.chat_template, messages, tokenizer=model.tokenizer)
    config = replace(config, stop_token_ids=model.stop_token_ids)
    generator = Generator(model, MAX_CHAT_CONTEXT)
    result = await generator.generate(model.tokenizer.encode(text), config, adapter=adapter)
    answer = model.tokenizer.decode(result.token_ids)
    output.result(
        {
            "text": answer,
            "token_ids": result.token_ids,
            "tokens_per_second": result.tokens_per_second,
            "stop_reason": result.stop_reason,
            "num_prompt_tokens": result.num_prompt_tokens,
        },
        answer,
    )
