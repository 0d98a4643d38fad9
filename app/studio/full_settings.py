"""Settings of a run of all weights in the page: what is suggested, refused, to be confirmed."""

from __future__ import annotations

from dataclasses import replace

from app.config import TrainConfig
from app.errors import ConfigError
from app.gpu.budget import format_bytes
from app.gpu.device import Device
from app.messages import say, whole
from app.models.loader import Model
from app.plan.full import check_full_settings, is_slow, slowness, what_it_takes
from app.plan.mode_plan import ModePlan

LEARNING_RATE = 1e-4
"""An adapter begins at nothing and takes ten times as much; whole weights lose what they know."""

MAX_BEST_BYTES = 300_000_000
"""Of the weights of the best evaluation, which lie in Python's memory."""


def suggested_full(config: TrainConfig, *, is_software: bool) -> TrainConfig:
    """Return what is suggested for all weights where `config` is for an adapter.

    adam8bit keeps a quarter of AdamW's memory; on a software adapter it takes four times as long.
    """
    optimizer = config.optimizer if is_software else "adam8bit"
    return replace(config, learning_rate=LEARNING_RATE, optimizer=optimizer)


def check_page_settings(config: TrainConfig, model: Model) -> None:
    """Refuse what a run of all weights cannot be given in the page.

    Raises:
        ConfigError: names the settings.
    """
    check_full_settings(config, has_adapter=False)
    problems = []
    shape = model.config
    weights = shape.num_matmul_parameters
    if not shape.tie_word_embeddings:
        weights += shape.vocab_size * shape.hidden_size
    size = int(weights * (4 if config.full_weights == "f32" else 2))
    if config.early_stop_patience and size > MAX_BEST_BYTES:
        problems.append(
            say(
                "{setting} is {given}: to go back to its best the "
                "run keeps a copy of all weights, {size}, and this page has room for "
                "{max_best_bytes}; leave it 0, or use the command line",
                setting="early_stop_patience",
                given=config.early_stop_patience,
                size=format_bytes(size),
                max_best_bytes=format_bytes(MAX_BEST_BYTES),
            )
        )
    if problems:
        raise ConfigError(*problems)


def confirmation(plan: ModePlan, device: Device, gflops: float) -> str:
    """Return what a person should read and confirm before a run; '' where that is not needed."""
    if not plan.is_feasible or not is_slow(gflops):
        return ""
    takes = what_it_takes(plan)
    return say("{takes} {slowness}", takes=whole(takes), slowness=whole(slowness(device, gflops)))
