"""Commands of the native host: train, plan, preview, eval, chat, info, bench.

With `--json` stdout carries JSON lines and nothing else; progress goes to stderr. Anything a
person can mend ends with exit status 2 and one line `error: …` on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from app.arguments import build_parser, given_settings
from app.config import (
    LOWRA_BITS,
    QUANTIZATIONS,
    GenerationConfig,
    LoraConfig,
    TrainConfig,
    is_number,
)
from app.errors import ConfigError, Problems, StudioError
from app.generate.generator import Generator
from app.gpu.device import Device
from app.io.adapter import read_adapter_dir, write_adapter_dir
from app.io.checkpoint import Checkpoint
from app.io.folder import open_model_path
from app.io.settings_file import read_settings_file, write_settings_file
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.plan.bench import SHAPES, run_bench
from app.plan.bench_table import TextTable
from app.plan.bench_tuning import BenchTuning
from app.plan.full import check_full_settings
from app.plan.overview import overview
from app.plan.probe import collect_info
from app.plan.report import text_of
from app.plan.run_input import RunInput, read_run, settings_values
from app.plan.tuning_cache import FileStore
from app.plan.tuning_policy import settle_tuning
from app.runs.course import Course, Parts, check_course
from app.runs.full import run_full
from app.runs.identity import RunIdentity
from app.runs.native import checkpoints_in, printing, read_resumed
from app.runs.record import write_record
from app.runs.resumed import check_resumable, resumed_settings
from app.text.chat_template import render_chat
from app.text.preview import (
    describe_dataset,
    describe_repeats,
    describe_windows,
    preview_of,
    repeats_of,
)
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.hardware_rank import choose_rank
from app.train.records import StepRecord
from app.train.trainer import Trainer

RUNS = ("train", "plan", "preview")
"""Commands that take the settings of a run."""

MAX_CHAT_CONTEXT = 2048


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    try:
        options, unknown = build_parser().parse_known_args(arguments)
        options.unknown = [word for word in unknown if word.startswith("-")] or unknown
        if unknown and options.command not in (
            "train",
            "plan",
            "preview",
        ):  # there it is told with all else
            raise ConfigError(_unknown_options(options))
        command = {
            "train": _train,
            "plan": _plan,
            "preview": _preview,
            "eval": _eval,
            "chat": _chat,
            "info": _info,
            "bench": _bench,
        }[options.command]
        asyncio.run(command(options))
    except StudioError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    return 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Output:
    """Results on stdout, as JSON lines or for reading; progress on stderr."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json

    def result(self, values: dict[str, Any], text: str) -> None:
        """Print one result in the form that was asked for."""
        print(json.dumps(finite(values)) if self._is_json else text, flush=True)

    def progress(self, text: str) -> None:
        """Say what is going on."""
        print(text, file=sys.stderr, flush=True)


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN and infinities by null: JSON has no words for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


async def _open_device() -> Device:
    from app.gpu.native import open_native_device

    return await open_native_device()


async def _open_model(
    options: argparse.Namespace, output: _Output, *, may_measure: bool = False
) -> Model:
    """Load the model and tune its device; `--tune auto` measures where `may_measure`."""
    device = await _open_device()
    output.progress(f"{device.info.name}: loading {options.model.name}")
    model = await load_model(
        device,
        open_model_path(options.model),
        lambda done, total: None,
        options.quantize,
        options.quantize_bits,
    )
    if options.quantize != "none":
        output.progress(_quantized(model))
    settled = await settle_tuning(
        model,
        FileStore(),
        options.tune,
        may_measure=may_measure,
        on_progress=lambda name, share: output.progress(f"{share:4.0%} tuning {name}"),
    )
    if settled.source == "measured" and settled.report is not None:
        output.progress(f"tuned in {settled.report.seconds:.1f} s; kept for the next run")
    return model


def _quantized(model: Model) -> str:
    """Say what quantizing on load came to."""
    if model.quantization == "none":
        return "the file's weights are quantized already: they are loaded as they are"
    size = f"{model.weights_bytes / 2**20:.1f} MiB on the GPU"
    if model.bits is not None:
        total = sum(model.bits.values())
        shares = ", ".join(f"{n / total:.1%} in {bits}" for bits, n in model.bits.items())
        average = sum(bits * n for bits, n in model.bits.items()) / total
        size = (
            f"{average:.2f} bits a weight ({shares}) and half a bit of scales; this experiment "
            f"keeps them in INT4's layout, {size}"
        )
    return f"quantized to {model.quantization} while loading: {size}"


def _open_adapter(model: Model, path: Path) -> Adapter:
    tensors, lora = read_adapter_dir(path, model.config)
    adapter = Adapter(model.config, model.device, lora)
    adapter.load(tensors)
    return adapter


def _unknown_options(options: argparse.Namespace) -> str:
    return (
        f"unknown option {', '.join(options.unknown)}: see python -m app {options.command} --help"
    )


async def _read_run(
    options: argparse.Namespace,
    resumed: Checkpoint | None = None,
    problems: Problems | None = None,
) -> RunInput:
    """Check everything that a run was given, without touching the device."""
    problems = problems or Problems()
    if options.unknown:
        problems.add(_unknown_options(options))
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


