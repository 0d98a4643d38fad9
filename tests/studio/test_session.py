"""A session from boot to adapter, on the native device with a tiny random model."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest

from app.io.adapter import adapter_from_bytes
from app.io.gguf import read_gguf
from app.io.safetensors import read_safetensors, write_safetensors
from app.io.source import MemorySource
from tests.conftest import run
from tests.peak import Peak
from tests.studio.conftest import TEXT, Page, chat_fields, run_fields
from tests.tiny_folder import as_folder, make_tiny_folder
from tests.tiny_model import make_tiny_gguf

pytestmark = pytest.mark.gpu

QUESTION = "What did the keeper write?"


def test_boot_tells_gpu_settings_and_model(page: Page) -> None:
    async def story() -> None:
        await page.session.start()
        assert page.events("gpu")[0]["name"] == page.device.info.name
        assert page.events("settings")[0]["fields"][0]["name"] == "rank"
        assert "no model" in (await page.refused("count-tokens", corpus={"text": "a"})).lower()
        model = await page.ask("load-model", source="tiny.gguf")
        assert model["num_layers"] == 2
        assert model["weights_bytes"] > 0
        assert page.statuses() == ["loading", "ready"]
        progress = page.events("model-progress")
        assert progress[-1]["loaded_bytes"] == progress[-1]["total_bytes"]

    run(story())


def test_a_folder_is_quantized_as_asked(page: Page) -> None:
    types = {"projection": "F16", "embedding": "F16"}
    page.sources["mine"] = as_folder(make_tiny_folder(make_tiny_gguf(types=types)), "mine")

    async def story() -> None:
        await page.session.start()
        sizes = {}
        for kind in ("none", "int4", "nf4"):
            model = await page.ask("load-model", source="mine", quantize=kind)
            assert (model["name"], model["quantization"]) == ("mine", kind)
            sizes[kind] = model["weights_bytes"]
        assert max(sizes["nf4"], sizes["int4"]) < sizes["none"] / 2
        sentence = await page.refused("load-model", source="mine", quantize="int3")
        assert sentence.startswith("Quantize is 'int3': choose from none, int4, ")
        sentence = await page.refused("load-model", source="tiny.gguf", quantize="nf4")
        assert "is quantized already (Q4_1)" in sentence
        assert (await page.ask("count-tokens", corpus={"text": "a"}))["num_tokens"] == 1

    run(story())


def test_counts_are_the_tokenizers_and_a_newer_text_gives_up_an_older_one(loaded: Page) -> None:
    async def story() -> None:
        older, newer = await asyncio.gather(
            loaded.send("count-tokens", corpus={"text": "an older text. " * 20_000}),
            loaded.ask("count-tokens", corpus={"text": TEXT}),
        )
        assert older["kind"] == "SupersededError"
        tokenizer = loaded.session.place.model.tokenizer  # type: ignore[union-attr]
        assert newer == {"num_tokens": len(tokenizer.encode(TEXT)), "num_characters": len(TEXT)}

    run(story())


def test_a_run_takes_the_memory_and_steps_of_its_plan(
    loaded: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = Peak(loaded.device, monkeypatch)

    def begin(message: dict[str, Any]) -> None:
        if message.get("type") == "preparing":  # from here on: the device was measured before
            peak.most = min(peak.most, loaded.device.allocated_bytes)

    loaded.listen(begin)

    async def story() -> None:
        planned = await loaded.ask("plan", **run_fields())
        assert planned["problem"] == ""
        assert sum(planned["bytes"].values()) == planned["total_bytes"]
        assert planned["seconds"] > 0
        before = loaded.device.allocated_bytes
        loaded.heard.clear()
        result = await loaded.train()
        ran = loaded.events("plan")[-1]
        assert ran["settings"] == planned["settings"]
        assert ran["total_bytes"] == planned["total_bytes"]
        # What is told is what steps hold; evaluations and samples come and go beside it.
        told = max(event["allocated_bytes"] for event in loaded.events("memory"))
        assert told == planned["total_bytes"] - planned["bytes"]["evaluation"]
        assert peak.most == planned["total_bytes"]
        assert not loaded.events("evaluation")  # the text is too short to keep any of it aside
        assert len(loaded.events("sample")) == 4  # before, and after each of three steps
        steps = loaded.events("step")
        assert [step["step"] for step in steps] == [1, 2, 3]
        assert result["steps"] == planned["num_steps"] == 3
        assert result["first_loss"] == steps[0]["loss"]
        assert result["final_loss"] == steps[-1]["loss"]
        assert all(math.isfinite(step["loss"]) and not step["skipped"] for step in steps)
        assert loaded.statuses()[-2:] == ["training", "ready"]
        adapter_bytes = loaded.device.allocated_bytes - before
        assert 0 < adapter_bytes <= planned["bytes"]["adapter"]

    run(story())


def test_a_plan_compares_and_stands_on_real_steps_once_there_are_some(loaded: Page) -> None:
    async def story() -> None:
        planned = await loaded.ask("plan", **run_fields(steps=5))
        adapter, full = planned["modes"]
        assert (adapter["mode"], adapter["selected"], adapter["feasible"]) == (
            "adapter",
            True,
            True,
        )
        assert adapter["settings"] == planned["settings"]
        assert adapter["bytes"]["total"] == planned["total_bytes"]
        assert adapter["seconds_low"] < adapter["seconds"] < adapter["seconds_high"]
        assert adapter["basis"] == "probe"
        assert full["selected"] is False
        # All weights, their gradients and moments take more than what an adapter does.
        assert full["feasible"] is True
        assert full["num_trained"] > adapter["num_trained"]
        assert full["bytes"]["total"] == sum(full["bytes"].values()) / 2
        assert full["flops_per_token"] > adapter["flops_per_token"]

        loaded.heard.clear()
        await loaded.train(steps=5)
        first, rebased = loaded.events("plan")
        assert first["modes"][0]["basis"] == "probe"
        assert rebased["modes"][0]["basis"] == "calibration"
        assert rebased["total_bytes"] == first["total_bytes"]
        kinds = [event.get("type") for event in loaded.heard]
        assert kinds[: kinds.index("plan", kinds.index("step"))].count("step") == 3
        again = await loaded.ask("plan", **run_fields(steps=5))
        assert again["modes"][0]["basis"] == "calibration"
        other = await loaded.ask("plan", **run_fields(steps=5, max_seq_len=16))
        assert other["modes"][0]["basis"] == "similar"

    run(story())


def test_what_does_not_fit_is_changed_or_comes_with_its_remedy(loaded: Page) -> None:
    async def story() -> None:
        alone = {"gradient_checkpointing": "off", "eval_every": 0, "sample_every": 0}
        roomy = await loaded.ask("plan", **run_fields(**alone))
        memory = (roomy["total_bytes"] - 1) / 1e9
        # Nobody asked for two windows at once: they may be one.
        edits = alone | {"device_memory_gb": memory, "max_seq_len": 32}
        fields = run_fields() | {"edits": edits | {"steps": 3}, "preset": "quick"}
        fitted = await loaded.ask("plan", **fields)
        assert fitted["modes"][0]["feasible"]
        assert fitted["total_bytes"] <= memory * 1e9

        pinned = await loaded.ask("plan", **run_fields(**edits))
        assert not pinned["modes"][0]["feasible"]
        warning, short = pinned["modes"][0]["warnings"]
        assert warning["remedy"]
        mended = await loaded.ask("plan", **run_fields(**edits | warning["settings"]))
        assert mended["modes"][0]["feasible"]
        # Three steps do not come to the end of the text, as before.
        assert [one["settings"] for one in mended["modes"][0]["warnings"]] == [short["settings"]]

    run(story())


def test_presets_go_further_one_after_the_other(loaded: Page) -> None:
    async def story() -> None:
        loaded.heard.clear()
        await loaded.session.start()
        names = [preset["name"] for preset in loaded.events("settings")[0]["presets"]]
        assert names == ["quick", "balanced", "thorough"]
        fields = run_fields() | {"edits": {}}
        plans = [await loaded.ask("plan", **fields, preset=name) for name in names]
        tokens = [plan["num_steps"] * plan["tokens_per_step"] for plan in plans]
        assert tokens == sorted(tokens)
        assert plans[1]["suggested"] == (await loaded.ask("plan", **fields))["suggested"]
        assert "choose from" in await loaded.refused("plan", **fields, preset="endless")

    run(story())


def test_the_adapter_comes_back_from_its_file_with_the_same_answer(
    loaded: Page, tiny_gguf: bytes
) -> None:
    async def story() -> None:
        base = await loaded.chat(QUESTION, use_lora=False)
        await loaded.train(steps=12, learning_rate=0.02)
        tuned = await loaded.chat(QUESTION, use_lora=True)
        assert tuned["text"] != base["text"]
        assert (await loaded.chat(QUESTION, use_lora=False))["text"] == base["text"]
        exported = await loaded.ask("export-adapter")

        later = Page(loaded.device)
        later.sources["tiny.gguf"] = tiny_gguf
        await later.session.start()
        await later.ask("load-model", source="tiny.gguf")
        file = MemorySource(exported["bytes"], exported["filename"])
        info = await later.ask("import-adapter", file=file, name=file.name, config=None)
        assert (info["rank"], info["origin"]) == (4, "loaded")
        again = await later.chat(QUESTION, use_lora=True)
        later.session.close()
        assert again["text"] == tuned["text"]

    run(story())


def test_a_low_bit_adapter_comes_back_from_its_packed_file(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=12, learning_rate=0.02, adapter_bits="2")
        assert loaded.events("adapter")[-1]["adapter"]["bits"] == 2
        assert loaded.events("plan")[-1]["settings"]["adapter_bits"] == 2
        tuned = await loaded.chat(QUESTION, use_lora=True)
        exported = await loaded.ask("export-adapter")
        assert len(exported["packed"]) < len(exported["bytes"]) / 4
        for name, data, bits in (
            (exported["filename"], exported["bytes"], 32),
            (exported["packed_filename"], exported["packed"], 2),
        ):
            file = MemorySource(data, name)
            info = await loaded.ask("import-adapter", file=file, name=name, config=None)
            assert info["bits"] == bits
            assert (await loaded.chat(QUESTION, use_lora=True))["text"] == tuned["text"]
        assert "packed" in await loaded.ask("export-adapter")

    run(story())


def test_switching_in_mid_conversation_answers_from_the_same_history(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=12, learning_rate=0.02)
        first = await loaded.chat(QUESTION, use_lora=True)
        history = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": first["text"]},
            {"role": "user", "content": "And then?"},
        ]
        switched = await loaded.chat("", use_lora=False, messages=history)
        fresh = await loaded.chat("", use_lora=False, messages=history)
        assert switched["text"] == fresh["text"]
        streamed = "".join(
            event["text"] for event in loaded.events("token") if event["request"] == 4
        )
        assert streamed.strip() == switched["text"]

    run(story())


def test_pause_chat_resume_and_stop(loaded: Page) -> None:
    async def story() -> None:
        paused = asyncio.Event()

        def on_message(message: dict[str, object]) -> None:
            if message.get("type") == "step" and message["step"] == 2:
                pausing.append(asyncio.ensure_future(loaded.ask("pause")))
                paused.set()

        pausing: list[asyncio.Future[object]] = []
        loaded.listen(on_message)
        training = asyncio.ensure_future(loaded.train(steps=500))
        await paused.wait()
        await pausing[0]
        while loaded.statuses()[-1] != "paused":
            await asyncio.sleep(0.01)
        count = len(loaded.events("step"))
        answer = await loaded.chat(QUESTION, use_lora=True)
        assert answer["num_tokens"] > 0
        assert loaded.statuses()[-2:] == ["generating", "paused"]
        await asyncio.sleep(0.3)
        assert len(loaded.events("step")) == count  # the word is not said before it is so
        assert "stop" in (await loaded.refused("load-model", source="tiny.gguf"))
        await loaded.ask("resume")
        assert loaded.statuses()[-1] == "training"
        await asyncio.sleep(0.3)
        await loaded.ask("stop")
        result = await training
        assert result["stopped"]
        assert 2 <= result["steps"] < 500
        assert loaded.events("adapter")[-1]["adapter"]["steps"] == result["steps"]
        assert loaded.statuses()[-1] == "ready"

    run(story())


def test_a_new_run_starts_fresh_and_the_adapter_before_stays_on_the_shelf(loaded: Page) -> None:
    async def story() -> None:
        first = await loaded.train()
        adapter = loaded.session.place.adapters.current
        assert adapter is not None
        trained = await adapter.tensors()
        again = await loaded.train()
        assert again["first_loss"] == first["first_loss"]
        assert loaded.session.place.adapters.current is not adapter
        shelf = loaded.events("adapter")[-1]["shelf"]
        assert [item["name"] for item in shelf] == ["Run 1", "Run 2"]
        kept = await adapter.tensors()
        for path, (a, b) in trained.items():
            assert np.array_equal(kept[path][0], a)
            assert np.array_equal(kept[path][1], b)
        more = await loaded.ask("train", **run_fields(keep_adapter=True), run_name="Run 7")
        assert more["first_loss"] < first["first_loss"]
        told = loaded.events("adapter")[-1]
        assert (told["adapter"]["steps"], told["adapter"]["name"]) == (6, "Run 7")
        assert len(told["shelf"]) == 2
        # Another model is chosen: what was never downloaded is handed out.
        await loaded.ask("load-model", source="tiny.gguf")
        handed = [event["bytes"] for event in loaded.events("adapter-replaced")]
        assert len(handed) == 2
        model = loaded.session.place.model
        assert model is not None
        tensors, _ = adapter_from_bytes(handed[0], None, model.config)
        for path, (a, b) in trained.items():
            assert np.array_equal(tensors[path][0], a)
            assert np.array_equal(tensors[path][1], b)
        assert loaded.events("adapter")[-1]["shelf"] == []

    run(story())


def test_evaluate_reads_the_same_windows_with_base_and_adapter(loaded: Page) -> None:
    async def story() -> None:
        before = await loaded.ask("evaluate", **run_fields())
        assert before["lora"] is None
        assert not before["stopped"]
        await loaded.train(steps=20, learning_rate=0.02)
        after = await loaded.ask("evaluate", **run_fields(eval_fraction=0))
        assert after["lora"]["num_predicted"] == after["base"]["num_predicted"]
        assert after["lora"]["perplexity"] < after["base"]["perplexity"]
        assert after["base"]["perplexity"] == pytest.approx(math.exp(after["base"]["loss"]))

    run(story())


def test_an_evaluation_knows_the_text_of_the_run(loaded: Page) -> None:
    async def story() -> None:
        async def source(text: str, **edits: Any) -> str:
            return str((await loaded.ask("evaluate", **run_fields(text, **edits)))["source"])

        other = "Zebras quarrel; vex 9876!" * 9
        assert await source(TEXT) == "learnt"  # nothing is trained yet: what would be learnt
        await loaded.train()
        assert await source(TEXT) == "learnt"
        # All of it was learnt, whatever the next run would keep aside.
        assert await source(TEXT, eval_fraction=0.3) == "learnt"
        assert await source(other) == "other"
        assert await source(other, eval_fraction=0.3) == "other"
        # The same adapter, trained on with the second text, knows both.
        await loaded.ask("train", **run_fields(other, keep_adapter=True))
        assert [await source(TEXT), await source(other)] == ["learnt", "learnt"]
        file = (await loaded.ask("export-adapter"))["bytes"]
        loading = {"file": MemorySource(file, "a.safetensors"), "name": "a", "config": None}
        await loaded.ask("import-adapter", **loading)
        assert await source(TEXT) == "unknown"
        assert "evaluate" in await loaded.refused("evaluate", **run_fields(), text="x")

    run(story())


def test_an_evaluation_says_what_the_adapter_has_learnt(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=20, learning_rate=0.02, eval_fraction=0.3)
        kept = await loaded.ask("evaluate", **run_fields(eval_fraction=0.3))
        assert kept["source"] == "held-out"
        judged = kept["judgement"]
        assert judged["verdict"] == "learned"
        assert judged["gain"] == pytest.approx(
            kept["base"]["loss"] - kept["lora"]["loss"], rel=1e-4
        )
        assert judged["train_gain"] > 0
        assert 0 < judged["num_better"] <= judged["num_passages"]
        assert all(passage["text"] for passage in kept["passages"])
        other = await loaded.ask("evaluate", **run_fields(), text="Zebras quarrel; vex 9876!" * 9)
        assert other["source"] == "other"
        assert other["judgement"]["train_gain"] is None
        # The part that the run kept aside, whatever the next one would keep.
        same = await loaded.ask("evaluate", **run_fields(eval_fraction=0.7))
        assert (same["source"], same["judgement"]) == (kept["source"], kept["judgement"])
        assert other["base"]["num_predicted"] != kept["base"]["num_predicted"]
        (only,) = loaded.events("adapter")[-1]["shelf"]
        await loaded.ask("edit-adapter", adapter=only["id"], strength=0)
        nothing = await loaded.ask("evaluate", **run_fields(eval_fraction=0.3))
        assert nothing["lora"] == nothing["base"]
        assert nothing["judgement"]["verdict"] == "unchanged"

    run(story())


@pytest.mark.parametrize("text", ["", "  \n", "a"])
def test_a_text_without_two_tokens_is_refused_and_changes_nothing(loaded: Page, text: str) -> None:
    async def story() -> None:
        before = loaded.device.allocated_bytes
        sentence = await loaded.refused("train", **run_fields(text))
        assert "text" in sentence
        assert loaded.device.allocated_bytes == before
        assert loaded.statuses()[-1] == "ready"
        assert (await loaded.train())["steps"] == 3

    run(story())


def test_files_that_are_no_text_are_refused(loaded: Page) -> None:
    async def story() -> None:
        for data, word in ((b"\x00\x01\x02" * 9, "binary"), (b"caf\xe9 au lait", "UTF-8")):
            corpus = {"files": [{"file": MemorySource(data, "notes.txt"), "name": "notes.txt"}]}
            sentence = await loaded.refused("count-tokens", corpus=corpus)
            assert word in sentence
            assert "notes.txt" in sentence.lower()

    run(story())


def test_a_file_trains_like_the_text_in_it(loaded: Page) -> None:
    async def story() -> None:
        typed = await loaded.train()
        corpus = {"files": [{"file": MemorySource(TEXT.encode(), "a.txt"), "name": "a.txt"}]}
        chosen = await loaded.ask("train", **run_fields(corpus=corpus))
        assert chosen["final_loss"] == typed["final_loss"]

    run(story())


def test_a_bad_model_leaves_the_loaded_one_in_place(loaded: Page, tiny_gguf: bytes) -> None:
    async def story() -> None:
        await loaded.train()
        answer = await loaded.chat(QUESTION, use_lora=True)
        before = loaded.device.allocated_bytes
        loaded.sources |= {
            "short.gguf": tiny_gguf[:-100],
            "noise.gguf": b"GGUF" + bytes(range(256)) * 4,
            "foreign.gguf": make_tiny_gguf(metadata={"general.architecture": "mamba"}),
        }
        for name in ("short.gguf", "noise.gguf", "foreign.gguf"):
            sentence = await loaded.refused("load-model", source=name)
            assert len(sentence) > 20
            assert loaded.statuses()[-3:] == ["loading", "error", "ready"]
        assert loaded.device.allocated_bytes == before
        assert (await loaded.chat(QUESTION, use_lora=True))["text"] == answer["text"]

    run(story())


def test_a_bad_adapter_leaves_the_one_in_use(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=12, learning_rate=0.02)
        answer = await loaded.chat(QUESTION, use_lora=True)
        good = (await loaded.ask("export-adapter"))["bytes"]
        tensors, metadata = read_safetensors(good)
        name = next(iter(tensors))
        missing = {key: value for key, value in tensors.items() if key != name}
        bad = {
            "empty": b"",
            "truncated": good[:-8],
            "lying header": (2**40).to_bytes(8, "little") + good[8:],
            "missing tensor": write_safetensors(missing, metadata),
            "extra tensor": write_safetensors(tensors | {"other": tensors[name]}, metadata),
            "wrong shape": write_safetensors(
                tensors | {name: np.ascontiguousarray(tensors[name][:, :-1])}, metadata
            ),
            "not a number": write_safetensors(
                tensors | {name: np.full_like(tensors[name], np.nan)}, metadata
            ),
        }
        before = loaded.device.allocated_bytes
        for title, data in bad.items():
            file = MemorySource(data, f"{title}.safetensors")
            told = await loaded.refused("import-adapter", file=file, name=file.name, config=None)
            if title in ("empty", "truncated", "lying header"):
                assert told.lower().startswith(f"{title}.safetensors: ")
        assert loaded.device.allocated_bytes == before
        assert (await loaded.chat(QUESTION, use_lora=True))["text"] == answer["text"]

    run(story())


def test_a_newer_choice_of_model_supersedes_one_on_its_way(page: Page) -> None:
    async def story() -> None:
        page.sources["other.gguf"] = make_tiny_gguf(seed=1, layers=3)
        await page.session.start()
        first, second = await asyncio.gather(
            page.send("load-model", source="tiny.gguf"),
            page.send("load-model", source="other.gguf"),
        )
        assert first["kind"] == "SupersededError"
        assert second["result"]["num_layers"] == 3
        assert len(page.events("model")) == 1
        assert page.statuses()[-1] == "ready"

    run(story())


def test_a_model_that_is_given_up_for_another_is_no_error(page: Page) -> None:
    async def story() -> None:
        page.asleep["asleep.gguf"] = asyncio.Event()
        await page.session.start()
        asleep = asyncio.ensure_future(page.send("load-model", source="asleep.gguf"))
        other = asyncio.ensure_future(page.send("load-model", source="tiny.gguf"))
        for _ in range(20):  # until both wait
            await asyncio.sleep(0)
        page.asleep["asleep.gguf"].set()
        assert (await asleep)["kind"] == "SupersededError"
        assert (await other)["result"]["num_layers"] == 2
        assert "error" not in page.statuses()

    run(story())


def test_settings_out_of_range_and_an_absurd_size_are_refused_before_anything_is_allocated(
    loaded: Page,
) -> None:
    async def story() -> None:
        before = loaded.device.allocated_bytes
        assert "Rank is 0" in await loaded.refused("train", **run_fields(rank=0))
        assert "context" in await loaded.refused("train", **run_fields(max_seq_len=8192))
        assert await loaded.ask("check-settings", edits={"max_seq_len": 512, "rank": 8}) is None
        assert "context" in await loaded.refused("check-settings", edits={"max_seq_len": 513})
        edits = {"max_seq_len": 8192, "rank": "4", "seed": -1, "colour": 1, "eval_fraction": 1}
        for kind, text, last in (("train", "", "is empty"), ("plan", "a", "at least 2 tokens")):
            answer = await loaded.send(kind, **run_fields(text, **edits))
            told = answer["problems"]
            assert answer["error"] == " ".join(told)
            assert len(told) == len(edits) + 1
            for words in ("Window, in tokens is 8192", "Rank is '4'", "Seed is -1", "'colour'",
                          "Kept for evaluation is 1", last):  # fmt: skip
                assert sum(words in problem for problem in told) == 1
        assert loaded.device.allocated_bytes == before

    run(story())


def poisoned(gguf: bytes, token: str) -> bytes:
    """Return the model with infinities in the embedding of one token: its loss is not finite."""
    file = run(read_gguf(MemorySource(gguf)))
    table = file.tensors["token_embd.weight"]
    row_bytes = table.size_bytes // table.shape[0]
    row = table.offset + file.metadata["tokenizer.ggml.tokens"].index(token) * row_bytes
    infinity = np.float16(np.inf).tobytes()  # the scale that each Q8_0 block begins with
    return gguf[:row] + infinity + gguf[row + len(infinity) :]


def test_three_bad_steps_stop_the_run_and_keep_the_last_good_adapter(
    page: Page,
) -> None:
    async def story() -> None:
        await page.session.start()
        await page.ask("load-model", source="poisoned.gguf")
        one_bad = run_fields(TEXT + "Q" + TEXT, steps=None, epochs=1, eval_fraction=0)
        result = await page.ask("train", **one_bad)
        assert result["num_skipped"] == 1
        assert sum(step["skipped"] for step in page.events("step")) == 1
        page.heard.clear()
        bad_end = run_fields(TEXT + "Q" * 600, steps=None, epochs=1, eval_fraction=0)
        assert "finite" in await page.refused("train", **bad_end)
        assert [step["skipped"] for step in page.events("step")][-4:] == [False, True, True, True]
        assert page.statuses()[-2:] == ["error", "ready"]
        exported = await page.ask("export-adapter")
        tensors, _ = read_safetensors(exported["bytes"])
        assert all(np.isfinite(array).all() for array in tensors.values())
        assert any(array.any() for name, array in tensors.items() if "lora_B" in name)

    # Untied: a tied table would put the infinity into every token's logits.
    page.sources["poisoned.gguf"] = poisoned(make_tiny_gguf(tied=False), "Q")
    run(story())


def test_chat_stop_ends_an_answer_and_a_long_conversation_drops_its_oldest(loaded: Page) -> None:
    async def story() -> None:
        def stop_at_first(message: dict[str, object]) -> None:
            if message.get("type") == "token":
                stops.append(asyncio.ensure_future(loaded.ask("chat-stop")))

        stops: list[asyncio.Future[object]] = []
        loaded.listen(stop_at_first)
        answer = await loaded.chat(QUESTION, use_lora=False, max_new_tokens=200)
        if answer["stop_reason"] != "stop":  # the random model may end by itself at once
            assert answer["stop_reason"] == "stopped"
            assert answer["num_tokens"] < 200
        turns = [{"role": "user", "content": "word " * 40}, {"role": "assistant", "content": "ok"}]
        messages = turns * 8 + [{"role": "user", "content": "end"}]
        long = await loaded.chat("", use_lora=False, messages=messages)
        assert long["num_dropped"] > 0
        assert "shorten" in await loaded.refused("chat", **chat_fields("word " * 4000, False))

    run(story())


def test_preview_tells_what_a_run_learns_from(loaded: Page) -> None:
    async def story() -> None:
        lines = [
            {"prompt": "Who built the first mill?", "completion": " Ada built the first mill."},
            {"prompt": "Who built the first mill?", "completion": " Ada built the first mill."},
            {"text": "The harbour is frozen from November to March."},
        ]
        data = "\n".join(json.dumps(line) for line in lines).encode()
        corpus = {"files": [{"file": MemorySource(data, "a.jsonl"), "name": "a.jsonl"}]}
        fields = run_fields(corpus=corpus, packing="best-fit", max_seq_len=64, eval_fraction=0.0)
        preview = await loaded.ask("preview", **fields)
        assert preview["num_documents"] == 3
        assert preview["num_repeated"] == 1
        assert preview["repeated"][0]["count"] == 2
        tokens = [token for window in preview["windows"] for token in window]
        assert sum(token["is_first"] for token in tokens) == 3
        learned = "".join(token["text"] for token in tokens if token["is_learned"])
        assert "Ada built" in learned
        assert "Who" not in learned
        assert preview["num_tokens"] == len(tokens)
        assert preview["tables"] == []
        table = MemorySource(b"Frage;Antwort\nWer baute?;Ada baute.\n", "faq.csv")
        named = run_fields(corpus={"files": [{"file": table, "name": "faq.csv"}]}, eval_fraction=0)
        told = await loaded.ask("preview", **named)
        assert told["tables"] == [{"name": "faq.csv", "columns": ["Frage", "Antwort"]}]
        result = await loaded.ask("train", **run_fields(corpus=corpus, packing="dual", steps=2))
        assert result["steps"] == 2

    run(story())


def test_mistakes_in_records_are_told_with_their_lines(loaded: Page) -> None:
    async def story() -> None:
        source = MemorySource(b'{"text": 1}\n{"body": "x"}', "a.jsonl")
        corpus = {"files": [{"file": source, "name": "a.jsonl"}]}
        sentence = await loaded.refused("count-tokens", corpus=corpus)
        assert "line 1: text is a number" in sentence
        assert "line 2: has body" in sentence

    run(story())
