"""`plan` and `preview`: what a run would take, and what it would read."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from app.cli.opening import open_model
from app.cli.output import Output
from app.cli.run_settings import read_settings
from app.plan.overview import overview
from app.plan.report import text_of
from app.text.preview import (
    describe_dataset,
    describe_repeats,
    describe_windows,
    preview_of,
    repeats_of,
)


async def plan(options: argparse.Namespace) -> None:
    """Tell memory and time of both ways to train, before either is begun."""
    output = Output(is_json=options.json)
    asked = await read_settings(options)
    # As for training: what is chosen by measuring decides how much memory a run takes.
    model = await open_model(options, output, may_measure=True)
    for report in await overview(model, asked, is_calibrated=options.calibrate):
        output.result(report, text_of(report))


async def preview(options: argparse.Namespace) -> None:
    """Show the first windows that a run would learn from."""
    asked = await read_settings(options)
    found = preview_of(asked.dataset, asked.files, asked.checkpoint.make_tokenizer())
    text = [
        describe_dataset(asked.dataset),
        *describe_repeats(repeats_of(asked.files)),
        *describe_windows(found.windows),
    ]
    Output(is_json=options.json).result(asdict(found), "\n".join(text))
