"""What is measured in Chromium: products, a LoRA step of a matrix and of a decoder, answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.gpu.tuning import Choice
from app.models.random import named_shape
from app.ops.linear import backward_choices, forward_choices
from tests.bench.peers.browser import open_page
from tests.bench.peers.paper import LORA, record_chat, record_decoder
from tests.bench.peers.record import (
    SWIFTSHADER,
    SWIFTSHADER_LIMITS,
    record_peaks,
    record_product,
    record_projection,
)

Figure = dict[str, Any]

SHAPES = {
    "qkv": (960, 576),
    "o": (576, 576),
    "gate_up": (3072, 576),
    "down": (576, 1536),
    "head": (49152, 576),
}
"""(N, K) of SmolLM2-135M's stacked matrices."""

HEAD_ROWS = 16
"""The head is multiplied with so many rows at a time."""

FORMATS = {"head": ("int4", "int8")}
"""Formats measured of a part; the model's head is INT8, that of the peers INT4."""

DECODER = replace(named_shape("smollm2-135m"), num_hidden_layers=2, vocab_size=4096)
"""Two layers of SmolLM2-135M under a small vocabulary."""

CONTEXT, NEW_TOKENS = 512, 16
OURS = "LoRA Lab"
CHOICES = {"forward": forward_choices, "backward": backward_choices}


def products(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield forward and backward products of all contenders, and the FMA peak among them."""
    with open_page({}, {}, has_gpu=options.gpu) as page:
        about = page.evaluate("peers.about()")
        yield {"bench": "about", **about}
        for part in options.parts:
            rows = min(options.rows, HEAD_ROWS) if part == "head" else options.rows
            for direction in options.directions:
                spec = {
                    "direction": direction,
                    "rows": rows,
                    "shape": SHAPES[part],
                    "rounds": options.rounds,
                    "peers": options.peers,
                    "ours": ours(direction, part, rows, options.every_choice),
                    "peaks": record_peaks(),
                }
                shape = [rows, *SHAPES[part]]
                answer = page.evaluate("spec => peers.product(spec)", spec)
                yield from lines(answer, f"product_{direction}", part=part, shape=shape)


def ours(direction: str, part: str, rows: int, every_choice: bool) -> list[dict[str, Any]]:
    """Return the engine's contenders: the adapter's own choice, or all that it could take."""
    choices: list[Choice | None] = [None]
    if every_choice:
        choices = list(CHOICES[direction](SWIFTSHADER_LIMITS, frozenset(), SWIFTSHADER))
    contenders = []
    for format in FORMATS.get(part, ("int4",)):
        for choice in choices:
            written = record_product(direction, format, rows, SHAPES[part], choice)
            label = f" {choice.kernel().label}" if choice else ""
            name = f"{OURS} {format.upper()}{label}"
            contenders.append({"name": name, "format": format, "written": written})
    return contenders


def step(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield forward and backward of one matrix with its adapter."""
    with open_page({}, {}, has_gpu=options.gpu) as page:
        yield {"bench": "about", **page.evaluate("peers.about()")}
        for part in options.parts:
            if part == "head":
                continue  # it has no adapter
            spec = {
                "rows": options.rows,
                "shape": SHAPES[part],
                "rank": LORA.rank,
                "rounds": options.rounds,
                "peers": options.peers,
                "written": record_projection(options.rows, SHAPES[part], LORA.rank),
                "peaks": record_peaks(),
            }
            answer = page.evaluate("spec => peers.projection(spec)", spec)
            shape = [options.rows, *SHAPES[part]]
            yield from lines(answer, "lora_step", part=part, shape=shape)


def chat(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield prefill and decode rates of wllama with the model file, and of the engine."""
    if not options.model.is_file():
        raise SystemExit(f"error: there is no {options.model}: run `python3 build.py`, or --model")
    written, blobs = record_chat(named_shape("smollm2-135m"), CONTEXT)
    spec = {
        "promptTokens": options.rows,
        "newTokens": NEW_TOKENS,
        "rounds": options.rounds,
        "written": written,
    }
    with open_page({"/model.gguf": options.model}, blobs, has_gpu=options.gpu) as page:
        yield {"bench": "about", **page.evaluate("peers.about()")}
        answer = page.evaluate("spec => peers.chat(spec)", spec)
    for figure in answer["figures"]:
        yield {
            "bench": figure["what"],
            "name": figure["name"],
            "what": f"{figure['what']}, {figure['tokens']} tokens",
            "tokens_per_second": round(figure["median"], 3),
            "tokens_per_second_low": round(figure["low"], 3),
            "tokens_per_second_high": round(figure["high"], 3),
        }
    for failure in answer["failures"]:
        yield {"bench": "chat", **failure}


def decoder(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield loss and gradients of a decoder of two layers, adapters in every projection."""
    recorded, blobs = record_decoder(DECODER, options.rows)
    spec = {**recorded, "rounds": options.rounds, "peaks": record_peaks()}
    with open_page({}, blobs, has_gpu=options.gpu) as page:
        yield {"bench": "about", **page.evaluate("peers.about()")}
        answer = page.evaluate("spec => peers.decoder(spec)", spec)
    for figure in answer["figures"]:
        if not figure["name"].startswith("FMA"):
            yield {
                "bench": "lora_decoder",
                "name": figure["name"],
                "what": f"loss and gradients of 2 layers, {options.rows} tokens",
                "tokens_per_second": round(1e3 * options.rows / figure["ms"], 3),
                "tokens_per_second_low": round(1e3 * options.rows / figure["high"], 3),
                "tokens_per_second_high": round(1e3 * options.rows / figure["low"], 3),
                "gflops": round(figure["flops"] / figure["ms"] / 1e6, 3),
                "losses": answer["losses"],
                "gradient_difference": float(f"{answer['difference']:.1e}"),
            }


def lines(answer: dict[str, Any], bench: str, **fields: Any) -> Iterator[Figure]:
    """Yield a line for each contender, its share of the larger of the run's FMA peaks."""
    rates = {f["name"]: f["flops"] / f["ms"] / 1e6 for f in answer["figures"]}
    peak = max(
        f["flops"] / f["low"] / 1e6 for f in answer["figures"] if f["name"].startswith("FMA")
    )
    for figure in answer["figures"]:
        name, flops = figure["name"], figure["flops"]
        line = {
            "bench": "fma_peak" if name.startswith("FMA") else bench,
            **fields,
            "name": name,
            "ms": round(figure["ms"], 3),
            "ms_low": round(figure["low"], 3),
            "ms_high": round(figure["high"], 3),
            "gflops": round(rates[name], 3),
            "gflops_low": round(flops / figure["high"] / 1e6, 3),
            "gflops_high": round(flops / figure["low"] / 1e6, 3),
            "peak_gflops": round(peak, 3),
            "share": round(rates[name] / peak, 4),
        }
        if "error" in figure:
            line["relative_error"] = float(f"{figure['error']:.1e}")
        yield line
    for failure in answer["failures"]:
        yield {"bench": bench, **fields, **failure}
