"""The README.md beside an adapter: what it was made of, how, and what it may be used for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.config import LoraConfig

BASE_LICENSES = {"HuggingFaceTB/SmolLM2-135M-Instruct": "apache-2.0"}
"""Licences of models that come with this program; others are for the person to look up."""


@dataclass(frozen=True)
class TrainingFacts:
    """What a run was and came to; never the text itself.

    Attributes:
        settings: All settings of the run by name.
        num_tokens: Tokens in the training windows; `num_eval_tokens` in those kept aside.
        steps: Updates made.
        first_loss: Mean negative log-likelihood of the first step, in nats; `final_loss` of the
            last.
        perplexities: (base, adapter) where they were measured, and on what.
    """

    settings: Mapping[str, Any]
    num_tokens: int
    num_eval_tokens: int
    steps: int
    first_loss: float
    final_loss: float
    perplexities: tuple[float, float] | None = None
    measured_on: str = ""


def model_card(
    lora: LoraConfig, base_name: str, facts: TrainingFacts | None = None, *, name: str = ""
) -> str:
    """Return a README.md for the adapter's folder or repository.

    Args:
        lora: The adapter's settings.
        base_name: The model that it was made for.
        facts: Of the run, where it is known.
        name: What the person calls the adapter.
    """
    # Only "owner/name" is a valid base_model on the Hub; free text would be refused there.
    is_id = re.fullmatch(r"[\w.-]+/[\w.-]+", base_name) is not None
    base_line = f"base_model: {base_name}\n" if is_id else ""
    title = " ".join(name.split()) or f"LoRA adapter for {base_name}"
    parts = [
        f"---\nlibrary_name: peft\npipeline_tag: text-generation\n{base_line}tags:\n- lora\n---\n",
        f"# {title}\n",
        f"A LoRA adapter for {base_name}, trained with LoRA Lab, on device. Rank {lora.rank}, "
        f"alpha {lora.alpha:g}, on {', '.join(lora.target_modules)}.\n",
        _usage(base_name),
        "The base was held in quantized form during training; on the unquantized base the "
        "adapter behaves almost, not exactly, the same.\n",
    ]
    if facts is not None:
        parts.append(_training(facts))
    parts.append(_license(base_name))
    return "\n".join(parts)


def _usage(base_name: str) -> str:
    return f"""```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained({json.dumps(base_name)})
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```
"""


def _training(facts: TrainingFacts) -> str:
    lines = [
        "## Training\n",
        f"- Text: {facts.num_tokens:,} tokens learnt from, {facts.num_eval_tokens:,} kept aside. "
        "The text itself is not part of this folder.",
        f"- Steps: {facts.steps:,}",
        f"- Loss: {facts.first_loss:.4f} at the first step, {facts.final_loss:.4f} at the last "
        "(mean negative log-likelihood, in nats)",
    ]
    if facts.perplexities is not None:
        base, adapter = facts.perplexities
        lines.append(f"- Perplexity on {facts.measured_on}: {base:.2f} base, {adapter:.2f} adapter")
    # Where the steps are given, the passes over the text had no say.
    idle = {"epochs"} if facts.settings.get("steps") is not None else set()
    told = {name: value for name, value in facts.settings.items() if name not in idle}
    rows = [f"| {name} | {_cell(value)} |" for name, value in told.items()]
    return "\n".join([*lines, "", "| setting | value |", "|---|---|", *rows, ""])


def _license(base_name: str) -> str:
    known = BASE_LICENSES.get(base_name)
    base = (
        f"{base_name} is published under {known}"
        if known
        else f"look up the licence of {base_name} where you got it"
    )
    return (
        "## Licence\n\n"
        f"An adapter is of use only with its base model, whose licence goes on to hold: {base}. "
        "Whether the text that it learnt from may be used so is for you to know; name your own "
        "licence for the adapter here before you pass it on.\n"
    )


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
