"""Frozen settings of a model, an adapter, a training run and a generation.

Field names are those of HuggingFace `config.json`, PEFT and the command line; the `help`
metadata of a field is its one-line explanation there and in the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from reprlib import repr as shown
from typing import Any, Literal, Self

from app.errors import ConfigError
from app.messages import Sentence, say, say_count

Schedule = Literal["constant", "linear", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "linear", "cosine")

OptimizerName = Literal["adamw", "adam8bit", "adafactor"]
OPTIMIZERS: tuple[OptimizerName, ...] = ("adamw", "adam8bit", "adafactor")

Packing = Literal["none", "dual", "best-fit"]
PACKINGS: tuple[Packing, ...] = ("none", "dual", "best-fit")

Curriculum = Literal["none", "tfidf"]
CURRICULA: tuple[Curriculum, ...] = ("none", "tfidf")

Checkpointing = Literal["auto", "on", "off"]
CHECKPOINTINGS: tuple[Checkpointing, ...] = ("auto", "on", "off")

ADAPTER_BITS = (32, 2, 1)
"""Bits of an element of A or B, as the model computes with it."""

RankScheduleName = Literal["fixed", "progressive", "adaptive", "hardware"]
RANK_SCHEDULES: tuple[RankScheduleName, ...] = ("fixed", "progressive", "adaptive", "hardware")

Quantization = Literal["none", "int4", "int4-symmetric", "nf4", "lowra"]
QUANTIZATIONS: tuple[Quantization, ...] = ("none", "int4", "int4-symmetric", "nf4", "lowra")
"""What becomes of F32, F16 and BF16 weights while a model is loaded; lowra is an experiment."""

LOWRA_BITS = 1.8
"""Average bits of a weight that lowra aims at where nothing is said."""

Mode = Literal["adapter", "full"]
MODES: tuple[Mode, ...] = ("adapter", "full")

FullWeights = Literal["f16", "f32", "int4"]
FULL_WEIGHTS: tuple[FullWeights, ...] = ("f16", "f32", "int4")
"""What all weights are stored in while they are trained."""

TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven linear projections of a Llama layer, in the order the engine records them."""

MAX_RANK = 256
MAX_SEQ_LEN = 8192
MAX_STEPS = 10**9
MAX_EPOCHS = 10**6


def is_whole(value: Any, low: int, high: float = float("inf")) -> bool:
    """Whether a value, of whatever type it was given as, is a whole number in range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value, of whatever type it was given as, is a finite number from low to high."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and low <= value <= high and abs(value) != math.inf


def is_flag(value: Any) -> bool:
    """Whether a value, of whatever type it was given as, is true or false."""
    return isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether a value, of whatever type it was given as, is text."""
    return isinstance(value, str)


def setting(default: Any, help: str) -> Any:
    """Return a dataclass field with a default and its explanation."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a decoder, in the names of HuggingFace `config.json`."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    name: str = ""

    def projection_shape(self, module: str) -> tuple[int, int]:
        """Return (out_features, in_features) of one of `TARGET_MODULES`."""
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        hidden, inner = self.hidden_size, self.intermediate_size
        return {
            "q_proj": (query, hidden),
            "k_proj": (key_value, hidden),
            "v_proj": (key_value, hidden),
            "o_proj": (hidden, query),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
        }[module]

    @property
    def num_matmul_parameters(self) -> int:
        """Weights that a token is multiplied with: all projections and the head."""
        layer = 0
        for module in TARGET_MODULES:
            out_features, in_features = self.projection_shape(module)
            layer += out_features * in_features
        return layer * self.num_hidden_layers + self.vocab_size * self.hidden_size


class _Checked:
    """Validation and strict construction shared by the settings below."""

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range; values of any type may be held."""
        raise NotImplementedError

    def check(self) -> Self:
        """Return self, or raise ConfigError that lists every setting out of range."""
        problems = self.problems()
        if problems:
            raise ConfigError(*problems)
        return self

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings, in the order of the form."""
        return tuple(item.name for item in fields(cls))  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; unknown keys and bad values are all reported at once."""
        known = cls.names()
        built = cls(**{key: tidied(key, value) for key, value in values.items() if key in known})
        problems = unknown_settings(values, known) + built.problems()
        if problems:
            raise ConfigError(*problems)
        return built


