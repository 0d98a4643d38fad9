"""What a plan tells a person: what was changed and why, what to beware of, what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.gpu.budget import MemoryBudget, format_bytes
from app.messages import Sentence, listed, say, say_count, whole
from app.plan.beside import SHARE
from app.plan.coverage import coverage
from app.plan.durations import format_duration, format_range
from app.plan.mode_plan import Advice, ModePlan

HALF_AN_HOUR = 1800.0
SLOW_SECONDS = 1.5 * HALF_AN_HOUR
"""A run longer than this is warned of: stopped at half an hour, it saves a third at least."""

LEAST_STEPS = 10
"""Fewer than this teach nothing; a shorter run is not offered."""

FREE_SETTINGS = (
    "max_seq_len",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "rank",
)
"""What may be changed to make a run fit."""

ADVISED_SETTINGS = (
    *FREE_SETTINGS,
    "full_weights",
    "optimizer",
    "eval_every",
    "early_stop_patience",
    "sample_every",
)
"""What a remedy may change."""


def describe_change(wanted: ModePlan, chosen: ModePlan) -> tuple[str, ...]:
    """Return a sentence for each thing that was changed, and why."""
    before, after = wanted.settings.train, chosen.settings.train
    why = _why(wanted)
    notes = []
    if after.max_seq_len != before.max_seq_len:
        notes.append(
            say(
                "Windows of {tokens} tokens, not {before}: {why}.",
                tokens=after.max_seq_len,
                before=before.max_seq_len,
                why=why,
            )
        )
    if after.micro_batch_size != before.micro_batch_size:
        parts = after.gradient_accumulation_steps
        same = parts != before.gradient_accumulation_steps
        values = {"at_once": _at_once(after.micro_batch_size), "before": before.micro_batch_size}
        if same:
            note = say(
                "{at_once}, not {before}, {parts} micro-batches a step, so the steps stay the "
                "same: {why}.",
                parts=parts,
                why=why,
                **values,
            )
        else:
            note = say("{at_once}, not {before}: {why}.", why=why, **values)
        notes.append(note)
    if chosen.outline.is_checkpointing and after.gradient_checkpointing == "auto":
        more = f"{chosen.outline.recomputed_share:.0%}"
        notes.append(
            say(
                "Each layer is computed again in the backward, because keeping everything "
                "takes more memory than there is; it costs about {more} more work.",
                more=more,
            )
        )
    return tuple(notes)


def _why(wanted: ModePlan) -> str:
    if wanted.misfit:
        return say("else {misfit}", misfit=wanted.misfit)
    return say("so nothing has to be computed twice")


def _at_once(count: int) -> Sentence:
    return say_count(count, "{count} window at once", "{count} windows at once")


def memory_advice(plan: ModePlan, fitting: ModePlan | None, budget: MemoryBudget) -> Advice:
    """Return what to say of a plan that does not fit, and the nearest one that does."""
    text = whole(plan.misfit)
    if not plan.is_refused and budget.is_assumed:
        text = say("{misfit} {source}", misfit=text, source=budget.source)
    if fitting is None:
        weights = format_bytes(plan.outline.memory.parts()["weights"])
        return Advice(
            say(
                "{text} Not even the smallest run fits: choose a smaller model (the weights "
                "of this one take {weights}).",
                text=text,
                weights=weights,
            )
        )
    changed = {
        name: fitting.settings.value(name)
        for name in ADVISED_SETTINGS
        if fitting.settings.value(name) != plan.settings.value(name)
    }
    if "rank" in changed:
        changed["alpha"] = fitting.settings.lora.alpha
    size = format_bytes(fitting.total_bytes)
    return Advice(
        text, say("Make it fit: {changed} ({size})", changed=_words(changed), size=size), changed
    )


def slow_advice(plan: ModePlan) -> Advice | None:
    """Return what to say of a plan that takes long, and how to cut it short."""
    time = plan.time
    if time.seconds <= SLOW_SECONDS:
        return None
    text = say(
        "This takes about {time} ({range}), more than half an hour.",
        time=format_duration(time.seconds),
        range=format_range(time.low, time.high),
    )
    # Of a shorter run, evaluations and samples may take a larger share.
    room = 1 + SHARE if plan.outline.beside.peak_bytes else 1
    steps = max(LEAST_STEPS, int(HALF_AN_HOUR / (plan.step_seconds * room)))
    if steps >= plan.num_steps:
        return Advice(say("{text} A smaller model or a faster device takes less.", text=text))
    return Advice(
        text,
        say(
            "Stop after {steps} steps: about {shorter}, {coverage}",
            steps=steps,
            shorter=format_duration(steps * plan.step_seconds),
            coverage=coverage(plan.work.passes(steps)),
        ),
        {"steps": steps},
    )


def _words(settings: Mapping[str, Any]) -> str:
    """Return settings as the words of a button."""
    words = {
        "max_seq_len": say("windows of {count} tokens", count=settings.get("max_seq_len")),
        "micro_batch_size": _at_once(settings.get("micro_batch_size", 0)),
        "gradient_checkpointing": say("recompute activations"),
        "rank": say("rank {rank}", rank=settings.get("rank")),
        "full_weights": say("weights in {format}", format=settings.get("full_weights")),
        "optimizer": say("optimizer {name}", name=settings.get("optimizer")),
        "eval_every": say("no evaluations"),
        "sample_every": say("no samples"),
    }
    return listed(text for name, text in words.items() if name in settings)
