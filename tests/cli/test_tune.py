"""Which commands tune, and which only use what was tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.cli import main, opening
from app.cli.arguments import build_parser
from app.errors import ConfigError
from app.models.loader import Model
from app.plan.tuning_cache import FileStore
from app.plan.tuning_policy import Settled
from app.plan.tuning_report import TuningReport
from tests.tiny_model import make_tiny_gguf

TEXT = "The heron of Zembria sleeps on one leg. " * 8


def test_it_is_automatic_unless_said_otherwise() -> None:
    parser = build_parser()
    assert parser.parse_args(["bench"]).tune == "auto"
    assert parser.parse_args(["bench", "--tune", "never"]).tune == "never"
    with pytest.raises(ConfigError, match="invalid choice: 'maybe'"):
        parser.parse_args(["bench", "--tune", "maybe"])


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("command", "mode", "may_measure"),
    [("train", "auto", True), ("eval", "auto", False), ("chat", "always", False)],
)
def test_only_training_measures_unasked(
    command: str,
    mode: str,
    may_measure: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, bool]] = []

    async def settle(
        model: Model, store: Any, mode: str, *, may_measure: bool, on_progress: Any
    ) -> Settled:
        assert isinstance(store, FileStore)
        asked.append((mode, may_measure))
        on_progress("forward", 0.25)
        return Settled("measured", TuningReport((), 2.5))

    monkeypatch.setattr(opening, "settle_tuning", settle)
    model, text = tmp_path / "tiny.gguf", tmp_path / "text.txt"
    make_tiny_gguf(model)
    text.write_text(TEXT)
    settings = {
        "train": f"--corpus {text} --out {tmp_path} --steps 1 --max-seq-len 16 --eval-fraction 0",
        "eval": f"--text {text} --max-seq-len 16",
        "chat": "--prompt heron --raw --max-new-tokens 2",
    }
    more = settings[command].split()
    assert main([command, "--model", str(model), "--tune", mode, "--json", *more]) == 0
    assert asked == [(mode, may_measure)]
    told = capsys.readouterr().err
    assert " 25% tuning forward" in told
    assert "tuned in 2.5 s" in told
