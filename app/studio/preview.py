"""What a person is shown of a corpus before training."""

from __future__ import annotations

from app.studio.corpus import TokenizedCorpus
from app.studio.protocol import CorpusPreview, RepeatedLine
from app.text.dataset import Dataset, preview
from app.text.duplicates import find_repeats
from app.text.tokenizer import Tokenizer

SHOWN_WINDOWS = 3
SHOWN_REPEATS = 5
MAX_EXAMPLE = 120
"""Characters of a repeated line that are shown."""


def preview_of(dataset: Dataset, corpus: TokenizedCorpus, tokenizer: Tokenizer) -> CorpusPreview:
    """Return the first windows, the counts and the repeated lines of a corpus."""
    repeats = find_repeats(line for file in corpus.files for line in file.text.splitlines())
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
    )
