"""`train`: an adapter, or all weights."""

from __future__ import annotations

import argparse
import signal
from typing import Any

from app.cli.opening import open_model
from app.cli.output import Output
from app.cli.run_settings import read_settings
from app.errors import Problems, StudioError
from app.io.adapter import write_adapter_dir
from app.io.checkpoint_format import Checkpoint
from app.io.settings_file import write_settings_file
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.beside import BesideShape, beside_of
from app.plan.full import check_full_settings
from app.plan.run_input import RunInput, settings_values
from app.runs.course import Course
from app.runs.full import run_full
from app.runs.identity import RunIdentity
from app.runs.native import checkpoints_in, printing, read_resumed, result_values
from app.runs.parts import Listener, Parts
from app.runs.record import write_record
from app.runs.resumed import resumed_lora
from app.text.preview import describe_dataset, describe_repeats, repeats_of
from app.train.control import RunControl
from app.train.hardware_rank import choose_rank
from app.train.trainer import Trainer


async def train(options: argparse.Namespace) -> None:
    """Train an adapter, or with `--mode full` all weights, and write what came of it."""
    output = Output(is_json=options.json)
    resumed, problems = None, Problems()
    if options.resume:
        with problems.gathered():
            resumed = await read_resumed(options.resume, output.progress)
    asked = await read_settings(options, resumed, problems)
    lora, config, dataset = asked.lora, asked.config, asked.dataset
    windows = dataset.train
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudioError(f"cannot write to {options.out}: {error.strerror}") from error
    for line in describe_repeats(repeats_of(asked.files)):
        output.progress(line)
    if config.mode == "full":
        check_full_settings(config, has_adapter=asked.adapter is not None)
    model = await open_model(options, output, may_measure=True)
    if config.mode == "full":
        await _train_all(options, output, model, asked, resumed)
        return
    identity = await RunIdentity.of(model, dataset, lora, config)
    if resumed is not None:
        adapter = Adapter(model.config, model.device, resumed_lora(resumed, identity))
    elif asked.adapter is not None:
        adapter = Adapter(model.config, model.device, lora)
        adapter.load(asked.adapter)
    else:
        if config.rank_schedule == "hardware":
            lora = await choose_rank(model, lora, windows, config)
            output.progress(f"rank {lora.rank} is the largest that costs hardly any speed here")
        adapter = Adapter.create(model.config, model.device, lora, config.seed)
    write_settings_file(options.out, _settings(options, asked))
    beside = beside_of(model, adapter, BesideShape.of(model, config, dataset), 0).peak_bytes
    trainer = Trainer(model, adapter, windows, config, reserved_bytes=beside)
    output.progress(describe_dataset(dataset))
    output.progress(
        f"{trainer.num_steps} steps, {(trainer.plan.total_bytes + beside) / 2**20:.1f} MiB on the "
        f"GPU; of it {trainer.optimizer_state_bytes / 2**20:.1f} MiB hold the state of "
        f"{config.optimizer}"
        + (f", {beside / 2**20:.1f} MiB are for evaluations and samples" if beside else "")
    )
    await trainer.prepare()
    course = Course(
        Parts(model, adapter, dataset, config, trainer, identity),
        printing(output.result, output.progress, trainer.num_steps),
        checkpoints_in(options.out) if config.checkpoint_every else None,
    )
    if resumed is not None:
        await course.resume(resumed)
        output.progress(f"going on from step {trainer.progress.step}")
    control = RunControl()
    signal.signal(signal.SIGINT, lambda *_: control.stop())
    result = None
    try:
        result = await course.run(control)
    finally:
        # Whatever ends the run, what was learned so far is kept.
        tensors = await adapter.effective_tensors()
        write_adapter_dir(options.out, tensors, adapter.lora, model.config, model.base_name)
        write_record(options.out, course.record(asked.files, result))
    trainer.destroy()
    done: dict[str, Any] = {
        "done": True,
        **result_values(result),
        "out": str(options.out),
    }
    evaluation = None if control.stopped else await course.final_evaluation(control)
    if evaluation is not None:
        done |= {"eval_loss": evaluation.loss, "perplexity": evaluation.perplexity}
        done |= course.before()
    write_record(options.out, course.record(asked.files, result))
    output.result(done, f"done: adapter in {options.out}, loss {result.final_loss:.4f}")


def _settings(options: argparse.Namespace, asked: RunInput) -> dict[str, Any]:
    """Return what `--config` reads to make this run again."""
    values = settings_values(asked.lora, asked.config) | {"quantize": options.quantize}
    if options.quantize == "lowra":
        values["quantize_bits"] = options.quantize_bits
    return values


async def _train_all(
    options: argparse.Namespace,
    output: Output,
    model: Model,
    asked: RunInput,
    resumed: Checkpoint | None,
) -> None:
    """Train all weights; write the whole model."""

    def begin(takes: str, num_steps: int) -> Listener:
        write_settings_file(options.out, _settings(options, asked))
        output.progress(describe_dataset(asked.dataset))
        output.progress(takes)
        if resumed is not None:
            output.progress(f"going on from step {resumed.step}")
        return printing(output.result, output.progress, num_steps)

    control = RunControl()
    signal.signal(signal.SIGINT, lambda *_: control.stop())
    done = await run_full(
        model,
        asked,
        options.out,
        is_confirmed=options.confirm_full,
        on_begin=begin,
        control=control,
        resumed=resumed,
    )
    output.result(done, f"done: model in {options.out}, loss {done['loss']:.4f}")
