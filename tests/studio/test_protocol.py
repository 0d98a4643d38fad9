"""The page and the session speak of the same messages, settings and limits."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from app.config import LoraConfig, TrainConfig
from app.studio import protocol
from app.studio.settings import describe_settings, labelled
from app.text.corpus import MAX_CORPUS_BYTES

STATIC = Path(__file__).parents[2] / "static"


def page_source() -> str:
    return "\n".join(
        path.read_text() for path in [*STATIC.glob("*.js"), *STATIC.glob("ui/**/*.js")]
    )


def test_every_event_has_a_listener_and_every_listener_an_event() -> None:
    listened = set(re.findall(r"studio\.on\('([\w-]+)'", page_source()))
    sent = {event.type for event in get_args(protocol.Event)}
    assert listened == sent | {"boot"}  # boot comes from boot.js, before Python runs


def test_every_request_of_the_page_is_known() -> None:
    source = page_source()
    asked = set(re.findall(r"(?<!wakeLock)\.request\('([\w-]+)'", source))
    asked |= set(re.findall(r"\? 'resume' : '(pause)'", source))
    # Before Python is up the worker answers some itself.
    by_worker = set(re.findall(r"data\.type === '([\w-]+)'", (STATIC / "worker.js").read_text()))
    assert asked <= set(get_args(protocol.RequestType)) | by_worker
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
        protocol.RatePointEvent: "RatePoint",
        protocol.AdapterInfo: "Adapter",
        protocol.TunedInfo: "Tuned",
    }
    for event, name in shapes.items():
        match = re.search(r"@typedef \{\{((?:[^{}]|\{[^}]*\})*)\}\} " + name + r"\b", types)
        assert match, name
        declared = set(re.findall(r"(\w+)\??:", match[1]))
        assert declared == {item.name for item in fields(event)}, name


def test_the_corpus_limit_is_the_same_on_both_sides() -> None:
    source = (STATIC / "ui" / "corpus" / "corpus.js").read_text()
    match = re.search(r"MAX_CORPUS_BYTES = ([\d_]+);", source)
    assert match
    assert int(match[1].replace("_", "")) == MAX_CORPUS_BYTES


def test_events_are_plain_data() -> None:
    info = protocol.AdapterInfo(1, 4, 8.0, 32, 100, "trained", "Run 1", 3, 1.0)
    message = protocol.to_message(protocol.AdapterEvent(info, [info]))
    assert message["type"] == "adapter"
    assert message["adapter"]["rank"] == 4
    assert json.loads(json.dumps(message)) == message


def test_every_setting_is_described_with_its_help() -> None:
    described = {item["name"]: item for item in describe_settings()}
    known = [item.name for item in (*fields(LoraConfig), *fields(TrainConfig))]
    assert list(described) == list(known)
    assert all(item["help"] and item["label"] for item in described.values())
    assert json.loads(json.dumps(describe_settings())) == describe_settings()


def test_a_problem_is_told_by_the_name_that_the_form_shows() -> None:
    assert labelled("max_seq_len is 1: give more") == "Window, in tokens is 1: give more"
    assert labelled("the corpus is empty") == "the corpus is empty"
