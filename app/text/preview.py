"""What a person is shown of a corpus before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.text.dataset import CorpusFile, Dataset, PreviewToken, preview
from app.text.duplicates import Repeats, find_repeats
from app.text.records import table_columns
from app.text.tokenizer import Tokenizer

SHOWN_WINDOWS = 3
SHOWN_REPEATS = 5
MAX_EXAMPLE = 120
"""Characters of a repeated line that are shown."""


@dataclass(frozen=True)
class RepeatedLine:
    """Lines that say the same, word for word or nearly; `count` of them."""

    example: str
    count: int
    is_exact: bool


@dataclass(frozen=True)
class TableColumns:
    """A table's columns: the one that is learnt, or the one that is read and the one learnt."""

    name: str
    columns: list[str]


@dataclass(frozen=True)
class CorpusPreview:
    """What will be learnt from.

    Attributes:
        windows: tokens of the first windows.
        occupancy: share of the windows' room that holds tokens; the rest is padding.
        num_cut: documents longer than a window, cut into pieces.
        num_dropped: tokens in no window.
        num_repeated: lines that repeat an earlier one; `num_nearly` of them only nearly.
        repeated: the most repeated ones.
        tables: which columns of each table are learnt from.
    """

    windows: list[list[PreviewToken]]
    num_documents: int
    num_windows: int
    num_eval_windows: int
    num_tokens: int
    num_padding: int
    occupancy: float
    num_cut: int
    num_dropped: int
    num_repeated: int
    num_nearly: int
    repeated: list[RepeatedLine]
    tables: list[TableColumns]


def preview_of(
    dataset: Dataset, files: Sequence[CorpusFile], tokenizer: Tokenizer
) -> CorpusPreview:
    """Return the first windows, the counts and the repeated lines of a corpus."""
    repeats = repeats_of(files)
    evaluation = dataset.evaluation
    return CorpusPreview(
        windows=preview(dataset.train, tokenizer, SHOWN_WINDOWS),
        num_documents=dataset.num_documents,
        num_windows=dataset.train.num_windows,
        num_eval_windows=evaluation.num_windows if evaluation else 0,
        num_tokens=dataset.train.num_tokens,
        num_padding=dataset.num_padding,
        occupancy=dataset.occupancy,
        num_cut=dataset.num_cut,
        num_dropped=dataset.num_dropped,
        num_repeated=repeats.num_exact + repeats.num_near,
        num_nearly=repeats.num_near,
        repeated=[
            RepeatedLine(group.example[:MAX_EXAMPLE], len(group.lines), group.is_exact)
            for group in repeats.groups[:SHOWN_REPEATS]
        ],
        tables=[
            TableColumns(file.name, list(columns))
            for file in files
            if (columns := table_columns(file.name, file.text))
        ],
    )


def repeats_of(files: Sequence[CorpusFile]) -> Repeats:
    """Return the repeated lines of all files together."""
    return find_repeats(line for file in files for line in file.text.splitlines())


def describe_dataset(dataset: Dataset) -> str:
    """Return how many tokens are learnt from, kept aside, cut and padded, in words."""
    train, evaluation = dataset.train, dataset.evaluation
    parts = [
        f"{_counted(dataset.num_documents, 'document')}: {_counted(train.num_tokens, 'token')} "
        f"in {_counted(train.num_windows, 'window')}, {dataset.occupancy:.1%} of their room "
        f"({dataset.num_padding:,} of padding)"
    ]
    if evaluation is None:
        parts.append("nothing kept for evaluation")
    else:
        kept = _counted(evaluation.num_tokens, "token")
        parts.append(f"{kept} in {_counted(evaluation.num_windows, 'window')} kept for evaluation")
    if dataset.num_cut:
        parts.append(f"{_counted(dataset.num_cut, 'document')} longer than a window, cut up")
    if dataset.num_dropped:
        parts.append(f"{_counted(dataset.num_dropped, 'token')} in no window")
    return "; ".join(parts)


def describe_repeats(repeats: Repeats) -> list[str]:
    """Return sentences on the lines that a corpus repeats; none where it repeats none."""
    count = repeats.num_exact + repeats.num_near
    if not count:
        return []
    verb = "repeats" if count == 1 else "repeat"
    lines = [f"{_counted(count, 'line')} {verb} an earlier one, {repeats.num_near:,} only nearly:"]
    for group in repeats.groups[:SHOWN_REPEATS]:
        near = "" if group.is_exact else " nearly"
        lines.append(f"  {len(group.lines):,} times{near}: {group.example[:MAX_EXAMPLE]}")
    return lines


def describe_windows(windows: Sequence[Sequence[PreviewToken]]) -> list[str]:
    """Return the tokens of some windows, marked as the first line of what is returned says."""
    lines = ["tokens end at |, documents begin at «, what is read and not learnt is in ( )"]
    for index, tokens in enumerate(windows, start=1):
        lines.append(f"window {index}, {_counted(len(tokens), 'token')}:")
        lines.append("".join(_marked(token) for token in tokens))
    return lines


def _marked(token: PreviewToken) -> str:
    text = token.text.replace("\n", "⏎")
    return ("«" if token.is_first else "") + (text if token.is_learned else f"({text})") + "|"


def _counted(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count:,} {one}s"
