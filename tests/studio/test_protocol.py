"""The page and the session speak of the same messages, settings and limits."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError
from app.studio import protocol
from app.studio.settings import describe_settings, merge_settings, settings_message
from app.text.corpus import MAX_CORPUS_BYTES

STATIC = Path(__file__).parents[2] / "static"


def page_source() -> str:
    return "\n".join(path.read_text() for path in [*STATIC.glob("*.js"), *STATIC.glob("ui/*.js")])


def test_every_event_has_a_listener_and_every_listener_an_event() -> None:
    listened = set(re.findall(r"studio\.on\('([\w-]+)'", page_source()))
    sent = {event.type for event in get_args(protocol.Event)}
    assert listened == sent | {"boot"}  # boot comes from boot.js, before Python runs


def test_every_request_of_the_page_is_known() -> None:
    source = page_source()
    asked = set(re.findall(r"\.request\('([\w-]+)'", source))
    asked |= set(re.findall(r"\? 'resume' : '(pause)'", source))
    assert asked <= set(get_args(protocol.RequestType))
    assert {"load-model", "train", "chat", "import-adapter", "export-adapter"} <= asked


def test_fields_that_the_page_reads_are_sent() -> None:
    """`static/types.js` names every field of the events whose whole shape the page uses."""
    types = (STATIC / "types.js").read_text()
    shapes = {
        protocol.GpuEvent: "Gpu",
        protocol.ModelProgressEvent: "ModelProgress",
        protocol.ModelEvent: "ModelInfo",
        protocol.PlanEvent: "Plan",
        protocol.StepEvent: "Step",
        protocol.AdapterInfo: "Adapter",
    }
    for event, name in shapes.items():
        match = re.search(r"@typedef \{\{((?:[^{}]|\{[^}]*\})*)\}\} " + name + r"\b", types)
        assert match, name
        declared = set(re.findall(r"(\w+)\??:", match[1]))
        assert declared == {item.name for item in fields(event)}, name


def test_the_corpus_limit_is_the_same_on_both_sides() -> None:
    source = (STATIC / "ui" / "corpus.js").read_text()
    match = re.search(r"MAX_CORPUS_BYTES = ([\d_]+);", source)
    assert match
    assert int(match[1].replace("_", "")) == MAX_CORPUS_BYTES


def test_events_are_plain_data() -> None:
    info = protocol.AdapterInfo(4, 8.0, 100, "trained", "", 3)
    message = protocol.to_message(protocol.AdapterEvent(info))
    assert message["type"] == "adapter"
    assert message["adapter"]["rank"] == 4
    assert json.loads(json.dumps(message)) == message


def test_every_setting_is_described_with_its_help() -> None:
    described = {item["name"]: item for item in describe_settings()}
    known = [item.name for item in (*fields(LoraConfig), *fields(TrainConfig))]
    assert list(described) == known
    assert all(item["help"] and item["label"] for item in described.values())
    assert json.loads(json.dumps(describe_settings())) == describe_settings()


def test_edits_win_over_suggestions_and_numbers_from_javascript_count_as_whole() -> None:
    lora, train = merge_settings(
        LoraConfig(),
        TrainConfig(),
        {"rank": 8.0, "steps": 12.0, "target_modules": ["q_proj"], "learning_rate": 2},
    )
    assert (lora.rank, lora.target_modules) == (8, ("q_proj",))
    assert (train.steps, train.learning_rate) == (12, 2)
    shown = settings_message(lora, train)
    assert shown["target_modules"] == ["q_proj"]
    assert shown["micro_batch_size"] == TrainConfig().micro_batch_size


def test_all_bad_edits_are_named_at_once() -> None:
    edits = {"rank": 0, "learning_rate": -1, "nonsense": 1}
    with pytest.raises(ConfigError) as caught:
        merge_settings(LoraConfig(), TrainConfig(), edits)
    for word in ("rank", "learning_rate", "nonsense"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["rank", "alpha", "learning_rate", "epochs", "steps", "seed"])
def test_a_word_where_a_number_belongs_is_a_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match="number"):
        merge_settings(LoraConfig(), TrainConfig(), {name: "many"})
