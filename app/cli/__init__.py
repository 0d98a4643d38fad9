"""Commands of the native host: train, find-lr, plan, preview, eval, chat, info, doctor, bench.

With `--json` stdout carries JSON lines and nothing else; progress goes to stderr. Anything a
person can mend ends with exit status 2 and one line `error: …` on stderr.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from app.cli.arguments import build_parser
from app.cli.ask import chat, evaluate_text
from app.cli.doctor import doctor
from app.cli.find_rate import find_rate
from app.cli.measure import bench, info
from app.cli.plan import plan, preview
from app.cli.run_settings import unknown_options
from app.cli.train import train
from app.errors import ConfigError, StudioError

COMMANDS = {
    "train": train,
    "find-lr": find_rate,
    "plan": plan,
    "preview": preview,
    "eval": evaluate_text,
    "chat": chat,
    "info": info,
    "doctor": doctor,
    "bench": bench,
}

RUNS = ("train", "find-lr", "plan", "preview")
"""Commands that take the settings of a run: they tell of unknown options with all else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    try:
        options, unknown = build_parser().parse_known_args(arguments)
        options.unknown = [word for word in unknown if word.startswith("-")] or unknown
        if unknown and options.command not in RUNS:
            raise ConfigError(unknown_options(options))
        asyncio.run(COMMANDS[options.command](options))
    except StudioError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    return 0
