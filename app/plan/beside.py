"""What evaluations and samples take beside the steps of a run: bytes, and work."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import TrainConfig
from app.generate.passes import new_caches, record_passes
from app.generate.prompts import SAMPLE_TOKENS, prompt_ids
from app.gpu.graph import Storage
from app.gpu.memory import MemoryPlan, padded, plan_memory
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.work import forward_flops_per_token
from app.text.dataset import Dataset
from app.text.windows import spread_windows
from app.train.evaluate import batch_shape
from app.train.step import record_evaluation

SHARE = 0.1
"""Of the steps' time, what suggested evaluations and samples take together at most."""

SINGLE_ROW_ROWS = 6
"""A token of an answer takes as long as about so many rows of a step: 14 on lavapipe, 5 on
SwiftShader (docs/benchmarks.md); a GPU is held up by memory instead, which counts besides."""


@dataclass(frozen=True)
class BesideShape:
    """What decides what evaluations and samples take; of none it is 0.

    Attributes:
        num_windows: Read by an evaluation.
        together: How many of them at once.
        seq_len: Tokens of the longest.
        is_packed: One of them holds several documents.
        prompt_tokens: That a sample goes on from.
        context: Tokens of a sample, prompt included.
    """

    num_windows: int = 0
    together: int = 0
    seq_len: int = 0
    is_packed: bool = False
    prompt_tokens: int = 0
    context: int = 0

    @classmethod
    def of(cls, model: Model, train: TrainConfig, dataset: Dataset) -> BesideShape:
        """Return what a run's settings ask for."""
        shape = (0, 0, 0, False)
        if train.eval_every and dataset.evaluation is not None:
            read = spread_windows(dataset.evaluation, train.max_eval_tokens)
            shape = (read.num_windows, *batch_shape(read, train.micro_batch_size), read.is_packed)
        prompt = len(prompt_ids(model, train.sample_prompt, dataset)) if train.sample_every else 0
        longest = model.weights.rope_table.shape[0]
        context = min(prompt + SAMPLE_TOKENS, longest) if train.sample_every else 0
        return cls(*shape, prompt, context)


@dataclass(frozen=True)
class Beside:
    """What one evaluation and one sample of a run take, each freed before the next begins.

    Attributes:
        evaluation_bytes: Allocated for an evaluation and given back after it.
        sample_bytes: The same of a sample: cache and passes.
        largest_buffer: Of all of those, what it holds and its bytes.
        evaluation_flops: Work of an evaluation.
        sample_flops: Work of a sample, at the rate of a step.
        evaluation_dispatches: Launches of an evaluation.
        sample_dispatches: Launches of a sample.
        sample_read_bytes: Weights read by a sample, one token after the other.
    """

    evaluation_bytes: int = 0
    sample_bytes: int = 0
    largest_buffer: tuple[str, int] = ("nothing", 0)
    evaluation_flops: float = 0.0
    sample_flops: float = 0.0
    evaluation_dispatches: int = 0
    sample_dispatches: int = 0
    sample_read_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """Most bytes that are in use beside a step's."""
        return max(self.evaluation_bytes, self.sample_bytes)


def beside_of(
    model: Model, adapter: Adapter | None, shape: BesideShape, num_trained: int
) -> Beside:
    """Record an evaluation and a sample as a run would; nothing is allocated.

    Args:
        model: With the weights it has while it is trained.
        adapter: What is trained, if not the model itself.
        shape: From the run's settings.
        num_trained: Elements of the adapter.
    """
    held = {*model.weights.storages(), *(adapter.storages() if adapter is not None else ())}
    evaluation, dispatches, flops = MemoryPlan(), 0, 0.0
    if shape.num_windows:
        graph, _ = record_evaluation(
            model,
            adapter,
            num_sequences=shape.together,
            seq_len=shape.seq_len,
            is_packed=shape.is_packed,
        )
        evaluation = plan_memory([graph])
        num_batches = -(-shape.num_windows // shape.together)
        dispatches = num_batches * len(graph.nodes)
        flops = num_batches * shape.together * shape.seq_len * _flops(model, shape, num_trained)
    sample, of_sample = MemoryPlan(), SampleWork()
    if shape.context:
        passes = record_passes(model, adapter, new_caches(model.config, shape.context))
        sample = plan_memory([item.graph for item in passes])
        nodes = {item.rows: len(item.graph.nodes) for item in passes}
        of_sample = SampleWork.of(shape.prompt_tokens, nodes)
    return Beside(
        _new_bytes(evaluation, held),
        _new_bytes(sample, held),
        max(_largest(evaluation, held), _largest(sample, held), key=lambda item: item[1]),
        flops,
        of_sample.num_rows * _flops(model, shape, num_trained),
        dispatches,
        of_sample.num_dispatches,
        of_sample.num_passes * model.weights_bytes,
    )


@dataclass(frozen=True)
class SampleWork:
    """Rows of a step that a sample takes as long as, its passes over the model, its launches."""

    num_rows: int = 0
    num_passes: int = 0
    num_dispatches: int = 0

    @classmethod
    def of(cls, prompt_tokens: int, nodes: dict[int, int]) -> SampleWork:
        """Count the passes of a sample.

        Args:
            prompt_tokens: Read first, in the chunks of `app.generate.passes.Passes`.
            nodes: Launches of a pass by its rows.
        """
        largest, rows, dispatches, num_passes = max(nodes), 0, 0, 0
        while prompt_tokens > 0:
            part = min(prompt_tokens, largest)
            size = min(size for size in nodes if size >= part)
            rows, dispatches, num_passes = rows + size, dispatches + nodes[size], num_passes + 1
            prompt_tokens -= part
        # The prompt's last row gives the first token.
        single = SAMPLE_TOKENS - 1
        return cls(
            rows + SINGLE_ROW_ROWS * single, num_passes + single, dispatches + single * nodes[1]
        )


def _flops(model: Model, shape: BesideShape, num_trained: int) -> float:
    """Return the operations of a row."""
    seq_len = max(shape.seq_len, shape.context)
    return forward_flops_per_token(model.config, seq_len, num_adapter_parameters=num_trained)


def _new_bytes(plan: MemoryPlan, held: set[Storage]) -> int:
    """Return what is allocated where some storages have buffers already."""
    owned = sum(padded(storage.size_bytes) for storage in plan.owned if storage not in held)
    return sum(plan.slots) + sum(plan.uniform_bytes) + owned


def _largest(plan: MemoryPlan, held: set[Storage]) -> tuple[str, int]:
    named = [("activations", size) for size in plan.slots]
    named += [(storage.label, storage.size_bytes) for storage in plan.owned if storage not in held]
    return max(named, key=lambda item: item[1], default=("nothing", 0))


def count_evaluations(train: TrainConfig, num_steps: int, *, has_text: bool) -> int:
    """Return the evaluations of a run: before it, every so many steps, and at its end."""
    if not train.eval_every or not has_text:
        return 0
    rest = num_steps % train.eval_every
    return 1 + num_steps // train.eval_every + (1 if rest else 0)


def count_samples(train: TrainConfig, num_steps: int) -> int:
    """Return the samples of a run: before it, and every so many steps."""
    return 1 + num_steps // train.sample_every if train.sample_every else 0
