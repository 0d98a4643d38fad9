"""One training run of the comparison, with its held-out loss as it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.config import LoraConfig, TrainConfig
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.dataset import CorpusFile, Dataset, encode_files, make_dataset
from app.text.windows import Windows
from app.train.evaluate import evaluate
from app.train.full.trainer import FullTrainer
from app.train.hardware_rank import choose_rank
from app.train.records import StepRecord
from app.train.trainer import Trainer
from tests.bench.training.methods import BASE_TRAIN, METHODS, Method

Figure = dict[str, Any]


class HeldOutLoss:
    """Milestones of a run: looks at the loss of text that is not trained on, every so many steps.

    Attributes:
        losses: (steps made, loss) of each look.
    """

    def __init__(self, model: Model, adapter: Adapter | None, windows: Windows, every: int) -> None:
        self._model, self._adapter, self._windows, self._every = model, adapter, windows, every
        self.losses: list[tuple[int, float]] = []

    def is_due(self, step: int) -> bool:
        """Whether to look after this step."""
        return step % self._every == 0

    async def visit(self, step: int) -> bool:
        """Look; the run always goes on."""
        result = await evaluate(self._model, self._adapter, self._windows)
        assert result is not None
        self.losses.append((step, result.loss))
        return True


async def make_windows(model: Model, file: CorpusFile, packing: str) -> Dataset:
    """Return a corpus as windows, without an evaluation part."""
    documents = await encode_files([file], model.tokenizer, by_documents=True)
    return make_dataset(
        documents,
        by_documents=True,
        max_seq_len=BASE_TRAIN["max_seq_len"],
        packing=packing,  # type: ignore[arg-type]
    )


async def measure(
    model: Model,
    files: tuple[CorpusFile, CorpusFile],
    name: str,
    seed: int,
    steps: int,
    every: int,
) -> Figure:
    """Train once and return what the table and the curves need.

    Args:
        model: Base; its weights become the trained ones where the method trains all.
        files: Trained on, kept aside.
        name: Of the method.
        seed: Of adapter, order, curriculum and rounding.
        steps: Updates.
        every: Updates between two looks at the held-out loss.
    """
    method = METHODS[name]
    config = TrainConfig.from_dict({**BASE_TRAIN, **method.train, "steps": steps, "seed": seed})
    dataset = await make_windows(model, files[0], config.packing)
    held_out = (await make_windows(model, files[1], "best-fit")).train
    adapter = None if method.is_full else await make_adapter(model, method, dataset, config)
    trainer: Trainer | FullTrainer
    if adapter is None:
        trainer = FullTrainer(model, dataset.train, config)
    else:
        trainer = Trainer(model, adapter, dataset.train, config)
    held_out_loss = HeldOutLoss(model, adapter, held_out, every)
    records: list[StepRecord] = []
    try:
        await trainer.prepare()
        await held_out_loss.visit(0)
        result = await trainer.run(records.append, milestones=held_out_loss)
        return {
            "method": name,
            "group": method.group,
            "seed": seed,
            "rank": adapter.lora.rank if adapter else None,
            "steps": result.steps,
            "positions": result.steps * trainer.windows_per_step * config.max_seq_len,
            "num_tokens": result.num_tokens,
            "occupancy": dataset.occupancy,
            "eval": [[step, round(loss, 6)] for step, loss in held_out_loss.losses],
            "train": [round(record.loss, 6) for record in records],
            "seconds": round(result.seconds, 2),
            "parts_bytes": dict(trainer.plan.parts()),
            "skipped_steps": result.num_skipped,
        }
    finally:
        trainer.destroy()
        if adapter:
            adapter.destroy()


async def make_adapter(
    model: Model, method: Method, dataset: Dataset, config: TrainConfig
) -> Adapter:
    """Return a method's adapter as it is before training."""
    lora = LoraConfig.from_dict(dict(method.lora))
    if config.rank_schedule == "hardware":
        lora = await choose_rank(model, lora, dataset.train, config)
    return Adapter.create(model.config, model.device, lora, config.seed)


def wanted(methods: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield what to run: every method with one seed before any with the next."""
    for seed in seeds:
        for name in methods:
            yield name, seed
