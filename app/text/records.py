"""What the files of a corpus hold: plain text, prompts with completions, conversations.

Text and Markdown are cut at blank lines; tables and JSON lines hold one record a row. Every
mistake of a file is reported at once, each with its line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import CorpusError, json_problem
from app.messages import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROLES = ("system", "user", "assistant")
COMPLETION_KEYS = (
    ("prompt", "completion"),
    ("instruction", "output"),
    ("question", "answer"),
)
"""Pairs of columns that mean prompt and completion, in the order they are looked for."""

MAX_PROBLEMS = 5
"""Mistakes of a file that are listed; the rest is counted."""

_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")


@dataclass(frozen=True)
class Record:
    """One document before it is tokenized; which fields are set says its kind.

    Attributes:
        place: File and line where it begins, for messages.
        text: Plain text, all of it learnt.
        prompt: Read, not learnt, before `completion`.
        completion: Learnt.
        messages: (role, content) pairs; the assistant's are learnt.
    """

    place: str
    text: str = ""
    prompt: str = ""
    completion: str = ""
    messages: tuple[tuple[str, str], ...] = ()

    @property
    def characters(self) -> str:
        """All its text, for counting and comparing."""
        if self.messages:
            return "\n".join(content for _, content in self.messages)
        return self.text or self.prompt + self.completion


def read_records(name: str, text: str) -> list[Record]:
    """Return the records of a decoded file; its extension says how it is cut.

    Args:
        name: File name; .csv, .tsv, .jsonl, .json and .md are known, all else is plain text.
        text: Its content (`app.text.corpus.decode_corpus`).

    Raises:
        CorpusError: lists the first mistakes with their lines and what is allowed.
    """
    read: Callable[[str, str], Iterator[Record]] = {
        "csv": _read_table,
        "tsv": _read_table,
        "jsonl": _read_json_lines,
        "ndjson": _read_json_lines,
        "json": _read_json,
        "md": _read_markdown,
        "markdown": _read_markdown,
    }.get(name.rpartition(".")[2].lower(), _read_text)
    records = list(read(name, text.replace("\r\n", "\n")))
    if not records:
        raise CorpusError(say("{name} has no records: add some text", name=name))
    return records


def _read_text(name: str, text: str) -> Iterator[Record]:
    """Cut at blank lines; line ends at a document's edges are dropped, the rest stays."""
    line, start = 1, 0
    cuts = [found.span() for found in _BLANK_LINES.finditer(text)]
    for end, next_start in (*cuts, (len(text), len(text))):
        block = text[start:end]
        if block.strip():
            leading = len(block) - len(block.lstrip("\n"))
            yield Record(f"{name} line {line + leading}", block.strip("\n"))
        line += text.count("\n", start, next_start)
        start = next_start


def _read_markdown(name: str, text: str) -> Iterator[Record]:
    """Cut at blank lines outside code fences; a heading stays with what follows it."""
    block: list[str] = []
    fence, first, is_heading = "", 1, False
    for number, line in enumerate(text.split("\n"), start=1):
        opened = _FENCE.match(line)
        if opened and fence in ("", opened[1]):
            fence = "" if fence else opened[1]
        if line.strip():
            if not block:
                first = number
            is_heading = not fence and line.startswith("#")
        elif block and not fence and not is_heading:
            yield Record(f"{name} line {first}", "\n".join(block))
            block = []
        if block or line.strip():
            block.append(line)
    if block:
        yield Record(f"{name} line {first}", "\n".join(block).rstrip("\n"))


def _read_table(name: str, text: str) -> Iterator[Record]:
    """Read rows under a header: see `table_columns`."""
    reader = _table_reader(name, text)
    problems = _Problems(name)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        read = _table_columns(columns)
        if read is None:
            raise CorpusError(
                say(
                    "{name} has the columns {value}: its first line must name a column text, or "
                    "{pairs}; without these names one column is the text, two are what is read "
                    "and what is learnt",
                    name=name,
                    value=", ".join(columns) or say("(none)"),
                    pairs=_pairs(),
                )
            )
        for row in reader:
            place = f"{name} line {reader.line_num}"
            if None in row or None in row.values():
                problems.add(
                    reader.line_num,
                    say("not {num_columns} columns as in the first line", num_columns=len(columns)),
                )
                continue
            record = _from_columns(place, row, read)
            if isinstance(record, Record):
                yield record
            else:
                problems.add(reader.line_num, record)
    except csv.Error as error:
        problems.add(reader.reader.line_num, _table_problem(error))
    problems.raise_if_any()


def _table_problem(error: csv.Error) -> str:
    """Return what is wrong where a table cannot be read any further."""
    if "field larger" in str(error):
        return say("not a table: a cell is longer than any text in a table can be")
    return say(
        "not a table: double quotes are opened and not closed, or something follows where they "
        "are closed; inside a text write them twice"
    )


def table_columns(name: str, text: str) -> tuple[str, ...]:
    """Return which columns of a table are learnt from, as they are spelled in it.

    One is the text; of two the first is read and the second learnt. Where none has a name that
    is known, one column is the text, and two are a prompt and a completion. Without a table, or
    where it cannot be told: ().
    """
    if not name.lower().endswith((".csv", ".tsv")):
        return ()
    try:
        columns = _table_reader(name, text).fieldnames or ()
    except csv.Error:
        return ()
    return _table_columns([column.strip() for column in columns]) or ()


