"""What can be tuned: operation classes, their candidates, how to check and how to time each.

A class sets some fields of `Tuning`. Its candidates come from the operations themselves, pruned
by the device's limits and features; `app.plan.tuning_work` records what is timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.checks.bench import Case
from app.checks.layers import attention_case, rms_norm_case
from app.checks.low_rank import (
    rms_norm_hidden_case,
    rope_backward_hidden_case,
    swiglu_hidden_case,
)
from app.checks.products import linear_backward_case, linear_case, lora_case
from app.gpu.adapter import Limits
from app.gpu.tuning import Choice, Tuning
from app.models.loader import Model
from app.nn.weights import heads_of
from app.ops.attention import (
    Heads,
    attention_choices,
    attention_key_choices,
    attention_query_choices,
)
from app.ops.linear import backward_choices, forward_choices, vector_choices
from app.ops.matrix import FORMAT_OF_TYPE, Format
from app.plan.tuning_work import Work, Workload

Value = Choice | int | float
Values = Mapping[str, Value]
"""Fields of `Tuning` and what they become."""

RAGGED_ROWS = 77
"""More than the largest tile and a multiple of nothing."""

HEAD_LOGITS_BYTES = 64 << 20
"""Logits of a chunk may take this much: they are part of every run's memory."""


@dataclass(frozen=True)
class Candidate:
    """Values for the fields of a class."""

    values: tuple[tuple[str, Value], ...]

    @property
    def label(self) -> str:
        """Name in reports and in the cache."""
        return ", ".join(
            value.label if isinstance(value, Choice) else f"{name}={value:g}"
            for name, value in self.values
        )

    @property
    def family(self) -> tuple[str, ...]:
        """What differs in kind, not in size: shaders with their preludes."""
        choices = [value for _, value in self.values if isinstance(value, Choice)]
        return tuple(name for choice in choices for name in (choice.shader, *choice.preludes))

    def apply(self, tuning: Tuning) -> Tuning:
        """Return a tuning with these values."""
        changes: dict[str, Any] = dict(self.values)
        return replace(tuning, **changes)


@dataclass(frozen=True)
class Check:
    """A case that every candidate must pass before it is timed."""

    case: Case
    shape: Mapping[str, Any]


NORM_CHECKS = (
    Check(rms_norm_case, {"rows": 5, "columns": 324}),
    Check(rms_norm_hidden_case, {"rows": 7, "columns": 68, "outs": (24, 8, 8), "rank": 8}),
    Check(swiglu_hidden_case, {"rows": 7, "columns": 104, "rank": 8}),
    Check(
        rope_backward_hidden_case,
        {"rows": 7, "outs": (128, 64, 64), "head_dim": 64, "rotated": 192, "rank": 8},
    ),
)
"""Norms, and the kernels that share their workgroups' shape."""


@dataclass(frozen=True, eq=False)
class Operation:
    """An operation class.

    Attributes:
        name: As reported.
        candidates: The prior first, then one of each family in turns, so that all families are
            seen where time runs short.
        checks: Against the numpy twin, at ragged shapes.
        share: Of the time for tuning.
        record: Returns the work with a tuning; the second argument is a scale, at most 1, by
            which it is made smaller where it would take too long.
    """

    name: str
    candidates: tuple[Candidate, ...]
    checks: tuple[Check, ...]
    share: float
    record: Callable[[Tuning, float], Workload]

    def candidate(self, label: str) -> Candidate:
        """Return the candidate of this label.

        Raises:
            ValueError: there is none.
        """
        for candidate in self.candidates:
            if candidate.label == label:
                return candidate
        raise ValueError(f"{self.name} has no candidate {label}")


def operations_of(work: Work, prior: Tuning) -> list[Operation]:
    """Return the operation classes of a model on its device, those that weigh most first.

    Args:
        work: Of the model whose shapes and formats are tuned for.
        prior: The tuning to start from; its values are a candidate of every class.
    """
    device, heads = work.model.device, heads_of(work.model.config)
    offered = (device.limits, device.features, device.info)
    attends = (Check(attention_case, _ragged_heads(heads)),)
    lora = {"rows": RAGGED_ROWS, "columns": 96, "outs": (72, 24, 8), "rank": 5}
    found = [
        _choices(
            "forward", forward_choices(*offered), _products(work.model, linear_case, RAGGED_ROWS)
        ),
        _choices(
            "backward",
            backward_choices(*offered),
            _products(work.model, linear_backward_case, RAGGED_ROWS),
        ),
        _choices("vector", vector_choices(*offered), _products(work.model, linear_case, 1)),
        _choices("attention", attention_choices(*offered, heads), attends),
        _choices("attention_query", attention_query_choices(*offered, heads), attends),
        _choices("attention_key", attention_key_choices(*offered, heads), attends),
        ("hidden", _hidden_values(device.limits), (Check(lora_case, lora),)),
        ("gradient", _gradient_values(device.limits), (Check(lora_case, lora),)),
        ("norm", _norm_values(device.limits), NORM_CHECKS),
        ("head", _head_values(work.model, prior), ()),
    ]
    operations = []
    for name, values, checks in found:
        candidates = _ordered(values, prior)
        record = {"vector": work.vector, "head": work.head}.get(name, _step(work, candidates))
        operations.append(Operation(name, candidates, checks, SHARES[name], record))
    return operations


