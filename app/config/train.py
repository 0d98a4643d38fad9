"""How a run trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from reprlib import repr as shown

from app.config.checked import (
    Checked,
    above_zero,
    choose,
    is_number,
    is_text,
    is_whole,
    refusal,
    setting,
    whole_number,
)
from app.config.choices import (
    CHECKPOINTINGS,
    CURRICULA,
    FULL_WEIGHTS,
    MAX_EPOCHS,
    MAX_SEQ_LEN,
    MAX_STEPS,
    MAX_TOKENS,
    MODES,
    OPTIMIZERS,
    PACKINGS,
    RANK_SCHEDULES,
    SCHEDULES,
    Checkpointing,
    Curriculum,
    FullWeights,
    Mode,
    OptimizerName,
    Packing,
    RankScheduleName,
    Schedule,
)
from app.messages import say


@dataclass(frozen=True)
class TrainConfig(Checked):
    """Settings of one training run."""

    max_seq_len: int = setting(256, "Tokens in a window; a window is what the model sees at once.")
    micro_batch_size: int = setting(4, "Windows computed together.")
    gradient_accumulation_steps: int = setting(1, "Micro-batches summed before each update.")
    steps: int | None = setting(None, "Updates to make; leave empty to go by epochs.")
    epochs: float = setting(1.0, "Passes over the corpus, where steps is empty.")
    learning_rate: float = setting(1e-3, "Size of an update at its largest.")
    schedule: Schedule = setting("constant", "How the learning rate changes over the run.")
    warmup_steps: int = setting(0, "Updates over which the learning rate rises from zero.")
    optimizer: OptimizerName = setting(
        "adamw", "adam8bit takes a quarter of adamw's memory, adafactor next to none."
    )
    rank_schedule: RankScheduleName = setting(
        "fixed",
        "progressive grows to the rank, adaptive moves ranks between layers, hardware takes the "
        "largest that costs hardly any speed.",
    )
    lora_plus_ratio: float = setting(
        1.0, "Learning rate of B over that of A; LoRA+ takes about 16, 1 is off."
    )
    mode: Mode = setting("adapter", "full trains all weights of the model itself, no adapter.")
    full_weights: FullWeights = setting(
        "f16", "What full keeps the weights in: f32 is exact, f16 half as large, int4 smallest."
    )
    gradient_checkpointing: Checkpointing = setting(
        "auto",
        "Recompute each layer in the backward: much less memory, a third more time. auto does "
        "where keeping everything does not fit.",
    )
    device_memory_gb: float | None = setting(
        None, "Memory that a run may take, in GB; empty takes what is known, or assumes 4."
    )
    weight_decay: float = setting(0.0, "Pull of the adapter towards zero (decoupled, AdamW).")
    max_grad_norm: float = setting(1.0, "Gradients longer than this are scaled down; 0 is off.")
    packing: Packing = setting(
        "none", "Put whole documents together in a window: two, or as many as fit best."
    )
    curriculum: Curriculum = setting(
        "none", "tfidf visits windows of common words first, those of rare words last."
    )
    eval_fraction: float = setting(0.05, "Share of the text kept for evaluation.")
    seed: int = setting(0, "Start of the random numbers; same seed, same run.")
    eval_every: int = setting(0, "Steps between two readings of the held-out loss; 0 is off.")
    max_eval_tokens: int | None = setting(
        None,
        "Held-out tokens in each of these readings, in evenly spread windows; empty reads all.",
    )
    early_stop_patience: int = setting(
        0, "Readings in a row without a better one that end the run, at its best; 0 is off."
    )
    sample_every: int = setting(0, "Steps between two samples of what it writes; 0 is off.")
    sample_prompt: str = setting("", "What samples continue; empty: the text's own first words.")
    checkpoint_every: int = setting(
        0, "Steps between two checkpoints, from which a run can go on; 0 is off."
    )

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range."""
        found: list[str] = []
        whole = (
            ("max_seq_len", 2, MAX_SEQ_LEN),
            ("micro_batch_size", 1, 1024),
            ("gradient_accumulation_steps", 1, 4096),
            ("warmup_steps", 0, MAX_STEPS),
            ("seed", 0, 2**32 - 1),
            ("eval_every", 0, MAX_STEPS),
            ("early_stop_patience", 0, MAX_STEPS),
            ("sample_every", 0, MAX_STEPS),
            ("checkpoint_every", 0, MAX_STEPS),
        )
        for name, low, high in whole:
            value = getattr(self, name)
            if not is_whole(value, low, high):
                found.append(refusal(name, value, whole_number(low, high)))
        if self.steps is not None and not is_whole(self.steps, 1, MAX_STEPS):
            wanted = say("{range}, or nothing to go by epochs", range=whole_number(1, MAX_STEPS))
            found.append(refusal("steps", self.steps, wanted))
        most = self.max_eval_tokens
        if most is not None and not is_whole(most, 1, MAX_TOKENS):
            wanted = say("{range}, or nothing to read all", range=whole_number(1, MAX_TOKENS))
            found.append(refusal("max_eval_tokens", most, wanted))
        choices: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("schedule", SCHEDULES),
            ("rank_schedule", RANK_SCHEDULES),
            ("optimizer", OPTIMIZERS),
            ("packing", PACKINGS),
            ("mode", MODES),
            ("full_weights", FULL_WEIGHTS),
            ("curriculum", CURRICULA),
            ("gradient_checkpointing", CHECKPOINTINGS),
        )
        for name, allowed in choices:
            value = getattr(self, name)
            if value not in allowed:
                found.append(refusal(name, value, choose(allowed)))
        positive = (("epochs", MAX_EPOCHS), ("learning_rate", 10), ("lora_plus_ratio", 1000))
        for name, high in positive:
            value = getattr(self, name)
            if not is_number(value, 0, high) or not value:
                found.append(refusal(name, value, above_zero(high)))
        if not is_number(self.weight_decay, 0, 10):
            found.append(
                refusal(
                    "weight_decay",
                    self.weight_decay,
                    say("give a number from {low} to {high}", low=0, high=10),
                )
            )
        if not is_number(self.max_grad_norm, 0, math.inf):
            found.append(
                refusal("max_grad_norm", self.max_grad_norm, say("give 0 (off) or a number above"))
            )
        if not is_number(self.eval_fraction, 0, 1) or self.eval_fraction == 1:
            found.append(
                refusal("eval_fraction", self.eval_fraction, say("give 0 or a share below 1"))
            )
        memory = self.device_memory_gb
        if memory is not None and (not is_number(memory, 0, 1e6) or not memory):
            found.append(
                refusal(
                    "device_memory_gb",
                    memory,
                    say("give a number above 0, up to {high}", high="1e6"),
                )
            )
        if not is_text(self.sample_prompt):
            found.append(refusal("sample_prompt", self.sample_prompt, say("give words")))
        if is_whole(self.early_stop_patience, 1, MAX_STEPS) and self.eval_every == 0:
            found.append(
                say(
                    "{setting} is {given} and eval_every is 0: say after how many steps to read "
                    "the held-out loss",
                    setting="early_stop_patience",
                    given=shown(self.early_stop_patience),
                )
            )
        return found
