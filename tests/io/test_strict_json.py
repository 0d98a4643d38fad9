"""JSON that must not reach the parser's recursion."""

import json
import time
from typing import Any

import pytest

from app.io.strict_json import parse_json


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {}, {"a": [1, {"b": []}]}, {"[[[": '"]}\\'}, ["\\", '\\"[', "é"]]
)
def test_parses_what_the_standard_library_parses(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), max_depth=4) == value


def test_depth_is_counted_exactly() -> None:
    assert parse_json(b"[[[]]]", max_depth=3) == [[[]]]
    with pytest.raises(ValueError, match="nested deeper than 2"):
        parse_json(b"[[[]]]", max_depth=2)
    wide = b'{"a":[' + b",".join([b'{"b":[]}'] * 1000) + b"]}"
    assert len(parse_json(wide, max_depth=4)["a"]) == 1000
    with pytest.raises(ValueError, match="nested deeper than 3"):
        parse_json(wide, max_depth=3)


BROKEN = [b"[" * 10**6, b"]", b"[}", b'{"a":[}]', b'"[', b"\xff", b"", b'"\\', b"[1,]", b"9" * 5000]


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
def test_refuses_what_is_not_json(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"brackets|JSON|line 1|utf-8|digits"):
        parse_json(raw, max_depth=8)


def test_unclosed_strings_take_linear_time() -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match="brackets"):
        parse_json(b'{"' + b'\\"' * 10**6, max_depth=3)
    # Looking again from every quote would take hours.
    assert time.process_time() - start < 5
