"""What a training run is asked for: settings, model and corpus, checked together.

Everything that is wrong is found before anything is uploaded, and told in one message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from app.config import (
    ADAPTER_BITS,
    PACKINGS,
    LoraConfig,
    ModelConfig,
    Packing,
    TrainConfig,
    is_number,
    is_whole,
    tidied,
    unknown_settings,
)
from app.errors import Problems, StudioError
from app.io.adapter import AdapterTensors, read_adapter_dir
from app.io.folder import open_model_path
from app.messages import say
from app.models.checkpoint import Checkpoint, open_checkpoint
from app.models.llama import MAX_POSITIONS
from app.text.corpus import decode_corpus
from app.text.dataset import (
    CorpusFile,
    Dataset,
    encode_files,
    goes_by_documents,
    make_dataset,
    read_all_records,
)
from app.text.documents import Documents


@dataclass(frozen=True)
class RunInput:
    """A run that can be made, as far as settings, files and headers tell.

    Attributes:
        lora: Of the adapter to start from, where there is one: its rank and alpha win.
        documents: The tokenized corpus that `dataset` was cut from.
        by_documents: Whether its documents are told apart.
        adapter: The adapter to start from.
    """

    checkpoint: Checkpoint
    lora: LoraConfig
    config: TrainConfig
    files: tuple[CorpusFile, ...]
    documents: Documents
    by_documents: bool
    dataset: Dataset
    adapter: AdapterTensors | None


def context_of(model: ModelConfig) -> int:
    """Return the longest window of a model, in tokens."""
    return min(model.max_position_embeddings, MAX_POSITIONS)


def merge_settings(
    lora: LoraConfig,
    train: TrainConfig,
    values: Mapping[str, Any],
    problems: Problems,
    *,
    model: ModelConfig | None = None,
    model_name: str = "the model",
) -> tuple[LoraConfig, TrainConfig]:
    """Return settings with some values on top; what is wrong with the whole is noted.

    Args:
        lora: What holds where nothing is said.
        train: Likewise.
        values: By name, of whatever type a file or a page gave them.
        problems: Where unknown names and values out of range go.
        model: Its context limits the window.
        model_name: For the message.
    """
    names = LoraConfig.names() + TrainConfig.names()
    problems.add(*unknown_settings(values, names))
    tidy = {name: tidied(name, value) for name, value in values.items()}
    lora = replace(lora, **{k: v for k, v in tidy.items() if k in LoraConfig.names()})
    train = replace(train, **{k: v for k, v in tidy.items() if k in TrainConfig.names()})
    problems.add(*lora.problems(), *_train_problems(train, model, model_name))
    return lora, train


def settings_values(lora: LoraConfig, train: TrainConfig) -> dict[str, Any]:
    """Return all settings by name, as JSON holds them; `merge_settings` reads them back."""
    values = asdict(lora) | asdict(train)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def dataset_of(
    documents: Documents, config: TrainConfig, problems: Problems, *, by_documents: bool
) -> Dataset | None:
    """Return the windows of a run, or None where the corpus has too little for one.

    A setting that is out of range has been noted already; a plain one stands in for it here, so
    that what the corpus lacks is found as well.
    """
    plain = TrainConfig()
    fraction = config.eval_fraction
    with problems.gathered():
        return make_dataset(
            documents,
            by_documents=by_documents,
            max_seq_len=config.max_seq_len if is_whole(config.max_seq_len, 2) else 256,
            packing=packing_of(config.packing),
            eval_fraction=fraction if is_number(fraction, 0, 1) else plain.eval_fraction,
            seed=config.seed if is_whole(config.seed, 0) else plain.seed,
        )
    return None


def packing_of(value: Any) -> Packing:
    """Return a packing as it was given, or none where it is no packing."""
    return next((packing for packing in PACKINGS if packing == value), "none")


async def read_run(
    values: Mapping[str, Any],
    *,
    model: Path,
    corpus: Sequence[Path],
    adapter: Path | None = None,
    problems: Problems | None = None,
    checks: Sequence[Callable[[TrainConfig, Dataset], None]] = (),
) -> RunInput:
    """Read and check all that a run is asked for; of the model only its checkpoint.

    Args:
        values: Settings by name; what is left out takes its default.
        model: GGUF file or HuggingFace folder.
        corpus: Text files, in order.
        adapter: PEFT adapter to start from.
        problems: What is known to be wrong already.
        checks: Raise what else is wrong with sound settings and their windows together.

    Raises:
        ConfigError, CorpusError, FormatError, AdapterError: all that is wrong, in one message.
    """
    problems = problems or Problems()
    checkpoint = None
    with problems.gathered():
        checkpoint = await open_checkpoint(open_model_path(model))
    lora, config = _merge(values, checkpoint, problems)
    files: list[CorpusFile] = []
    for path in corpus:
        with problems.gathered():
            files.append(_read_file(path))
    by_documents = goes_by_documents(files, packing_of(config.packing))
    documents = dataset = None
    if len(files) == len(corpus):
        with problems.gathered():
            documents = await _read_documents(checkpoint, files, by_documents=by_documents)
    if documents is not None:
        dataset = dataset_of(documents, config, problems, by_documents=by_documents)
    if dataset is not None and not config.problems():
        for check in checks:
            with problems.gathered():
                check(config, dataset)
    tensors = None
    if adapter is not None and checkpoint is not None:
        with problems.gathered():
            asked_bits = lora.adapter_bits
            tensors, lora = read_adapter_dir(adapter, checkpoint.config)
            if lora.adapter_bits == 32 and asked_bits in ADAPTER_BITS:
                lora = replace(lora, adapter_bits=asked_bits)
    problems.raise_if_any()
    assert checkpoint is not None
    assert documents is not None
    assert dataset is not None
    return RunInput(
        checkpoint, lora, config, tuple(files), documents, by_documents, dataset, tensors
    )


def _merge(
    values: Mapping[str, Any], checkpoint: Checkpoint | None, problems: Problems
) -> tuple[LoraConfig, TrainConfig]:
    plain = TrainConfig()
    if checkpoint is None:
        return merge_settings(LoraConfig(), plain, values, problems)
    # A window that nobody asked for is no longer than the model's context.
    window = min(plain.max_seq_len, context_of(checkpoint.config))
    return merge_settings(
        LoraConfig(),
        replace(plain, max_seq_len=window),
        values,
        problems,
        model=checkpoint.config,
        model_name=checkpoint.base_name,
    )


def _train_problems(train: TrainConfig, model: ModelConfig | None, model_name: str) -> list[str]:
    found = train.problems()
    if model is None or not is_whole(train.max_seq_len, 2):
        return found
    context = context_of(model)
    if train.max_seq_len <= context:
        return found
    return [
        *(problem for problem in found if not problem.startswith("max_seq_len ")),
        say(
            "{setting} is {given}: {model} has a context of {context} tokens, give a whole number "
            "from 2 to {context}",
            setting="max_seq_len",
            given=shown(train.max_seq_len),
            model=model_name,
            context=context,
        ),
    ]


def _read_file(path: Path) -> CorpusFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudioError(
            say("cannot read {path}: {strerror}", path=path, strerror=error.strerror)
        ) from error
    return CorpusFile(path.name, decode_corpus(data, path.name))


async def _read_documents(
    checkpoint: Checkpoint | None, files: Sequence[CorpusFile], *, by_documents: bool
) -> Documents | None:
    """Return a corpus as tokens; without a model its records are only checked."""
    if checkpoint is not None:
        return await encode_files(
            files,
            checkpoint.make_tokenizer(),
            chat_template=checkpoint.chat_template,
            by_documents=by_documents,
        )
    if by_documents:
        read_all_records(files)  # their mistakes are told even without a tokenizer
    return None
