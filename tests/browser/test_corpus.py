"""Files of several kinds in the page: counted, previewed, trained on, in packed windows."""

from __future__ import annotations

import json

from playwright.sync_api import FilePayload, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio

LINES = [
    {"prompt": "Who keeps the light?", "completion": " Ostrimere keeps the light."},
    {
        "messages": [
            {"role": "user", "content": "When?"},
            {"role": "assistant", "content": "At dusk."},
        ]
    },
    {"text": "The harbour is frozen from November to March."},
]


def files() -> list[FilePayload]:
    """Return a table of conversations and a Markdown file."""
    table = "\n".join(json.dumps(line) for line in LINES)
    notes = "# Notes\n\nThe lamp is lit at dusk.\n\nThe lamp is lit at dusk.\n"
    return [
        {"name": "talk.jsonl", "mimeType": "application/jsonl", "buffer": table.encode()},
        {"name": "notes.md", "mimeType": "text/markdown", "buffer": notes.encode()},
    ]


def test_several_files_are_previewed_and_learnt_from(tiny: Studio) -> None:
    tiny.get("corpus-file").set_input_files(files())
    expect(tiny.page.locator("#corpus-chip-name")).to_contain_text("2 files")
    tiny.wait_counted()
    tiny.change_settings(
        packing="best-fit", max_seq_len=128, steps=2, eval_fraction=0, rank_schedule="progressive"
    )
    expect(tiny.page.locator("#plan-parts")).to_contain_text("Windows filled with text")
    expect(tiny.page.locator("#plan-parts")).to_contain_text("optimizer’s state")
    tiny.get("preview-open").click()
    dialog = tiny.get("preview-dialog")
    expect(dialog).to_contain_text("5 documents")
    expect(dialog).to_contain_text("1 line repeats an earlier one")
    learnt = "".join(dialog.locator(".token:not(.unlearned)").all_inner_texts())
    read = "".join(dialog.locator(".token.unlearned").all_inner_texts())
    assert "Ostrimere keeps the light." in learnt
    assert "Who keeps" not in learnt
    assert "Who keeps" in read
    assert dialog.locator(".token.afresh").count() == 5
    keep_screen(tiny.page, "corpus-preview")
    dialog.get_by_role("button", name="Close").click()
    assert len(tiny.train_to_end()) == 2
    expect(tiny.get("run-facts")).to_contain_text("adamw, state ")
    expect(tiny.get("run-facts")).to_contain_text("holds text (best-fit)")
    expect(tiny.get("ranks")).to_contain_text("since step 2: 56 in 14 projections")
    tiny.page.locator("#corpus-chip-remove").click()
    expect(tiny.page.locator("#corpus-chip")).to_be_hidden()
    expect(tiny.get("corpus-text")).to_be_focused()  # the pressed button is gone
    tiny.page.locator("#plan-open").click()
    tiny.page.locator("#plan-reset").click()
    tiny.page.locator("#plan-dialog").get_by_role("button", name="Done").click()


def test_mistakes_of_a_table_are_told_with_their_lines(tiny: Studio) -> None:
    broken: FilePayload = {
        "name": "broken.jsonl",
        "mimeType": "application/jsonl",
        "buffer": b'{"text": 1}\n{"body": "x"}',
    }
    tiny.get("corpus-file").set_input_files(broken)
    expect(tiny.get("error")).to_contain_text("line 1: text is a number")
    expect(tiny.get("error")).to_contain_text("line 2: has body")
    tiny.page.locator("#error-dismiss").click()
    expect(tiny.page.locator("#corpus-chip")).to_be_hidden()
