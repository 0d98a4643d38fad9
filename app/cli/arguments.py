"""The options of the command line; their names are what other programs rely on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from app import __version__
from app.config import (
    CHECKPOINTINGS,
    CURRICULA,
    FULL_WEIGHTS,
    LOWRA_BITS,
    MODES,
    OPTIMIZERS,
    PACKINGS,
    QUANTIZATIONS,
    RANK_SCHEDULES,
    SCHEDULES,
    GenerationConfig,
    LoraConfig,
    TrainConfig,
)
from app.errors import ConfigError
from app.gpu.tuning import TUNE_MODES
from app.train.find_learning_rate import SearchConfig

SHAPES = ("all", "smollm2-135m", "smollm2-360m", "tinyllama-1.1b", "tiny")


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that every mistake is reported in one form."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="python -m app", description="Fine-tune a language model on WebGPU.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    train = commands.add_parser("train", help="train a LoRA adapter")
    train.add_argument("--out", type=Path, required=True, help="directory for the adapter")
    find = commands.add_parser(
        "find-lr",
        help="suggest a learning rate",
        description="Train a copy of the adapter for a few steps, the learning rate rising from "
        "step to step, and suggest the rate at which the loss falls steepest. The options are "
        "those of `train`; nothing is written.",
    )
    plan = commands.add_parser("plan", help="memory and time of a run before it is made")
    plan.add_argument(
        "--calibrate", action="store_true", help="make three steps first, for a better estimate"
    )
    preview = commands.add_parser("preview", help="the windows that a run would learn from")
    for parser_of_run in (train, find, plan, preview):
        _add_run(parser_of_run)
    _add_search(find)
    _add_eval(commands.add_parser("eval", help="loss and perplexity of a text"))
    _add_chat(commands.add_parser("chat", help="answer a prompt"))
    commands.add_parser("info", help="adapter, limits, features, memory, measured peaks")
    doctor = commands.add_parser(
        "doctor", help="check every operation on this device; a report to send"
    )
    doctor.add_argument(
        "--quick", action="store_true", help="one case of each operation instead of all"
    )
    bench = commands.add_parser("bench", help="measure kernels, a training step, decoding")
    what = bench.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, help="GGUF file or HuggingFace folder")
    what.add_argument(
        "--shapes",
        choices=SHAPES,
        action="append",
        default=[],
        help="random weights of a named shape; may be given several times",
    )
    _add_quantize(bench)
    bench.add_argument("--profile", action="store_true", help="time each kernel of a step alone")
    bench.add_argument("--curves", action="store_true", help="time steps over tokens, rank, layers")
    bench.add_argument(
        "--exhaustive", action="store_true", help="time every kernel variant beside the tuned one"
    )
    for name in ("train", "find-lr", "plan", "eval", "chat", "bench"):
        _add_tune(commands.choices[name])
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="JSON lines on stdout")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_model(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "--corpus",
        type=Path,
        required=True,
        nargs="+",
        help="text, Markdown, CSV or JSON lines files, UTF-8",
    )
    parser.add_argument("--adapter", type=Path, help="PEFT adapter or packed file to start from")
    parser.add_argument(
        "--config", type=Path, help="settings, as JSON or .toml; options given here win over it"
    )
    _add_settings(parser, LoraConfig, ("rank", "alpha", "adapter_bits"))
    rslora = LoraConfig.__dataclass_fields__["use_rslora"].metadata["help"]
    parser.add_argument(
        "--rslora",
        dest="use_rslora",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help=rslora,
    )
    parser.add_argument(
        "--target-modules", default=argparse.SUPPRESS, help="all (default), or names with commas"
    )
    for name, choices in (
        ("schedule", SCHEDULES),
        ("rank_schedule", RANK_SCHEDULES),
        ("optimizer", OPTIMIZERS),
        ("packing", PACKINGS),
        ("curriculum", CURRICULA),
        ("gradient_checkpointing", CHECKPOINTINGS),
        ("mode", MODES),
        ("full_weights", FULL_WEIGHTS),
    ):
        field = TrainConfig.__dataclass_fields__[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=f"{{{','.join(choices)}}}",
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {field.default})",
        )
    _add_settings(
        parser,
        TrainConfig,
        (
            "max_seq_len",
            "micro_batch_size",
            "gradient_accumulation_steps",
            "steps",
            "epochs",
            "learning_rate",
            "warmup_steps",
            "lora_plus_ratio",
            "device_memory_gb",
            "weight_decay",
            "max_grad_norm",
            "eval_fraction",
            "seed",
            "eval_every",
            "max_eval_tokens",
            "early_stop_patience",
            "sample_every",
            "checkpoint_every",
        ),
    )
    prompt = TrainConfig.__dataclass_fields__["sample_prompt"].metadata["help"]
    parser.add_argument("--sample-prompt", metavar="TEXT", default=argparse.SUPPRESS, help=prompt)
    parser.add_argument(
        "--confirm-full",
        action="store_true",
        help="begin with --mode full although the device is slower than advised; without it the "
        "time and the memory that it takes are told",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on from the last checkpoint of the run whose --out this was",
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    for name, kind, default, words in (
        ("search-steps", int, SearchConfig.steps, "steps of the search"),
        ("lowest-rate", float, SearchConfig.lowest_rate, "learning rate of its first step"),
        (
            "highest-rate",
            float,
            SearchConfig.highest_rate,
            "learning rate of its last step; it ends before where the loss comes apart",
        ),
    ):
        parser.add_argument(
            f"--{name}",
            type=_number(kind),
            metavar=name.replace("-", "_").upper(),
            default=default,
            help=f"{words} (default: {default})",
        )


def _add_model(parser: argparse.ArgumentParser, *, default: str = "none") -> None:
    """Add what every command that loads a model takes; a file may say what has no default."""
    parser.add_argument("--model", type=Path, required=True, help="GGUF file or HuggingFace folder")
    _add_quantize(parser, default=default)


def _add_quantize(parser: argparse.ArgumentParser, *, default: str = "none") -> None:
    parser.add_argument(
        "--quantize",
        choices=QUANTIZATIONS if default == "none" else None,
        metavar=f"{{{','.join(QUANTIZATIONS)}}}",
        default=default,
        help="what F32, F16 and BF16 weights of the projections become while they are loaded; "
        "embedding and head then become INT8; lowra is an experiment (default: none, all are kept)",
    )
    parser.add_argument(
        "--quantize-bits",
        type=float,
        default=LOWRA_BITS if default == "none" else default,
        help="average bits of a weight with --quantize lowra, from 1 to 4; its channels get 1, 2 "
        f"or 4 (default: {LOWRA_BITS})",
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text file")
    parser.add_argument("--adapter", type=Path, help="PEFT adapter or packed file to apply")
    _add_settings(parser, TrainConfig, ("max_seq_len",))


def _add_chat(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--prompt", required=True, help="what to answer or continue")
    parser.add_argument("--adapter", type=Path, help="PEFT adapter or packed file to apply")
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it stands")
    _add_settings(
        parser,
        GenerationConfig,
        ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "seed"),
    )


def _add_tune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tune",
        choices=TUNE_MODES,
        default="auto",
        help="choose kernel variants by measuring (auto: before training and bench, once a GPU, "
        "and what was chosen is kept; always: now; never: fixed ones)",
    )


def _add_settings(parser: argparse.ArgumentParser, config: type, names: tuple[str, ...]) -> None:
    """Add one option for each named field of a settings class.

    An option that is not given stays out of the namespace, so that a file can set it; whether a
    value is allowed is found out with all the others, not here.
    """
    known = {item.name: item for item in fields(config)}
    for name in names:
        item = known[name]
        is_float = isinstance(item.default, float) or name in ("alpha", "device_memory_gb")
        unset = {
            "steps": "by epochs",
            "max_eval_tokens": "all",
            "device_memory_gb": "what is known",
        }
        default = unset.get(name, item.default)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_number(float if is_float else int),
            metavar=name.upper(),
            default=argparse.SUPPRESS,
            help=f"{item.metadata['help']} (default: {default})".replace("%", "%%"),
        )


def _number(kind: type[int] | type[float]) -> Callable[[str], Any]:
    """Return a reader of numbers that hands on what is none, for its sentence to come later."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


def given_settings(options: argparse.Namespace, *configs: type) -> dict[str, Any]:
    """Return the options that are settings of these classes, by name, as they were given."""
    names = {item.name for config in configs for item in fields(config)}
    return {name: value for name, value in vars(options).items() if name in names}
