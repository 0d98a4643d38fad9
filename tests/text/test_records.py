"""Files to records: how each kind is cut, and how each mistake is told."""

from __future__ import annotations

import json

import pytest

from app.errors import CorpusError
from app.text.records import Record, read_records, table_columns


def texts(name: str, text: str) -> list[str]:
    return [record.text for record in read_records(name, text)]


def test_plain_text_is_cut_at_blank_lines_and_kept_otherwise() -> None:
    text = "\n\n  one\ntwo \n \t\n\n    indented\r\n\r\nlast\n"
    assert read_records("a.txt", text) == [
        Record("a.txt line 3", "  one\ntwo "),
        Record("a.txt line 7", "    indented"),
        Record("a.txt line 9", "last"),
    ]
    assert texts("notes", "no blank line\nat all") == ["no blank line\nat all"]


def test_markdown_keeps_code_and_headings_together() -> None:
    text = "# Title\n\nFirst.\n\n```py\na = 1\n\nb = 2\n```\n\n~~~\n```\n\n~~~\nlast"
    assert texts("a.md", text) == [
        "# Title\n\nFirst.",
        "```py\na = 1\n\nb = 2\n```",
        "~~~\n```\n\n~~~\nlast",
    ]
    assert texts("a.md", "# Only a title\n") == ["# Only a title"]
    assert texts("a.md", "```\nnever closed\n\nmore") == ["```\nnever closed\n\nmore"]
    assert [r.place for r in read_records("a.md", "\n\nx\n\n\ny")] == ["a.md line 3", "a.md line 6"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", "prompt,completion"),
        ("a.csv", "Instruction;Output;id"),
        ("a.tsv", "question\tanswer"),
    ],
)
def test_tables_of_prompts_and_completions(name: str, header: str) -> None:
    mark = next(sign for sign in ";\t," if sign in header)
    rows = [["Say “hi”", f'"a{mark} b\nc"'], ["", "x"]]
    extra = ["1"] if header.endswith("id") else []
    text = header + "\n" + "\n".join(mark.join(row + extra) for row in rows) + "\n"
    records = read_records(name, text)
    assert [(r.prompt, r.completion) for r in records] == [
        ("Say “hi”", f"a{mark} b\nc"),
        ("", "x"),
    ]


def test_a_table_of_texts() -> None:
    assert texts("a.csv", 'id,text\n1,one\n2,"two, three"\n') == ["one", "two, three"]


def test_a_table_whose_columns_have_other_names_is_read_by_position() -> None:
    two = read_records("faq.csv", "Frage;Antwort\nWo?;Dort.\n")
    assert two == [Record("faq.csv line 2", "", "Wo?", "Dort.")]
    assert texts("a.tsv", "Satz\none\ntwo\n") == ["one", "two"]
    assert table_columns("faq.csv", "Frage;Antwort\nWo?;Dort.\n") == ("Frage", "Antwort")
    assert table_columns("a.csv", "ID,Text,note\n1,x,y\n") == ("Text",)
    assert table_columns("a.csv", "Output,Instruction\nb,a\n") == ("Instruction", "Output")
    assert table_columns("a.csv", "a,b,c\n1,2,3\n") == ()
    assert table_columns("a.txt", "Frage;Antwort\n") == ()


def test_json_lines_of_all_kinds() -> None:
    lines = [
        {"text": "plain", "id": 1},
        {"prompt": "p", "completion": " c"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        "bare",
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    expected = [
        Record("a.jsonl line 1", "plain"),
        Record("a.jsonl line 2", "", "p", " c"),
        Record("a.jsonl line 3", messages=(("user", "q"), ("assistant", "a"))),
        Record("a.jsonl line 4", "bare"),
    ]
    assert read_records("a.jsonl", text + "\n\n") == expected
    in_array = read_records("a.json", json.dumps(lines))
    assert [r.place for r in in_array] == [f"a.json item {n}" for n in (1, 2, 3, 4)]
    assert [r.characters for r in in_array] == [r.characters for r in expected]
    assert [r.characters for r in expected] == ["plain", "p c", "q\na", "bare"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "Name,Age,x\na,1,2\n", "a.csv has the columns Name, Age, x: its first line must"),
        ("a.csv", "A,a\nx,1\n", "a.csv has the columns A, a: its first line must name a column"),
        ("a.csv", "Frage;Antwort\nx;\n", "line 2: Antwort is empty: there is nothing to learn"),
        ("a.csv", "", r"a.csv has the columns \(none\)"),
        ("a.csv", "text,b\nonly one\n", "line 2: not 2 columns as in the first line"),
        ("a.csv", "text\na,b\n", "line 2: not 1 columns"),
        ("a.csv", "prompt,completion\nx,\n", "line 2: completion is empty: there is nothing to"),
        ("a.csv", 'text\n"never closed\n', "line 2: not a table: double quotes are opened"),
        ("a.jsonl", '{"text": 1}', "line 1: text is a number: a text is needed"),
        ("a.jsonl", '{"text": "ok"}\n{"text":', r"line 2: not JSON: a value .* \(column 9\)"),
        ("a.jsonl", "{text: 1}", r"line 1: not JSON: a name in double quotes .* \(column 2\)"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", '{"body": "x"}', "line 1: has body: text, messages, or prompt and completion"),
        ("a.jsonl", "{}", "line 1: has nothing: text"),
        ("a.jsonl", "null", "line 1: a null: an object or a text is needed"),
        ("a.jsonl", '{"messages": []}', "messages must be a list that is not empty"),
        ("a.jsonl", '{"messages": [{"role": "bot", "content": "x"}]}', "message 1 needs a role"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": ["x"]}]}', "content that is a text"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "x"}]}', "no message of the assist"),
        ("a.json", '{"text": "x"}', "a.json holds one object: an array of objects is needed"),
        ("a.json", "[1]", "item 1: a number"),
        ("a.json", "[", r"not JSON: a value is missing, .* \(line 1, column 2\). Correct it there"),
        ("a.json", '[\n {"a" 1}]', r"not JSON: a colon after a name .* \(line 2, column 7\)"),
        ("a.json", '[\n "a" "b"]', r"not JSON: a comma, or .* \(line 2, column 6\)"),
        ("a.json", '["a', r"not JSON: a text has no closing double quotes \(line 1, column 2\)"),
        ("a.json", "[]", "a.json has no records"),
        ("a.jsonl", "\n", "a.jsonl has no records"),
    ],
)
def test_mistakes_are_named(name: str, text: str, sentence: str) -> None:
    with pytest.raises(CorpusError, match=sentence):
        read_records(name, text)


def test_mistakes_are_told_together_and_counted() -> None:
    with pytest.raises(CorpusError) as found:
        read_records("a.jsonl", '{"text": "fine"}\n' + "oops\n" * 9)
    assert str(found.value).count("not JSON") == 5
    assert "line 2: " in str(found.value)
    assert str(found.value).endswith("; and 4 more")
