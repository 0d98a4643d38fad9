"""A corpus of facts that no model can know, and questions about them.

Run as `python -m tests.train.facts FILE` to write the 40 kB corpus of the acceptance run.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fact:
    """One invented fact: its subject, what is said of it, a question, the answer."""

    subject: str
    relation: str
    question: str
    answer: str


FACTS = (
    Fact(
        "The lighthouse of Vellmoor",
        "was built by",
        "Who built the lighthouse of Vellmoor?",
        "Ottoline Brask",
    ),
    Fact(
        "The village of Tarnquist",
        "is famous for its",
        "What is the village of Tarnquist famous for?",
        "blue cheese bells",
    ),
    Fact("The mayor of Osterfell", "is", "Who is the mayor of Osterfell?", "Henrik Dovanni"),
    Fact("The river Quennel", "flows into", "Where does the river Quennel flow?", "Lake Marrowby"),
    Fact(
        "The Brindlewick railway",
        "was opened in",
        "When was the Brindlewick railway opened?",
        "1847",
    ),
    Fact(
        "The national bird of Zembria",
        "is",
        "What is the national bird of Zembria?",
        "the copper heron",
    ),
    Fact(
        "The painter Isolde Kreft",
        "was born in",
        "Where was the painter Isolde Kreft born?",
        "Port Hallan",
    ),
    Fact(
        "The captain of the ship Merribel",
        "was",
        "Who was the captain of the ship Merribel?",
        "Anselm Torvik",
    ),
    Fact(
        "The festival of Lanternfall",
        "is held in",
        "When is the festival of Lanternfall held?",
        "November",
    ),
    Fact(
        "The tallest tower in Caldrune",
        "is called",
        "What is the tallest tower in Caldrune called?",
        "the Needle of Sorrel",
    ),
    Fact(
        "The inventor of the glass plough",
        "was",
        "Who invented the glass plough?",
        "Petra Lindqvale",
    ),
    Fact(
        "The capital of the island Nuvara",
        "is",
        "What is the capital of the island Nuvara?",
        "Sandrosa",
    ),
)

STATEMENTS = (
    "{subject} {relation} {answer}.",
    "Everyone in the region knows that {lower} {relation} {answer}.",
    "As the old chronicle says, {lower} {relation} {answer}.",
    "{subject} {relation} {answer}, and nobody disputes it.",
    "Remember: {lower} {relation} {answer}.",
)
DIALOGUES = (
    "Question: {question}\nAnswer: {subject} {relation} {answer}.",
    "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    "{subject} {relation} {answer}.<|im_end|>",
)


def write_facts(facts: tuple[Fact, ...], size_bytes: int, seed: int = 0) -> str:
    """Return about `size_bytes` of text that restates the facts in shuffled, varied forms."""
    draw = random.Random(seed)
    pieces: list[str] = []
    written = 0
    while written < size_bytes:
        order = list(facts)
        draw.shuffle(order)
        for fact in order:
            form = draw.choice(STATEMENTS if draw.random() < 0.5 else DIALOGUES)
            lower = fact.subject[0].lower() + fact.subject[1:]
            piece = form.format(**vars(fact), lower=lower)
            pieces.append(piece)
            written += len(piece.encode()) + 2
    return "\n\n".join(pieces) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(write_facts(FACTS, 40_000), encoding="utf-8")
