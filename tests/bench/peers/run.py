"""Measure the engine and its peers in one run; a JSON line a figure, a table on stderr.

    python -m tests.bench.peers products [--rows 64] [--parts qkv down …] [--every-choice]
    python -m tests.bench.peers step      one matrix with its adapter, forward and backward
    python -m tests.bench.peers decoder   two layers with adapters: loss and all gradients
    python -m tests.bench.peers chat      prefill and decoding of wllama and of the engine
    python -m tests.bench.peers native    a training step of PyTorch + PEFT and of the engine
    python -m tests.bench.peers table FILE …   the table of figures that were kept

See README.md for what must be installed and what each peer is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.table import markdown

MODEL = Path("dist/models/smollm2-135m-instruct-q4_1.gguf")
PARTS = ("qkv", "o", "gate_up", "down", "head")
PEERS = ("onnxruntime", "jax", "tfjs")
DIRECTIONS = ["forward", "backward"]
IN_BROWSER = ("products", "step", "decoder", "chat")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status."""
    options = parse(arguments)
    if options.command == "table":
        lines = [line for path in options.files for line in path.read_text().splitlines()]
        print(markdown([json.loads(line) for line in lines if line.startswith("{")]))
        return 0
    # Each side's libraries are needed by its own commands only.
    if options.command == "native":
        from tests.bench.peers.native import native as measure
    else:
        from tests.bench.peers import web

        measure = getattr(web, options.command)
    figures = []
    for figure in measure(options):
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
    for name in (*IN_BROWSER, "native"):
        command = commands.add_parser(name)
        rows = 256 if name == "native" else 64
        command.add_argument("--rows", type=int, default=rows, help="tokens")
        command.add_argument("--rounds", type=int, default=5, help="of all contenders in turn")
        command.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
        command.add_argument("--gpu", action="store_true", help="not the software adapter")
        command.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
        command.add_argument("--directions", nargs="*", default=DIRECTIONS, choices=DIRECTIONS)
        command.add_argument("--model", type=Path, default=MODEL, help="GGUF, for chat")
        command.add_argument("--every-choice", action="store_true", help="ours in all variants")
    commands.add_parser("table").add_argument("files", nargs="+", type=Path)
    return parser.parse_args(arguments)
