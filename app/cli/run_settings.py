"""What a run was asked for: options over the settings file over a checkpoint's settings."""

from __future__ import annotations

import argparse
from reprlib import repr as shown
from typing import Any

from app.cli.arguments import given_settings
from app.config import LOWRA_BITS, QUANTIZATIONS, LoraConfig, TrainConfig, is_number
from app.errors import Problems
from app.io.checkpoint_format import Checkpoint
from app.io.settings_file import read_settings_file
from app.plan.run_input import RunInput, read_run
from app.runs.course import check_course
from app.runs.resumed import resumed_settings


def unknown_options(options: argparse.Namespace) -> str:
    """Say which options nobody knows."""
    return (
        f"unknown option {', '.join(options.unknown)}: see python -m app {options.command} --help"
    )


async def read_settings(
    options: argparse.Namespace,
    resumed: Checkpoint | None = None,
    problems: Problems | None = None,
) -> RunInput:
    """Check everything that a run was given, without touching the device."""
    problems = problems or Problems()
    if options.unknown:
        problems.add(unknown_options(options))
    given = given_settings(options, LoraConfig, TrainConfig)
    values: dict[str, Any] = {}
    if options.config is not None:
        with problems.gathered():
            values = read_settings_file(options.config)
    options.quantize = getattr(options, "quantize", values.pop("quantize", "none"))
    if options.quantize not in QUANTIZATIONS:
        allowed = ", ".join(QUANTIZATIONS)
        problems.add(f"quantize is {shown(options.quantize)}: choose from {allowed}")
    given_bits = values.pop("quantize_bits", LOWRA_BITS)
    options.quantize_bits = getattr(options, "quantize_bits", given_bits)
    if not is_number(options.quantize_bits, 1, 4):
        problems.add(f"quantize_bits is {shown(options.quantize_bits)}: give a number from 1 to 4")
    if "epochs" in given and "steps" not in given:
        values.pop("steps", None)  # who asks for epochs does not want the file's steps
    if resumed is not None:  # what is not said is what it was
        values = resumed_settings(resumed) | values
    out = getattr(options, "out", None)
    if out is not None and out.exists() and not out.is_dir():
        problems.add(f"cannot write to {options.out}: it is a file, give a directory")
    return await read_run(
        values | given,
        model=options.model,
        corpus=options.corpus,
        adapter=None if resumed is not None else options.adapter,
        problems=problems,
        checks=[check_course],
    )
