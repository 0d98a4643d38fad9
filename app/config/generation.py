"""How an answer is written."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.checked import Checked, is_number, is_whole, refusal, setting, whole_number
from app.messages import say


@dataclass(frozen=True)
class GenerationConfig(Checked):
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
                refusal("max_new_tokens", self.max_new_tokens, say("give a whole number from 1"))
            )
        if not is_number(self.temperature, 0, 10):
            found.append(
                refusal(
                    "temperature",
                    self.temperature,
                    say("give a number from {low} to {high}", low=0, high=10),
                )
            )
        if not is_whole(self.top_k, 0):
            found.append(refusal("top_k", self.top_k, say("give 0 (all) or a whole number")))
        if not is_number(self.top_p, 0, 1) or not self.top_p:
            found.append(refusal("top_p", self.top_p, say("give a share above 0, up to 1")))
        if not is_number(self.repetition_penalty, 0, 10) or not self.repetition_penalty:
            found.append(
                refusal("repetition_penalty", self.repetition_penalty, say("give 1 (off) to 10"))
            )
        if not is_whole(self.seed, 0, 2**32 - 1):
            found.append(refusal("seed", self.seed, whole_number(0, 2**32 - 1)))
        return found
