"""How an adapter came about, as far as is known: the run, and which texts it learnt from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.config import TrainConfig
from app.io.model_card import TrainingFacts
from app.runs.record import file_hash
from app.text.dataset import CorpusFile

Standing = Literal["learnt", "other", "unknown"]

SPLIT_SETTINGS = ("max_seq_len", "packing", "eval_fraction", "seed")
"""What decides which part of a text is kept aside."""

Split = dict[str, Any]


def text_hash(files: Iterable[CorpusFile]) -> str:
    """Return the SHA-256 of the files' texts, whatever the files are called."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(bytes.fromhex(file_hash(file)["sha256"]))
    return digest.hexdigest()


def split_of(config: TrainConfig) -> Split:
    """Return the settings that decide which part of a run's text is kept aside."""
    return {name: getattr(config, name) for name in SPLIT_SETTINGS}


@dataclass
class LearntTexts:
    """The texts that something was trained on, by their hashes; never the texts.

    Attributes:
        splits: Hash of a text → how it was split; None where runs on it split it differently.
        is_complete: Whether there was no other text before these.
    """

    splits: dict[str, Split | None] = field(default_factory=dict)
    is_complete: bool = True

    def add(self, text: str, split: Split) -> None:
        """Note one more run."""
        known = self.splits.get(text, split)
        self.splits[text] = split if known == split else None

    def standing(self, text: str) -> Standing:
        """Return whether a text was trained on."""
        if text in self.splits:
            return "learnt"
        return "other" if self.is_complete else "unknown"

    def split(self, text: str) -> Split | None:
        """Return how a text was split, None where that is not known of it."""
        return self.splits.get(text)


@dataclass
class Provenance:
    """What is known of how an adapter was made.

    Attributes:
        texts: That it learnt from.
        facts: Of the last run, for the model card.
        record: Of the last run, once it is over: the text of run.json.
    """

    texts: LearntTexts
    facts: TrainingFacts | None = None
    record: str = ""

    @classmethod
    def unknown(cls) -> Provenance:
        """Return what is known of an adapter that comes from a file."""
        return cls(LearntTexts(is_complete=False))


def learnt_texts(found: Mapping[str, Any]) -> LearntTexts:
    """Return what `asdict` made of texts. Raises KeyError, TypeError, AttributeError."""
    splits = {str(name): _split(split) for name, split in found["splits"].items()}
    return LearntTexts(splits, bool(found["is_complete"]))


def made_text(provenance: Provenance, *, steps: int, is_named: bool) -> str:
    """Return how a trained adapter was made, to lie beside it where the page keeps it."""
    facts = provenance.facts
    return json.dumps(
        {
            "steps": steps,
            "is_named": is_named,
            "texts": asdict(provenance.texts),
            "facts": None if facts is None else asdict(facts),
            "record": provenance.record,
        }
    )


@dataclass(frozen=True)
class Made:
    """What `made_text` wrote down."""

    provenance: Provenance
    steps: int
    is_named: bool


def read_made(text: Any) -> Made | None:
    """Return what `made_text` wrote; None where it is nothing like it: the adapter still loads."""
    try:
        found = json.loads(text)
        facts = found["facts"]
        provenance = Provenance(
            learnt_texts(found["texts"]),
            None if facts is None else _facts(facts),
            str(found["record"]),
        )
        return Made(provenance, max(0, int(found["steps"])), bool(found["is_named"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _split(found: Mapping[str, Any] | None) -> Split | None:
    if found is None:
        return None
    split = {name: found[name] for name in SPLIT_SETTINGS}
    TrainConfig(**split)
    return split


def _facts(found: Mapping[str, Any]) -> TrainingFacts:
    pair = found["perplexities"]
    return TrainingFacts(
        settings=dict(found["settings"]),
        num_tokens=int(found["num_tokens"]),
        num_eval_tokens=int(found["num_eval_tokens"]),
        steps=int(found["steps"]),
        first_loss=float(found["first_loss"]),
        final_loss=float(found["final_loss"]),
        perplexities=None if pair is None else (float(pair[0]), float(pair[1])),
        measured_on=str(found["measured_on"]),
    )