async def _train(options: argparse.Namespace) -> None:
    output = _Output(is_json=options.json)
    resumed, problems = None, Problems()
    if options.resume:
        with problems.gathered():
            resumed = await read_resumed(options.resume, output.progress)
    asked = await _read_run(options, resumed, problems)
    lora, config, dataset = asked.lora, asked.config, asked.dataset
    windows = dataset.train
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudioError(f"cannot write to {options.out}: {error.strerror}") from error
    for line in describe_repeats(repeats_of(asked.files)):
        output.progress(line)
    if config.mode == "full":
        check_full_settings(config, has_adapter=asked.adapter is not None or resumed is not None)
    model = await _open_model(options, output, may_measure=True)
    if config.mode == "full":
        await _train_all(options, output, model, asked)
        return
    identity = await RunIdentity.of(model, dataset, lora, config)
    if resumed is not None:
        adapter = Adapter(model.config, model.device, check_resumable(resumed, identity))
    elif asked.adapter is not None:
        adapter = Adapter(model.config, model.device, lora)
        adapter.load(asked.adapter)
    else:
        if config.rank_schedule == "hardware":
            lora = await choose_rank(model, lora, windows, config)
            output.progress(f"rank {lora.rank} is the largest that costs hardly any speed here")
        adapter = Adapter.create(model.config, model.device, lora, config.seed)
    values = settings_values(asked.lora, config) | {"quantize": options.quantize}
    if options.quantize == "lowra":
        values["quantize_bits"] = options.quantize_bits
    write_settings_file(options.out, values)
    trainer = Trainer(model, adapter, windows, config)
    output.progress(describe_dataset(dataset))
    output.progress(
        f"{trainer.num_steps} steps, {trainer.plan.total_bytes / 2**20:.1f} MiB on the GPU; of it "
        f"{trainer.optimizer_state_bytes / 2**20:.1f} MiB hold the state of {config.optimizer}"
    )
    await trainer.prepare()
    course = Course(
        Parts(model, adapter, dataset, config, trainer, identity),
        printing(output.result, output.progress, trainer.num_steps),
        checkpoints_in(options.out) if config.checkpoint_every else None,
    )
    if resumed is not None:
        course.resume(resumed)
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
        "steps": result.steps,
        "loss": result.final_loss,
        "num_tokens": result.num_tokens,
        "seconds": result.seconds,
        "tokens_per_second": result.num_tokens / max(result.seconds, 1e-9),
        "skipped_steps": result.num_skipped,
        "stopped": result.stopped,
        "stopped_early": result.stopped_early,
        "out": str(options.out),
    }
    evaluation = None if control.stopped else await course.final_evaluation(control)
    if evaluation is not None:
        done |= {"eval_loss": evaluation.loss, "perplexity": evaluation.perplexity}
        done |= course.before()
    write_record(options.out, course.record(asked.files, result))
    output.result(done, f"done: adapter in {options.out}, loss {result.final_loss:.4f}")


async def _train_all(
    options: argparse.Namespace, output: _Output, model: Model, asked: RunInput
) -> None:
    """Train all weights; write the whole model."""

    def begin(takes: str, num_steps: int) -> Callable[[StepRecord], None]:
        write_settings_file(options.out, settings_values(asked.lora, asked.config))
        output.progress(describe_dataset(asked.dataset))
        output.progress(takes)
        return printing(output.result, output.progress, num_steps).on_step

    control = RunControl()
    signal.signal(signal.SIGINT, lambda *_: control.stop())
    done = await run_full(
        model,
        asked.dataset,
        asked.config,
        options.out,
        is_confirmed=options.confirm_full,
        on_begin=begin,
        control=control,
    )
    output.result(done, f"done: model in {options.out}, loss {done['loss']:.4f}")


async def _plan(options: argparse.Namespace) -> None:
    output = _Output(is_json=options.json)
    asked = await _read_run(options)
    # As for training: what is chosen by measuring decides how much memory a run takes.
    model = await _open_model(options, output, may_measure=True)
    for report in await overview(model, asked, is_calibrated=options.calibrate):
        output.result(report, text_of(report))


async def _preview(options: argparse.Namespace) -> None:
    asked = await _read_run(options)
    found = preview_of(asked.dataset, asked.files, asked.checkpoint.make_tokenizer())
    text = [
        describe_dataset(asked.dataset),
        *describe_repeats(repeats_of(asked.files)),
        *describe_windows(found.windows),
    ]
    _Output(is_json=options.json).result(asdict(found), "\n".join(text))


async def _eval(options: argparse.Namespace) -> None:
    output = _Output(is_json=options.json)
    values = given_settings(options, TrainConfig) | {"eval_fraction": 0.0}
    asked = await read_run(
        values, model=options.model, corpus=[options.text], adapter=options.adapter
    )
    model = await _open_model(options, output)
    adapter = _open_adapter(model, options.adapter) if options.adapter else None
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


async def _chat(options: argparse.Namespace) -> None:
    output = _Output(is_json=options.json)
    config = GenerationConfig.from_dict(given_settings(options, GenerationConfig))
    model = await _open_model(options, output)
    adapter = _open_adapter(model, options.adapter) if options.adapter else None
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


async def _info(options: argparse.Namespace) -> None:
    output = _Output(is_json=options.json)
    info = await collect_info(await _open_device())
    output.result(info, json.dumps(info, indent=2))


async def _bench(options: argparse.Namespace) -> None:
    output, table = _Output(is_json=options.json), TextTable()
    device = await _open_device()
    shapes = SHAPES if "all" in options.shapes else tuple(dict.fromkeys(options.shapes))

    def stage(text: str, fraction: float) -> None:
        if options.json:  # else the rows of the table tell it
            output.progress(f"{fraction:4.0%} {text}")

    await run_bench(
        device,
        lambda figure: output.result(figure, "\n".join(table.lines(figure))),
        source=open_model_path(options.model) if options.model else None,
        shapes=shapes,
        profile=options.profile,
        curves=options.curves,
        prepare=BenchTuning(FileStore(), options.tune, is_exhaustive=options.exhaustive),
        on_stage=stage,
    )