SHARES = {
    "forward": 0.3,
    "backward": 0.3,
    "vector": 0.1,
    "attention": 0.06,
    "attention_query": 0.06,
    "attention_key": 0.06,
    "hidden": 0.03,
    "gradient": 0.03,
    "norm": 0.02,
    "head": 0.04,
}
"""Of the time for tuning, by what there is to win."""

Found = tuple[str, Sequence[Values], tuple[Check, ...]]


def _choices(name: str, choices: Iterable[Choice], checks: tuple[Check, ...]) -> Found:
    """Return a class that sets the field of its own name."""
    return name, [{name: choice} for choice in choices], checks


def _ordered(values: Sequence[Values], prior: Tuning) -> tuple[Candidate, ...]:
    """Return the prior's candidate, then one of each family in turns."""
    first = Candidate(tuple((name, getattr(prior, name)) for name in values[0]))
    families: dict[tuple[str, ...], list[Candidate]] = {}
    for value in values:
        candidate = Candidate(tuple(value.items()))
        if candidate != first:
            families.setdefault(candidate.family, []).append(candidate)
    turns = itertools.zip_longest(*families.values())
    return (first, *(candidate for turn in turns for candidate in turn if candidate is not None))


def _step(work: Work, candidates: Sequence[Candidate]) -> Callable[[Tuning, float], Workload]:
    """Return what records the part of a training step that the candidates compute otherwise."""

    def record(tuning: Tuning, scale: float) -> Workload:
        others = (candidate.apply(tuning) for candidate in candidates)
        other = next((other for other in others if other != tuning), tuning)
        return work.step(tuning, other, scale)

    return record


def _hidden_values(limits: Limits) -> list[Values]:
    return [
        {"hidden_slices": slices}
        for slices in (8, 1, 4, 16, 32, 64)
        if slices <= limits.max_invocations and 64 * slices <= limits.max_workgroup_storage_bytes
    ]


def _gradient_values(limits: Limits) -> list[Values]:
    shapes = ((8, 1), (8, 4), (8, 8), (8, 16), (16, 1), (16, 4), (16, 8), (32, 1), (32, 4), (64, 1))
    return [
        {"gradient_lanes": lanes, "gradient_slices": slices}
        for lanes, slices in shapes
        if lanes * slices <= limits.max_invocations
        and 128 * lanes * slices <= limits.max_workgroup_storage_bytes
    ]


def _norm_values(limits: Limits) -> list[Values]:
    return [{"norm_lanes": n} for n in (8, 32, 64, 128, 256) if n <= limits.max_invocations]


def _head_values(model: Model, prior: Tuning) -> list[Values]:
    """Return the prior's chunk of logits, half of it, and more where there is room."""
    config, limits = model.config, model.device.limits
    room = min(HEAD_LOGITS_BYTES, limits.max_binding_bytes, limits.max_buffer_bytes)
    values: dict[int, Values] = {}
    for factor in (1.0, 0.5, 2.0, 4.0):
        flops = factor * prior.head_flops
        rows = replace(prior, head_flops=flops).head_rows(config.hidden_size, config.vocab_size)
        if factor == 1.0 or 4 * rows * config.vocab_size <= room:
            values.setdefault(rows, {"head_flops": flops})
    return list(values.values())


def _products(model: Model, case: Case, rows: int) -> tuple[Check, ...]:
    """Return a check for each format that the model's matrices have."""
    matrices = (*model.weights.layers[0].projections.values(), model.weights.head)
    formats: dict[Format, None] = dict.fromkeys(matrix.format for matrix in matrices)
    type_of = {format: gguf_type for gguf_type, format in FORMAT_OF_TYPE.items()} | {"nf4": "NF4"}
    shape = {"rows": rows, "columns": 160, "outs": (104, 40, 24), "rank": 3}
    return tuple(Check(case, {**shape, "gguf_type": type_of[format]}) for format in formats)


def _ragged_heads(heads: Heads) -> dict[str, Any]:
    shared = min(heads.num_heads // heads.num_key_value_heads, 3)
    ragged = Heads(2 * shared, 2, heads.head_dim)
    return {"num_sequences": 2, "length": RAGGED_ROWS, "heads": ragged}
