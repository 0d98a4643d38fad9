"""What Python says to people: as text, and with what it was made of for the page to translate."""

from __future__ import annotations

import ast
import copy
import json

import numpy as np
import pytest

from app.config import LoraConfig
from app.errors import ConfigError, FormatError, StudioError
from app.io.safetensors import read_safetensors
from app.messages import Sentence, say, say_count, told_in, whole
from app.studio.settings import labelled
from tools.messages import PYTHON, ROOT, python_messages


def test_a_sentence_is_its_text_and_knows_what_it_was_made_of() -> None:
    inner = say("else {misfit}", misfit="it is {too} large")
    sentence = say("Windows of {tokens} tokens: {why}.", tokens=64, why=inner)
    assert sentence == "Windows of 64 tokens: else it is {too} large."
    assert json.loads(json.dumps(sentence)) == sentence
    assert copy.deepcopy(sentence).values == sentence.values
    told = {
        "text": str(sentence),
        "template": "Windows of {tokens} tokens: {why}.",
        "values": {
            "tokens": 64,
            "why": {
                "text": str(inner),
                "template": "else {misfit}",
                "values": {"misfit": "it is {too} large"},
                "whole": False,
            },
        },
        "whole": False,
    }
    assert told_in({"modes": [{"notes": (sentence, sentence)}]}) == [told]
    assert told_in({"type": "step", "loss": 1.0, "text": "plain"}) == []


@pytest.mark.parametrize(("count", "text"), [(1, "1 window"), (2, "2 windows")])
def test_what_depends_on_a_number_is_known_by_its_plural(count: int, text: str) -> None:
    sentence = say_count(count, "{count} window", "{count} windows")
    assert sentence == text
    assert sentence.template == "{count} windows"


def test_numbers_are_written_as_english_does_and_told_as_numbers() -> None:
    values = {"a": 12500, "b": 999, "c": 1234.5, "d": True, "e": np.int64(4096), "f": 0.00025}
    sentence = say("{a} {b} {c} {d} {e} {f}", **values)
    assert sentence == "12,500 999 1,234.5 True 4,096 0.00025"
    (told,) = told_in([sentence])
    assert told["values"] == {**values, "e": 4096}
    assert json.loads(json.dumps(told)) == told
    assert say_count(20_000, "{count} step", "{count} steps") == "20,000 steps"


def test_a_problem_becomes_a_sentence_with_the_name_of_the_form() -> None:
    with pytest.raises(ConfigError) as caught:
        LoraConfig(rank=0).check()
    problem = caught.value.problems[0]
    assert problem == "rank is 0: give a whole number from 1 to 256"
    told = whole(labelled(problem))
    assert told == "Rank is 0: give a whole number from 1 to 256."
    assert isinstance(told, Sentence)
    assert told.is_whole
    assert isinstance(told.values["setting"], Sentence)
    plain = say("{name} is empty", name="a.txt")
    assert isinstance(whole(labelled(plain)), Sentence)  # about no setting
    inner = StudioError(say("the file is missing"))
    outer = told_in({"error": say("it cannot be read ({error})", error=inner)})
    assert outer[0]["values"]["error"]["template"] == "the file is missing"


def test_what_is_wrong_with_a_file_is_known_down_to_the_last_reason() -> None:
    header = b'{"x":' + b"[" * 9 + b"]" * 9 + b"}"
    with pytest.raises(FormatError) as caught:
        read_safetensors(len(header).to_bytes(8, "little") + header)
    (told,) = told_in({"error": caught.value.sentence})
    assert told["text"] == str(caught.value)
    error = told["values"]["what"]["values"]["error"]
    assert error["template"] == "brackets do not match or are nested deeper than {max_depth}"


def test_every_message_of_python_is_known_to_the_tests_of_the_catalogues() -> None:
    expected = json.loads(PYTHON.read_text(encoding="utf-8"))
    assert python_messages() == expected, "run: python3 -m tools.messages"


def test_what_is_said_stands_there_as_a_literal() -> None:
    for path in (ROOT / "app").rglob("*.py"):
        if path.name == "messages.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "say":
                    texts = node.args[:1]
                elif node.func.id == "say_count":
                    texts = node.args[1:3]
                else:
                    continue
                for text in texts:
                    is_label = isinstance(text, ast.Subscript) and path.name == "settings.py"
                    assert isinstance(text, ast.Constant) or is_label, f"{path}:{node.lineno}"
