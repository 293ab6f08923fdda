"""Language models of transformers that write text, about pictures too where they read some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.vision.networks import StandInNetwork, VisionNetwork, picture_bytes, quiet

_THOUGHT = "</think>"


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How an answer is drawn, token by token.

    Attributes:
        tokens: Tokens of it at most.
        temperature: Divides the scores; 0 takes the likeliest token each time.
        top_k: The likeliest tokens that count; 0 is all.
        top_p: The likeliest tokens count whose shares add up to this.
        min_p: Tokens count whose share is at least this, as a part of the likeliest one's.
        repetition_penalty: Divides the scores of tokens that were there; 1 leaves them.
        seed: Of the random numbers.
        thinking: Whether it may think first, where the model does so on demand.
    """

    tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int
    thinking: bool

    def options(self) -> dict[str, Any]:
        """Arguments of transformers' `generate`."""
        told = {"max_new_tokens": self.tokens, "repetition_penalty": self.repetition_penalty, "num_beams": 1}
        if self.temperature == 0.0:
            return {**told, "do_sample": False, "temperature": None, "top_k": None, "top_p": None, "min_p": None}
        drawn = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p, "min_p": self.min_p}
        return {**told, "do_sample": True, **drawn}


@inference
def answer(
    network: VisionNetwork,
    prompt: str,
    *,
    system: str,
    pictures: Sequence[Tensor],
    how: Writing,
    on_token: Callable[[], None],
) -> tuple[str, str]:
    """Have a language model answer.

    Args:
        network: The model.
        prompt: What it is asked.
        system: What it is told before; empty is nothing.
        pictures: (3, H, W) in [0, 1] each, what the prompt speaks of.
        how: How the answer is drawn.
        on_token: Called before each token; it may raise to stop.

    Returns:
        The answer, and what the model thought before, where it did.

    Raises:
        InvalidInputError: There are pictures, and the model reads none.
        ModelFormatError: The model writes no text.
    """
    if isinstance(network.module, StandInNetwork):
        return prompt, ""
    if not hasattr(network.module, "generate"):
        raise ModelFormatError(f"is a {network.kind}, which writes no text", where=network.name)
    processor = network.processor()
    if pictures and not hasattr(processor, "image_processor"):
        raise InvalidInputError("the language model reads no pictures", where="images", advice="leave them out")
    given: dict[str, Any] = {"text": [_asked(processor, prompt, system, len(pictures), how.thinking)]}
    if pictures:
        given["images"] = [picture_bytes(picture) for picture in pictures]
    inputs = processor(**given, return_tensors="pt").to(network.device)
    with quiet(), torch.random.fork_rng([network.device] if network.device.type == "cuda" else []):
        torch.manual_seed(how.seed)
        made = network.module.generate(**inputs, **how.options(), stopping_criteria=[_Watched(on_token)])
    told = processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
    thought, mark, rest = told.partition(_THOUGHT)
    return (rest.strip(), thought.removeprefix("<think>").strip()) if mark else (told.strip(), "")


class _Watched:
    """Tells that a token is there; stops nothing."""

    def __init__(self, on_token: Callable[[], None]) -> None:
        self._on_token = on_token

    def __call__(self, ids: Tensor, scores: Tensor, **more: Any) -> Tensor:
        self._on_token()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


def _asked(processor: Any, prompt: str, system: str, pictures: int, thinking: bool) -> str:
    """The prompt in the model's own form of a conversation; plain where it has none."""
    if not getattr(processor, "chat_template", None):
        return f"{system}\n\n{prompt}" if system else prompt
    content: Any = (
        [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": prompt}] if pictures else prompt
    )
    messages = [{"role": "system", "content": system}] if system else []
    told: str = processor.apply_chat_template(
        [*messages, {"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, enable_thinking=thinking
    )  # fmt: skip
    return told
