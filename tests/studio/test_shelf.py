"""Several adapters in one session: chosen, renamed, weighed, compared, packed up, taken away."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from app.io.source import MemorySource
from app.studio.adapters import MAX_ON_SHELF
from tests.conftest import run
from tests.studio.conftest import Page, chat_fields, run_fields

pytestmark = pytest.mark.gpu

QUESTION = "What did the keeper write?"


def shelf(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.events("adapter")[-1]["shelf"]
    return found


async def answer(page: Page, **fields: Any) -> str:
    text: str = (await page.ask("chat", **chat_fields(QUESTION, True), **fields))["text"]
    return text


async def put(page: Page, data: bytes, name: str, **fields: Any) -> dict[str, Any]:
    source = MemorySource(data, name)
    info: dict[str, Any] = await page.ask(
        "import-adapter", file=source, name=name, config=None, **fields
    )
    return info


def test_each_adapter_answers_as_itself_at_its_strength(loaded: Page) -> None:
    async def story() -> None:
        base = (await loaded.chat(QUESTION, use_lora=False))["text"]
        for rate in (0.02, 0.05):
            await loaded.train(steps=8, learning_rate=rate)
        one, two = (item["id"] for item in shelf(loaded))
        first, second = await answer(loaded, adapter=one), await answer(loaded, adapter=two)
        assert len({base, first, second}) == 3
        assert await answer(loaded) == second  # the newest was chosen
        await loaded.ask("edit-adapter", adapter=one, chosen=True, name="  First\n one ")
        assert await answer(loaded) == first
        told = loaded.events("adapter")[-1]
        assert (told["adapter"]["id"], told["adapter"]["name"]) == (one, "First one")

        await loaded.ask("edit-adapter", adapter=one, strength=0)
        assert await answer(loaded, adapter=one) == base
        await loaded.ask("edit-adapter", adapter=one, strength=1.0)
        assert await answer(loaded, adapter=one) == first
        await loaded.ask("edit-adapter", adapter=one, strength=2)
        assert shelf(loaded)[0]["strength"] == 2.0
        assert await answer(loaded, adapter=two) == second
        for strength in (-0.1, 2.1, float("nan"), "much", True):
            refused = await loaded.refused("edit-adapter", adapter=one, strength=strength)
            assert "strength is" in refused.lower()
        assert "name" in await loaded.refused("edit-adapter", adapter=one, name=" \n")
        assert shelf(loaded)[0]["strength"] == 2.0

        before = loaded.device.allocated_bytes
        await loaded.ask("delete-adapter", adapter=one)
        assert loaded.device.allocated_bytes < before
        assert await answer(loaded) == second
        sentence = await loaded.refused("chat", **chat_fields(QUESTION, True), adapter=one)
        assert "no longer on the shelf" in sentence
        await loaded.ask("delete-adapter", adapter=two)
        assert loaded.events("adapter")[-1]["adapter"] is None
        assert "no adapter yet" in await loaded.refused("chat", **chat_fields(QUESTION, True))

    run(story())


def test_strength_is_no_part_of_training_nor_of_the_file(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train()
        whole = (await loaded.ask("export-adapter"))["bytes"]
        (only,) = shelf(loaded)
        await loaded.ask("edit-adapter", adapter=only["id"], strength=0.5)
        assert (await loaded.ask("export-adapter"))["bytes"] == whole

    run(story())


def test_a_folder_is_a_peft_adapter_with_its_card_and_comes_back(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=8, learning_rate=0.02)
        await loaded.ask("evaluate", **run_fields(eval_fraction=0))
        said = await answer(loaded)
        (only,) = shelf(loaded)
        await loaded.ask("edit-adapter", adapter=only["id"], name="Night / watch")
        packed = await loaded.ask("export-adapter", adapter=only["id"], form="folder")
        assert packed["filename"] == "Night-watch.zip"
        with zipfile.ZipFile(io.BytesIO(packed["bytes"])) as archive:
            names = archive.namelist()
            card = archive.read("README.md").decode()
            weights = archive.read("adapter_model.safetensors")
        assert names == [
            *("adapter_model.safetensors", "adapter_config.json", "README.md", "run.json"),
        ]
        assert weights == (await loaded.ask("export-adapter"))["bytes"]
        assert "# Night / watch" in card
        assert "| learning_rate | 0.02 |" in card
        assert "Steps: 8" in card
        assert "Perplexity on" in card
        assert "keeper" not in card  # nothing of the text
        info = await put(loaded, packed["bytes"], "Night-watch.zip", strength=1.5, choose=False)
        assert (info["name"], info["strength"], info["origin"]) == (
            "Night-watch.zip",
            1.5,
            "loaded",
        )
        assert loaded.events("adapter")[-1]["adapter"]["id"] == only["id"]
        again = await put(loaded, packed["bytes"], "Night-watch.zip", choose=False)
        assert again["name"] == "Night-watch.zip (2)"  # two can be told apart
        await loaded.ask("delete-adapter", adapter=again["id"])
        await loaded.ask("edit-adapter", adapter=info["id"], strength=1)
        assert await answer(loaded, adapter=info["id"]) == said
        assert ".zip" in await loaded.refused(
            "import-adapter", file=MemorySource(b"PK", "bad.zip"), name="bad.zip", config=None
        )

    run(story())


def test_the_shelf_has_an_end_and_nothing_unsaved_falls_off_it(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train()
        trained = loaded.session.place.adapters.current
        assert trained is not None
        file = (await loaded.ask("export-adapter"))["bytes"]
        await loaded.train(learning_rate=0.01)  # never downloaded, and not chosen at the end
        held = loaded.device.allocated_bytes
        for number in range(MAX_ON_SHELF - 1):
            await put(loaded, file, f"{number}.safetensors")
        assert len(shelf(loaded)) == MAX_ON_SHELF
        assert not loaded.events("adapter-replaced")  # the first run had been downloaded
        await put(loaded, file, "last.safetensors")
        (handed,) = loaded.events("adapter-replaced")
        assert handed["bytes"] != file
        assert [item["name"] for item in shelf(loaded)][-1] == "last.safetensors"
        assert loaded.device.allocated_bytes <= held * MAX_ON_SHELF

    run(story())


def test_a_kept_adapter_comes_back_with_how_it_was_made(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train(steps=4, learning_rate=0.02, eval_fraction=0.3)
        (only,) = shelf(loaded)
        assert only["is_saved"] is False
        kept = await loaded.ask("export-adapter", peek=True)
        assert kept["filename"] == "adapter_model.safetensors"
        assert shelf(loaded)[0]["is_saved"] is False
        judged = await loaded.ask("evaluate", **run_fields())
        await loaded.ask("delete-adapter", adapter=only["id"])
        info = await put(loaded, kept["bytes"], "Run 7", made=kept["made"], is_saved=False)
        assert (info["origin"], info["steps"], info["name"]) == ("trained", 4, "Run 7")
        assert info["has_record"]
        assert not info["is_saved"]
        again = await loaded.ask("evaluate", **run_fields())
        assert (again["source"], again["judgement"]) == ("held-out", judged["judgement"])
        exported = await loaded.ask("export-adapter")
        assert exported["bytes"] == kept["bytes"]
        assert exported["record"] == kept["record"]
        assert shelf(loaded)[0]["is_saved"] is True
        await loaded.train()
        assert shelf(loaded)[1]["name"] == "Run 8"
        # What is not understood is left out; the adapter loads all the same.
        for made in ("{", "[]", '{"steps": 3}', kept["made"].replace("0.3", '"much"')):
            info = await put(loaded, kept["bytes"], "Cats", made=made, is_saved=False)
            assert (info["origin"], info["is_saved"]) == ("loaded", True)

    run(story())


def test_a_file_is_called_as_its_adapter_once_a_person_named_it(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train()
        (only,) = shelf(loaded)
        await loaded.ask("edit-adapter", adapter=only["id"], name=only["name"])
        named = await loaded.ask("export-adapter")
        assert named["filename"] == "adapter_model.safetensors"
        await loaded.ask("edit-adapter", adapter=only["id"], name="Night / watch")
        named = await loaded.ask("export-adapter")
        assert named["filename"] == "Night-watch.safetensors"
        info = await put(loaded, named["bytes"], "pirate.safetensors")
        again = await loaded.ask("export-adapter", adapter=info["id"])
        assert again["filename"] == "pirate.safetensors"

    run(story())