def unknown_settings(values: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    """Return one sentence on all the keys that are no settings, or nothing."""
    unknown = [shown(key) for key in values if key not in known]
    if not unknown:
        return []
    names, choices = ", ".join(unknown), ", ".join(sorted(known))
    return [
        say_count(
            len(unknown),
            "unknown setting {names}: choose from {choices}",
            "unknown settings {names}: choose from {choices}",
            names=names,
            choices=choices,
        )
    ]


def _wrong(name: str, value: Any, wanted: str) -> Sentence:
    """Return the sentence on a setting out of range."""
    return say("{setting} is {given}: {wanted}", setting=name, given=shown(value), wanted=wanted)


def _whole(low: int, high: int) -> Sentence:
    return say("give a whole number from {low} to {high}", low=low, high=high)


def _above(high: float) -> Sentence:
    return say("give a number above 0, up to {high}", high=f"{high}")


def _choose(choices: Iterable[str]) -> Sentence:
    return say("choose from {choices}", choices=", ".join(choices))


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def tidied(name: str, value: Any) -> Any:
    """Return a value in the form that the settings hold; what cannot be one stays as it is.

    JSON and JavaScript write 4 as 4.0 at times, and know lists only; modules may also be
    written as the command line takes them: with commas, or "all" (PEFT: "all-linear").
    """
    if isinstance(value, float) and value.is_integer() and name in WHOLE:
        return int(value)
    if name == "adapter_bits" and value in map(str, ADAPTER_BITS):
        return int(value)
    if name != "target_modules":
        return value
    if value in ("all", "all-linear"):
        return TARGET_MODULES
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class LoraConfig(_Checked):
    """A plain LoRA adapter: y += (alpha / rank) · B·A·x on the target modules."""

    rank: int = setting(4, "Width of the low-rank update; more learns more and costs more.")
    alpha: float = setting(8, "Strength of the update: its scale is alpha / rank.")
    target_modules: tuple[str, ...] = setting(
        TARGET_MODULES, "Which projections of every layer get an adapter."
    )
    use_rslora: bool = setting(
        False, "Rank-stabilised: the scale is alpha / √rank, so that a large rank learns as fast."
    )
    adapter_bits: int = setting(
        32, "Bits of a number in A and B; in 2 or 1 the adapter is a sixteenth or less as large."
    )

    @property
    def scaling(self) -> float:
        """Factor of the update: alpha / rank, or alpha / √rank (arXiv:2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range."""
        found: list[str] = []
        if not is_whole(self.rank, 1, MAX_RANK):
            found.append(_wrong("rank", self.rank, _whole(1, MAX_RANK)))
        if not is_number(self.alpha, 0, 1e6) or not self.alpha:
            found.append(_wrong("alpha", self.alpha, _above(1000000)))
        if not is_flag(self.use_rslora):
            found.append(_wrong("use_rslora", self.use_rslora, say("give true or false")))
        if not is_whole(self.adapter_bits, 1) or self.adapter_bits not in ADAPTER_BITS:
            found.append(_wrong("adapter_bits", self.adapter_bits, say("give 32, 2 or 1")))
        listed = _listed(self.target_modules)
        wrong = [shown(name) for name in listed if name not in TARGET_MODULES]
        if wrong or not listed:
            choices = ", ".join(TARGET_MODULES)
            found.append(
                say(
                    "{setting} has {wrong}: choose from {choices}",
                    setting="target_modules",
                    wrong=", ".join(wrong) or say("nothing"),
                    choices=choices,
                )
            )
        elif len(set(listed)) < len(listed):
            found.append(
                say("{setting} names a projection twice: give each once", setting="target_modules")
            )
        return found


@dataclass(frozen=True)
class TrainConfig(_Checked):
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
        "adamw", "adam8bit keeps a quarter of its memory, adafactor next to none."
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
                found.append(_wrong(name, value, _whole(low, high)))
        if self.steps is not None and not is_whole(self.steps, 1, MAX_STEPS):
            wanted = say("{range}, or nothing to go by epochs", range=_whole(1, MAX_STEPS))
            found.append(_wrong("steps", self.steps, wanted))
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
                found.append(_wrong(name, value, _choose(allowed)))
        positive = (("epochs", MAX_EPOCHS), ("learning_rate", 10), ("lora_plus_ratio", 1000))
        for name, high in positive:
            value = getattr(self, name)
            if not is_number(value, 0, high) or not value:
                found.append(_wrong(name, value, _above(high)))
        if not is_number(self.weight_decay, 0, 10):
            found.append(
                _wrong(
                    "weight_decay",
                    self.weight_decay,
                    say("give a number from {low} to {high}", low=0, high=10),
                )
            )
        if not is_number(self.max_grad_norm, 0, math.inf):
            found.append(
                _wrong("max_grad_norm", self.max_grad_norm, say("give 0 (off) or a number above"))
            )
        if not is_number(self.eval_fraction, 0, 1) or self.eval_fraction == 1:
            found.append(
                _wrong("eval_fraction", self.eval_fraction, say("give 0 or a share below 1"))
            )
        memory = self.device_memory_gb
        if memory is not None and (not is_number(memory, 0, 1e6) or not memory):
            found.append(
                _wrong(
                    "device_memory_gb",
                    memory,
                    say("give a number above 0, up to {high}", high="1e6"),
                )
            )
        if not is_text(self.sample_prompt):
            found.append(_wrong("sample_prompt", self.sample_prompt, say("give words")))
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


@dataclass(frozen=True)
class GenerationConfig(_Checked):
    """Settings of one answer."""

    max_new_tokens: int = setting(128, "Tokens after which an answer is cut.")
    temperature: float = setting(0.7, "0 always takes the likeliest token; higher is freer.")
    top_k: int = setting(0, "Choose among this many likeliest tokens; 0 is all.")
    top_p: float = setting(0.95, "Choose among the likeliest tokens that sum to this share.")
    repetition_penalty: float = setting(1.0, "Above 1 makes tokens already said less likely.")
    seed: int = setting(0, "Start of the random numbers; same seed, same answer.")
    stop_token_ids: tuple[int, ...] = setting((), "Tokens that end the answer.")

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range."""
        found: list[str] = []
        if not is_whole(self.max_new_tokens, 1):
            found.append(
                _wrong("max_new_tokens", self.max_new_tokens, say("give a whole number from 1"))
            )
        if not is_number(self.temperature, 0, 10):
            found.append(
                _wrong(
                    "temperature",
                    self.temperature,
                    say("give a number from {low} to {high}", low=0, high=10),
                )
            )
        if not is_whole(self.top_k, 0):
            found.append(_wrong("top_k", self.top_k, say("give 0 (all) or a whole number")))
        if not is_number(self.top_p, 0, 1) or not self.top_p:
            found.append(_wrong("top_p", self.top_p, say("give a share above 0, up to 1")))
        if not is_number(self.repetition_penalty, 0, 10) or not self.repetition_penalty:
            found.append(
                _wrong("repetition_penalty", self.repetition_penalty, say("give 1 (off) to 10"))
            )
        if not is_whole(self.seed, 0, 2**32 - 1):
            found.append(_wrong("seed", self.seed, _whole(0, 2**32 - 1)))
        return found


WHOLE = frozenset(
    item.name
    for config in (LoraConfig, TrainConfig, GenerationConfig)
    for item in fields(config)
    if str(item.type) in ("int", "int | None") or item.name == "alpha"
)
"""Settings that are whole numbers; alpha is one wherever it can be: PEFT's readers want that."""
