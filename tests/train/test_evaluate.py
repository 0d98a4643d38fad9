"""Loss and perplexity of a text, against float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from app.errors import ConfigError, OutOfGpuMemoryError
from app.nn.adapter import Adapter
from app.text.windows import Windows, make_windows
from app.train.control import RunControl
from app.train.evaluate import EvalResult, evaluate
from tests.conftest import run
from tests.nn.engine import LORA, Tensors, Tiny, random_tensors, random_tokens
from tests.tolerances import ENGINE_LOSS_ABS
from tests.train.runs import windows_of

pytestmark = pytest.mark.gpu


def reference_loss(tiny: Tiny, windows: Windows, tensors: Tensors) -> float:
    total = 0.0
    for index in range(windows.num_windows):
        tokens = windows.inputs(index)[None]
        targets = np.concatenate([tokens[:, 1:], [[-100]]], axis=1)
        total += tiny.reference.loss_and_gradients(tokens, targets, tensors, LORA, normalizer=1)[0]
    return total / windows.num_predicted


def evaluated(tiny: Tiny, adapter: Adapter | None, windows: Windows) -> EvalResult:
    result = run(evaluate(tiny.model, adapter, windows))
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("num_tokens", "max_seq_len"),
    [(2, 8), (5, 64), (96, 32), (100, 32), (97, 32), (98, 32), (60, 3)],
)
def test_against_float64(tiny: Tiny, num_tokens: int, max_seq_len: int) -> None:
    windows = windows_of(tiny, num_tokens, max_seq_len)
    adapter = tiny.adapter()
    tensors = random_tensors(tiny.config, LORA, 1)
    base, lora = (evaluated(tiny, which, windows) for which in (None, adapter))
    assert abs(base.loss - reference_loss(tiny, windows, {})) <= ENGINE_LOSS_ABS
    assert abs(lora.loss - reference_loss(tiny, windows, tensors)) <= ENGINE_LOSS_ABS
    assert base.loss != lora.loss
    for result in (base, lora):
        assert result.perplexity == pytest.approx(math.exp(result.loss), rel=1e-12)
        # A last window of one token predicts nothing and is dropped.
        dropped = int(num_tokens % max_seq_len == 1)
        assert result.num_tokens == num_tokens - dropped
        assert result.num_predicted == result.num_tokens - windows.num_windows
    adapter.destroy()


def test_does_not_depend_on_how_windows_are_grouped(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = windows_of(tiny, 7 * 16 + 5, 16)
    losses = []
    for together in (1, 16, 32, 48, 1024):
        monkeypatch.setattr("app.train.evaluate.MAX_TOKENS_TOGETHER", together)
        losses.append(evaluated(tiny, None, windows).loss)
    assert np.ptp(losses) <= ENGINE_LOSS_ABS / 4


def test_a_fresh_adapter_changes_nothing(tiny: Tiny) -> None:
    windows = windows_of(tiny, 80, 16)
    adapter = Adapter.create(tiny.config, tiny.device, LORA, 0)
    assert evaluated(tiny, adapter, windows).loss == evaluated(tiny, None, windows).loss
    adapter.destroy()


def test_twice_the_same(tiny: Tiny) -> None:
    windows = windows_of(tiny, 80, 16)
    assert evaluated(tiny, None, windows) == evaluated(tiny, None, windows)


def test_progress_and_stop(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.train.evaluate.MAX_TOKENS_TOGETHER", 16)
    windows = windows_of(tiny, 16 * 5, 16)
    heard: list[float] = []
    control = RunControl()
    result = run(evaluate(tiny.model, None, windows, control, heard.append))
    assert result is not None
    assert heard == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])

    def stop_after_two(part: float) -> None:
        heard.append(part)
        if len(heard) == 2:
            control.stop()

    heard.clear()
    assert run(evaluate(tiny.model, None, windows, control, stop_after_two)) is None
    assert len(heard) == 2


def test_refuses_what_cannot_be_computed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    context = tiny.config.max_position_embeddings
    windows = make_windows(random_tokens(tiny.config, context + 9), context + 1)
    with pytest.raises(ConfigError, match=f"a context of {context} tokens"):
        run(evaluate(tiny.model, None, windows))
    limits = replace(tiny.device.limits, max_buffer_bytes=1024)
    monkeypatch.setattr(tiny.device, "limits", limits)
    with pytest.raises(OutOfGpuMemoryError):
        run(evaluate(tiny.model, None, windows_of(tiny, 80, 16)))
