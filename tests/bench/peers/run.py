"""Measure the engine and its peers in one run; a JSON line a figure, a table at the end.

    python -m tests.bench.peers products [--rows 64] [--parts qkv down …] [--every-choice]
    python -m tests.bench.peers step     one matrix with its adapter, forward and backward
    python -m tests.bench.peers table FILE …   the table of figures that were kept

See README.md for what must be installed and what each peer is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.gpu.tuning import Choice
from app.models.random import named_shape
from app.ops.linear import backward_choices, forward_choices
from tests.bench.peers.browser import open_page
from tests.bench.peers.paper import record_chat
from tests.bench.peers.record import (
    SWIFTSHADER,
    SWIFTSHADER_LIMITS,
    record_peaks,
    record_product,
    record_projection,
)
from tests.bench.peers.table import markdown

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

MODEL = Path("dist/models/smollm2-135m-instruct-q4_1.gguf")
CONTEXT, NEW_TOKENS = 512, 16
OURS, RANK = "LoRA Lab", 4
PEERS = ("onnxruntime", "jax", "tfjs")
CHOICES = {"forward": forward_choices, "backward": backward_choices}


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status."""
    options = parse(arguments)
    if options.command == "table":
        lines = [line for path in options.files for line in path.read_text().splitlines()]
        print(markdown([json.loads(line) for line in lines if line.startswith("{")]))
        return 0
    figures = []
    for figure in COMMANDS[options.command](options):
        print(json.dumps(figure), flush=True)
        figures.append(figure)
    print(f"\n{markdown(figures)}", file=sys.stderr)
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(
        prog="tests.bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("--rounds", type=int, default=5, help="of all contenders in turn")
        command.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
        command.add_argument("--gpu", action="store_true", help="not the software adapter")
        command.add_argument("--rows", type=int, default=64, help="tokens")
        command.add_argument("--parts", nargs="*", default=list(SHAPES), choices=list(SHAPES))
        command.add_argument("--model", type=Path, default=MODEL, help="GGUF, for chat")
        command.add_argument("--every-choice", action="store_true", help="ours in all variants")
    commands.add_parser("table").add_argument("files", nargs="+", type=Path)
    return parser.parse_args(arguments)


def products(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield forward and backward products of all contenders, and the FMA peak among them."""
    with open_page({}, {}, has_gpu=options.gpu) as page:
        about = page.evaluate("peers.about()")
        yield {"bench": "about", **about}
        for part in options.parts:
            rows = min(options.rows, HEAD_ROWS) if part == "head" else options.rows
            for direction in CHOICES:
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
                "rank": RANK,
                "rounds": options.rounds,
                "peers": options.peers,
                "written": record_projection(options.rows, SHAPES[part], RANK),
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


COMMANDS = {"products": products, "step": step, "chat": chat}
