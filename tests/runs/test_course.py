"""Runs with all that accompanies them: resumed, evaluated, sampled, stopped early, recorded."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import GenerationConfig
from app.errors import CheckpointError, ConfigError, OutOfGpuMemoryError
from app.generate.generator import Generator
from app.generate.prompts import SAMPLE_TOKENS
from app.io.checkpoint import load_checkpoint
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import DirectoryStore
from app.nn.adapter import Adapter
from app.runs.early_stop import EarlyStop
from app.runs.history import Evaluation
from app.text.dataset import Dataset
from app.train.evaluate import evaluate
from tests.conftest import run
from tests.nn.engine import Tiny
from tests.runs.courses import CONFIG, CUT, LORA, STEPS, changed, dataset_of, follow

pytestmark = pytest.mark.gpu

SETTINGS: dict[str, dict[str, Any]] = {
    "adamw": {"early_stop_patience": 50},
    "adam8bit": {"optimizer": "adam8bit", "lora_plus_ratio": 4.0},
    "adafactor": {"optimizer": "adafactor", "gradient_accumulation_steps": 2},
    "adaptive": {"rank_schedule": "adaptive", "curriculum": "tfidf"},
}


def loaded(path: Path) -> Checkpoint:
    found = run(load_checkpoint(DirectoryStore(path)))
    assert found is not None
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_from_the_disk_equals_uninterrupted(tiny: Tiny, tmp_path: Path, name: str) -> None:
    config = changed(**SETTINGS[name])
    whole = follow(tiny, config, store=DirectoryStore(tmp_path / "whole"))
    assert [item.step for item in whole.evaluations] == [0, 2, 4, 6, 8]
    assert [item.step for item in whole.samples] == [0, 4, 8]
    assert [item.step for item in whole.checkpoints] == [4, 8]

    part = tmp_path / "part"
    first = follow(tiny, config, store=DirectoryStore(part), stop_after=CUT)
    assert first.result is not None
    assert (first.result.stopped, first.result.steps) == (True, CUT)
    kept = loaded(part)
    assert kept.step == CUT
    rest = follow(tiny, config, store=DirectoryStore(part), resumed=kept, seed=99)
    assert not rest.warnings
    assert first.told() + rest.told() == whole.told()
    assert rest.parameters == whole.parameters
    # The stop came before what was due after step 4: done where the run went on.
    assert first.evaluations + rest.evaluations == whole.evaluations
    assert first.samples + rest.samples == whole.samples
    assert rest.final == whole.final
    assert rest.result is not None
    assert (rest.result.steps, rest.result.stopped) == (STEPS, False)
    assert rest.record["resumed_at"] == [CUT]
    assert rest.record["history"]["loss"] == whole.record["history"]["loss"]
    assert rest.record["evaluations"] == whole.record["evaluations"]
    ended, other = loaded(part), loaded(tmp_path / "whole")
    assert (ended.run, ended.step) == (kept.run, STEPS)
    for key, array in other.arrays.items():
        if key != "history":  # holds seconds
            np.testing.assert_array_equal(ended.arrays[key].view(np.uint8), array.view(np.uint8))


def test_a_stop_between_checkpoints_keeps_one_of_where_it_stopped(
    tiny: Tiny, tmp_path: Path
) -> None:
    whole = follow(tiny)
    first = follow(tiny, store=DirectoryStore(tmp_path), stop_after=CUT + 1)
    kept = loaded(tmp_path)
    assert kept.step == CUT + 1
    rest = follow(tiny, store=DirectoryStore(tmp_path), resumed=kept)
    assert first.told() + rest.told() == whole.told()
    assert rest.parameters == whole.parameters


def test_what_accompanies_a_run_changes_no_number(tiny: Tiny, tmp_path: Path) -> None:
    plain = follow(tiny, changed(eval_every=0, sample_every=0, checkpoint_every=0))
    busy = follow(tiny, store=DirectoryStore(tmp_path))
    assert plain.told() == busy.told()
    assert plain.parameters == busy.parameters
    assert (plain.evaluations, plain.samples, plain.checkpoints) == ([], [], [])
    assert plain.final == busy.final  # of the end there is one all the same


def test_evaluations_and_samples_are_those_of_the_adapter_at_that_step(tiny: Tiny) -> None:
    heard = follow(tiny, changed(steps=CUT, schedule="constant"))
    short = follow(tiny, changed(steps=2, schedule="constant"))
    dataset = dataset_of(tiny)
    assert dataset.evaluation is not None
    adapter = Adapter(tiny.config, tiny.device, LORA)
    flat = np.frombuffer(short.parameters, np.float32)
    adapter.load(adapter.layout.unpack(flat))
    result = run(evaluate(tiny.model, adapter, dataset.evaluation))
    assert result is not None
    assert heard.evaluations[1] == Evaluation(2, result.loss, result.perplexity)
    adapter.load(adapter.layout.unpack(np.frombuffer(heard.parameters, np.float32)))
    generator = Generator(tiny.model, 64)
    prompt = dataset.evaluation.inputs(0)[:8].tolist()
    config = GenerationConfig(
        max_new_tokens=SAMPLE_TOKENS, temperature=0, stop_token_ids=tiny.model.stop_token_ids
    )
    answer = run(generator.generate(prompt, config, adapter=adapter))
    assert heard.samples[-1].text == tiny.model.tokenizer.decode(answer.token_ids)
    assert heard.samples[-1].prompt == tiny.model.tokenizer.decode(prompt)
    generator.destroy()
    adapter.destroy()


def test_words_to_continue_can_be_given(tiny: Tiny) -> None:
    heard = follow(tiny, changed(steps=1, sample_every=1, sample_prompt="the sea"))
    assert [item.prompt for item in heard.samples] == ["the sea", "the sea"]
    with pytest.raises(ConfigError, match="sample_prompt has 1,001 tokens: give from 1 to"):
        follow(tiny, changed(sample_prompt="\x00" * 1001))


def test_patience_counts_readings_without_a_better_one() -> None:
    stop = EarlyStop(2)
    losses = [3.0, 2.0, 2.5, 1.9, 2.0, float("nan")]
    better = [stop.judge(step, loss) for step, loss in enumerate(losses, start=1)]
    assert better == [True, True, False, True, False, False]
    assert stop.is_due
    assert (stop.best_step, stop.best_loss) == (4, 1.9)
    never = EarlyStop(0)
    for step in range(1, 9):
        never.judge(step, float(step))
    assert not never.is_due


def test_a_run_that_gets_worse_ends_early_with_its_best_adapter(tiny: Tiny, tmp_path: Path) -> None:
    # Random tokens: what is learnt of them by heart is of no use elsewhere.
    config = changed(
        steps=60, learning_rate=0.03, schedule="constant", warmup_steps=0, eval_every=3,
        sample_every=0, early_stop_patience=3, checkpoint_every=3,
    )  # fmt: skip
    heard = follow(tiny, config, store=DirectoryStore(tmp_path))
    assert heard.result is not None
    assert heard.result.stopped_early
    assert not heard.result.stopped
    judged = [item for item in heard.evaluations if item.step]
    best = min(judged, key=lambda item: item.loss)
    assert heard.result.steps == best.step + 9 < 60
    assert heard.final == best
    until = follow(tiny, changed(**{**_fields(config), "steps": best.step}))
    assert until.parameters == heard.parameters
    # The checkpoint of its end knows that it had ended.
    again = follow(tiny, config, store=DirectoryStore(tmp_path), resumed=loaded(tmp_path))
    assert again.steps == []
    assert again.result is not None
    assert again.result.stopped_early
    assert again.parameters == heard.parameters


def _fields(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_evaluations_without_text_to_read_are_refused_at_once(tiny: Tiny) -> None:
    whole = dataset_of(tiny)
    dataset = Dataset(whole.train, None, 1, 0, 0)
    with pytest.raises(ConfigError, match="eval_every is 2 and nothing is kept aside"):
        follow(tiny, dataset=dataset)
    assert changed(eval_every=0, early_stop_patience=2).problems() == [
        "early_stop_patience is 2 and eval_every is 0: say after how many steps to read the "
        "held-out loss"
    ]


class FullStore(DirectoryStore):
    """A disk without room."""

    async def write(self, name: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_once_and_the_run_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    heard = follow(tiny, changed(checkpoint_every=2), store=FullStore(tmp_path))
    assert heard.result is not None
    assert heard.result.steps == STEPS
    (warning,) = heard.warnings
    assert "No space left on device" in warning
    assert "the run goes on" in warning
    assert heard.told() == follow(tiny).told()


def test_an_evaluation_that_fails_ends_no_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise OutOfGpuMemoryError("there is no room for it")

    monkeypatch.setattr("app.runs.course.evaluate", fail)
    with pytest.raises(OutOfGpuMemoryError):  # only the one after the end fails aloud
        follow(tiny)
    monkeypatch.setattr("app.runs.course.Course.final_evaluation", _nothing)
    heard = follow(tiny)
    assert len(heard.steps) == STEPS
    (warning,) = heard.warnings
    assert "there is no room" in warning


async def _nothing(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"learning_rate": 0.5}, "learning_rate is 0.5 and was 0.01"),
        ({"steps": 99, "optimizer": "adafactor"}, "optimizer is adafactor and was adamw"),
        ({"max_seq_len": 11}, "max_seq_len is 11 and was 12"),
    ],
)
def test_other_settings_are_refused_by_name(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    follow(tiny, store=DirectoryStore(tmp_path), stop_after=CUT)
    with pytest.raises(CheckpointError) as caught:
        follow(tiny, changed(**settings), resumed=loaded(tmp_path))
    assert sentence in str(caught.value)
    assert "corpus" not in str(caught.value)
    assert "begin anew" in str(caught.value)
    for name in set(settings):
        assert f"{name} is" in str(caught.value)


def test_another_corpus_or_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    follow(tiny, store=DirectoryStore(tmp_path), stop_after=CUT)
    kept = loaded(tmp_path)
    with pytest.raises(CheckpointError, match="the corpus is another one"):
        follow(tiny, resumed=kept, dataset=dataset_of(tiny, seed=6))
    document = json.loads(json.dumps(kept.document))
    document["identity"]["model"] = "0" * 64
    other = Checkpoint(kept.run, kept.step, document, kept.arrays)
    with pytest.raises(CheckpointError, match="the weights of Tiny Random are others"):
        follow(tiny, resumed=other)
    document["identity"]["base_name"] = "Another"
    with pytest.raises(CheckpointError, match="model is Tiny Random and was Another"):
        follow(tiny, resumed=Checkpoint(kept.run, kept.step, document, kept.arrays))
    del document["progress"]
    document["identity"] = kept.document["identity"]
    with pytest.raises(CheckpointError, match="cannot be read by"):
        follow(tiny, resumed=Checkpoint(kept.run, kept.step, document, kept.arrays))


def test_how_often_is_evaluated_and_kept_may_change(tiny: Tiny, tmp_path: Path) -> None:
    follow(tiny, store=DirectoryStore(tmp_path), stop_after=CUT)
    rest = follow(tiny, changed(eval_every=0, checkpoint_every=1), resumed=loaded(tmp_path))
    assert rest.result is not None
    assert rest.result.steps == STEPS


def test_another_device_is_told(tiny: Tiny, tmp_path: Path) -> None:
    follow(tiny, store=DirectoryStore(tmp_path), stop_after=CUT)
    kept = loaded(tmp_path)
    document = {**kept.document, "device": {"name": "another"}}
    rest = follow(tiny, resumed=Checkpoint(kept.run, kept.step, document, kept.arrays))
    (warning,) = rest.warnings
    assert "another device" in warning


def test_the_record_tells_the_run_and_none_of_its_text(tiny: Tiny) -> None:
    heard = follow(tiny)
    record = json.loads(json.dumps(heard.record, allow_nan=False))
    assert (record["format"], record["version"]) == ("lora-lab-run", 1)
    assert record["settings"]["learning_rate"] == CONFIG.learning_rate
    assert record["adapter"]["rank"] == LORA.rank
    assert record["history"]["loss"] == [step.loss for step in heard.steps]
    assert record["history"]["step"] == list(range(1, STEPS + 1))
    assert [item["step"] for item in record["evaluations"]] == [0, 2, 4, 6, 8]
    assert record["result"]["steps"] == STEPS
    assert record["device"]["name"] == tiny.device.info.name
    (file,) = record["corpus"]["files"]
    assert file["num_characters"] == 19
    text = json.dumps(record)
    assert "secret" not in text
    assert heard.samples[-1].text not in text