def _table_reader(name: str, text: str) -> csv.DictReader[str]:
    delimiter = "\t" if name.lower().endswith(".tsv") else _delimiter(text)
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _table_columns(columns: Sequence[str]) -> tuple[str, ...] | None:
    spelled = {column.lower(): column for column in columns}
    known = _columns_of(spelled)
    if known is not None:
        return tuple(spelled[column] for column in known)
    is_plain = len(columns) in (1, 2) and len(spelled) == len(columns) and all(columns)
    return tuple(columns) if is_plain else None


def _delimiter(text: str) -> str:
    """Return the separator that the header line has most of."""
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _read_json_lines(name: str, text: str) -> Iterator[Record]:
    problems = _Problems(name)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            told = json_problem(error, is_one_line=True)
            problems.add(number, say("not JSON: {error}", error=told))
            continue
        record = _from_json(f"{name} line {number}", value)
        if isinstance(record, Record):
            yield record
        else:
            problems.add(number, record)
    problems.raise_if_any()


def _read_json(name: str, text: str) -> Iterator[Record]:
    """Read a JSON array of the objects that a .jsonl file has a line each."""
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorpusError(
            say(
                "{name} is not JSON: {error}. Correct it there, or save it as .txt to learn it as "
                "it stands",
                name=name,
                error=json_problem(error),
            )
        ) from error
    if not isinstance(values, list):
        raise CorpusError(
            say(
                "{name} holds one {values}: an array of objects is needed",
                name=name,
                values=_kind(values),
            )
        )
    problems = _Problems(name, "item")
    for number, value in enumerate(values, start=1):
        record = _from_json(f"{name} item {number}", value)
        if isinstance(record, Record):
            yield record
        else:
            problems.add(number, record)
    problems.raise_if_any()


def _from_json(place: str, value: Any) -> Record | str:
    """Return the record of one JSON value, or what is wrong with it."""
    if isinstance(value, str):
        return Record(place, value) if value.strip() else say("its text is empty")
    if not isinstance(value, dict):
        return say("a {kind}: an object or a text is needed", kind=_kind(value))
    if "messages" in value:
        return _from_messages(place, value["messages"])
    return _from_fields(place, value)


def _from_messages(place: str, messages: Any) -> Record | str:
    if not isinstance(messages, list) or not messages:
        return say("messages must be a list that is not empty")
    turns = []
    for number, message in enumerate(messages, start=1):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in ROLES or not isinstance(content, str):
            return say(
                "message {number} needs a role ({roles}) and a content that is a text",
                number=number,
                roles=", ".join(ROLES),
            )
        turns.append((role, content))
    if not any(role == "assistant" and content.strip() for role, content in turns):
        return say("no message of the assistant: there is nothing to learn")
    return Record(place, messages=tuple(turns))


def _from_fields(place: str, row: Mapping[str, Any]) -> Record | str:
    """Return the record of an object or of a table's row, or what is wrong with it."""
    columns = _columns_of(row)
    if columns is None:
        return say(
            "has {columns}: text, messages, or {pairs} is needed",
            columns=", ".join(row) or say("nothing"),
            pairs=_pairs(),
        )
    return _from_columns(place, row, columns)


def _from_columns(place: str, row: Mapping[str, Any], columns: Sequence[str]) -> Record | str:
    values = [row[column] for column in columns]
    for column, value in zip(columns, values, strict=True):
        if not isinstance(value, str):
            return say("{column} is a {kind}: a text is needed", column=column, kind=_kind(value))
    if not values[-1].strip():
        return say("{column} is empty: there is nothing to learn", column=columns[-1])
    return Record(place, *values) if len(values) == 1 else Record(place, "", *values)


def _columns_of(columns: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...] | None:
    """Return which columns are read: ("text",) or a prompt and a completion."""
    if "text" in columns:
        return ("text",)
    for pair in COMPLETION_KEYS:
        if all(column in columns for column in pair):
            return pair
    return None


def _pairs() -> str:
    first, *more = (
        say("{prompt} and {completion}", prompt=prompt, completion=completion)
        for prompt, completion in COMPLETION_KEYS
    )
    for pair in more:
        first = say("{pairs} or {pair}", pairs=first, pair=pair)
    return first


def _kind(value: Any) -> str:
    names = {
        dict: say("object"),
        list: say("list"),
        str: say("text"),
        bool: say("true or false"),
        type(None): "null",
    }
    return names.get(type(value), say("number"))


class _Problems:
    """Mistakes of one file, reported together once it has been read."""

    def __init__(self, name: str, unit: str = "line") -> None:
        self._name, self._unit = name, unit
        self._found: list[str] = []
        self._count = 0

    def add(self, number: int, what: str) -> None:
        self._count += 1
        if self._count > MAX_PROBLEMS:
            return
        if self._unit == "item":
            self._found.append(say("item {number}: {what}", number=number, what=what))
        else:
            self._found.append(say("line {number}: {what}", number=number, what=what))

    def raise_if_any(self) -> None:
        if self._count:
            problems, *others = self._found
            for problem in others:
                problems = say("{problems}; {problem}", problems=problems, problem=problem)
            more = self._count - len(self._found)
            if more:
                problems = say("{problems}; and {more} more", problems=problems, more=more)
            raise CorpusError(say("{name}: {problems}", name=self._name, problems=problems))
