"""Repeated lines are found, nearly equal ones too, and different ones are left alone."""

from __future__ import annotations

import random

from app.text.duplicates import NEAR_SIMILARITY, find_repeats

WORDS = [f"word{n}" for n in range(400)]


def sentence(source: random.Random, length: int = 20) -> list[str]:
    return source.choices(WORDS, k=length)


def similarity(first: list[str], second: list[str]) -> float:
    sets = [
        {tuple(words[at : at + 3]) for at in range(len(words) - 2)} for words in (first, second)
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_equal_lines_whatever_their_case_and_punctuation() -> None:
    found = find_repeats(["One, two!", "", "other", "one  two", "   ", "ONE TWO.", "…", "…"])
    assert [group.lines for group in found.groups] == [(1, 4, 6)]
    assert found.groups[0].example == "One, two!"
    assert found.groups[0].is_exact
    assert (found.num_exact, found.num_near) == (2, 0)


def test_nearly_equal_lines_are_found_and_others_not() -> None:
    source = random.Random(0)
    lines = [sentence(source, 40) for _ in range(300)]
    for index in range(0, 100, 2):  # one word in forty differs: similarity about 0.86
        lines[200 + index // 2] = [*lines[index][:20], "changed", *lines[index][21:]]
    assert similarity(lines[0], lines[200]) > NEAR_SIMILARITY
    found = find_repeats(" ".join(words) for words in lines)
    expected = {(index + 1, 201 + index // 2) for index in range(0, 100, 2)}
    assert {group.lines for group in found.groups} == expected
    assert (found.num_exact, found.num_near) == (0, 50)
    assert not any(group.is_exact for group in found.groups)


def test_lines_less_alike_than_the_threshold_are_left_alone() -> None:
    source = random.Random(1)
    line = sentence(source, 20)
    other = [*line[:8], "changed", *line[9:14], "too", *line[15:]]
    assert 0.3 < similarity(line, other) < NEAR_SIMILARITY
    assert find_repeats([" ".join(line), " ".join(other)]).groups == ()


def test_short_lines_are_not_alike_by_chance() -> None:
    assert find_repeats(["a b c d e f g", "a b c d e f h"]).groups == ()


def test_a_line_and_its_exact_copies_count_once_in_a_near_group() -> None:
    line = " ".join(sentence(random.Random(2), 40))
    found = find_repeats([line, line, line + " more"])
    assert [(group.lines, group.is_exact) for group in found.groups] == [
        ((1, 2), True),
        ((1, 3), False),
    ]
