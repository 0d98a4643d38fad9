"""Files to windows: what is learnt, what is kept aside, what a person is shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.errors import CorpusError
from app.text.dataset import (
    CorpusFile,
    Dataset,
    encode_files,
    goes_by_documents,
    make_dataset,
    preview,
    split_documents,
)
from app.text.documents import Documents, encode_documents
from app.text.records import Record
from app.text.tokenizer import Tokenizer
from app.text.windows import make_windows

CHAT = (
    ("system", "Be short."),
    ("user", "Who?"),
    ("assistant", "Ada."),
    ("user", "When?"),
    ("assistant", "1815."),
)


def encode(records: list[Record], tokenizer: Tokenizer, template: str | None = None) -> Documents:
    return asyncio.run(encode_documents(records, tokenizer, template))


def learned(documents: Documents, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(documents.token_ids[documents.is_learned].tolist())


def build(tokenizer: Tokenizer, *files: tuple[str, str], **settings: Any) -> Dataset:
    corpus = [CorpusFile(name, text) for name, text in files]
    by_documents = goes_by_documents(corpus, settings.get("packing", "none"))
    documents = asyncio.run(encode_files(corpus, tokenizer, by_documents=by_documents))
    return make_dataset(documents, by_documents=by_documents, **{"max_seq_len": 32, **settings})


def test_plain_text_is_learnt_whole(tokenizer: Tokenizer) -> None:
    documents = encode([Record("a", "One two."), Record("b", " three")], tokenizer)
    assert documents.is_learned.all()
    assert documents.token_ids.tolist() == tokenizer.encode("One two.") + tokenizer.encode(" three")
    assert documents.bounds.tolist()[-1] == documents.num_tokens
    assert documents.num_documents == 2


def test_a_completion_is_learnt_with_its_end_and_the_prompt_is_not(tokenizer: Tokenizer) -> None:
    documents = encode([Record("a", "", "Say hi:", " hello")], tokenizer)
    assert tokenizer.eos_token_id is not None
    end = tokenizer.token(tokenizer.eos_token_id)
    assert learned(documents, tokenizer) == f" hello{end}"
    # The prompt's tokens are those it will have when it is asked for an answer.
    prompt = tokenizer.encode("Say hi:")
    assert documents.token_ids[: len(prompt)].tolist() == prompt


@pytest.mark.parametrize("with_template", [True, False])
def test_what_the_assistant_says_is_learnt(
    tokenizer: Tokenizer, metadata: dict[str, Any], with_template: bool
) -> None:
    template = metadata["tokenizer.chat_template"] if with_template else None
    documents = encode([Record("a", messages=CHAT)], tokenizer, template)
    assert learned(documents, tokenizer) == "Ada.<|im_end|>\n1815.<|im_end|>\n"
    whole = tokenizer.decode(documents.token_ids.tolist())
    assert whole.startswith("<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nWho?")
    assert whole.count("<|im_start|>assistant\n") == 2


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer: Tokenizer) -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(CorpusError, match=r"a.jsonl line 7: .* rewrites earlier turns"):
        encode([Record("a.jsonl line 7", messages=CHAT)], tokenizer, template)


def test_nothing_to_learn_is_said(tokenizer: Tokenizer) -> None:
    with pytest.raises(CorpusError, match="no tokens to learn"):
        encode([Record("a", "", "only a prompt", "")], tokenizer)


def test_running_text_is_cut_as_the_command_line_promises(tokenizer: Tokenizer) -> None:
    text = "One paragraph.\n\nAnother one, and more of it.\n" * 20
    dataset = build(tokenizer, ("a.txt", text), eval_fraction=0.2)
    expected = make_windows(tokenizer.encode(text), 32)
    assert dataset.train.token_ids.tolist() == expected.token_ids.tolist()
    assert dataset.evaluation is not None
    assert dataset.evaluation.num_windows == expected.num_windows // 5
    assert (
        dataset.train.starts.tolist() == expected.starts[: -dataset.evaluation.num_windows].tolist()
    )


def test_files_of_running_text_follow_each_other(tokenizer: Tokenizer) -> None:
    dataset = build(tokenizer, ("a.txt", "One."), ("b.md", "Two."))
    assert dataset.train.token_ids.tolist() == tokenizer.encode("One.\n\nTwo.")
    assert dataset.num_documents == 1


@pytest.mark.parametrize("packing", ["none", "dual", "best-fit"])
def test_documents_are_on_one_side_only(tokenizer: Tokenizer, packing: str) -> None:
    lines = "\n".join(json.dumps({"text": f"Document {n} says {n * n}."}) for n in range(40))
    dataset = build(tokenizer, ("a.jsonl", lines), packing=packing, eval_fraction=0.25, seed=3)
    again = build(tokenizer, ("a.jsonl", lines), packing=packing, eval_fraction=0.25, seed=3)
    other = build(tokenizer, ("a.jsonl", lines), packing=packing, eval_fraction=0.25, seed=4)
    texts = []
    for windows in (dataset.train, dataset.evaluation):
        assert windows is not None
        segments = [
            part for index in range(windows.num_windows) for part in windows.segments(index)
        ]
        texts.append(
            {tokenizer.decode(windows.token_ids[at : at + n].tolist()) for at, n in segments}
        )
    assert [len(side) for side in texts] == [30, 10]
    assert not texts[0] & texts[1]
    assert dataset.train.token_ids.tolist() == again.train.token_ids.tolist()
    assert dataset.train.token_ids.tolist() != other.train.token_ids.tolist()
    assert dataset.num_dropped == 0
    if packing == "best-fit":
        assert dataset.occupancy > 0.8
    assert dataset.num_padding == 32 * dataset.train.num_windows - dataset.train.num_tokens


def test_long_documents_are_cut_and_counted(tokenizer: Tokenizer) -> None:
    text = "short\n\n" + "word " * 100
    dataset = build(tokenizer, ("a.txt", text), packing="best-fit")
    assert dataset.num_documents == 2
    assert dataset.num_cut == 1
    assert dataset.train.lengths.max() == 32


@pytest.mark.parametrize(
    ("count", "fraction", "kept"), [(1, 0.5, 0), (2, 0.99, 1), (40, 0.05, 2), (19, 0.05, 0)]
)
def test_how_many_documents_are_kept(count: int, fraction: float, kept: int) -> None:
    chosen, aside = split_documents(count, fraction, seed=0)
    assert len(aside) == kept
    assert sorted(chosen + aside) == list(range(count))
    assert chosen == sorted(chosen)


def test_the_preview_shows_tokens_and_boundaries(tokenizer: Tokenizer) -> None:
    lines = [{"prompt": "Q: é?", "completion": " A."}, {"text": "Plain."}]
    text = "\n".join(json.dumps(line) for line in lines)
    windows = build(tokenizer, ("a.jsonl", text), packing="best-fit").train
    shown = preview(windows, tokenizer)
    assert len(shown) == 1
    end = tokenizer.token(tokenizer.eos_token_id or 0)
    assert "".join(token.text for token in shown[0]) == f"Q: é? A.{end}Plain."
    assert [token.text for token in shown[0] if token.is_first] == ["Q", "Pl"]
    assert "".join(token.text for token in shown[0] if token.is_learned) == f" A.{end}ain."


def test_progress_is_told(tokenizer: Tokenizer) -> None:
    records = [Record("a", f"Number {n}.") for n in range(200)]
    told: list[tuple[int, int]] = []
    asyncio.run(encode_documents(records, tokenizer, None, lambda *done: told.append(done)))
    assert told == [(64, 200), (128, 200), (192, 200)]
