"""Text that language models write."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made

_ENDING = re.compile(r"\.(safetensors|sft|gguf)$", re.IGNORECASE)
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


def _written(builder: Builder, source: Source) -> list[Value]:
    """TextGenerate and its kin: off, as nothing says that the user wants a language model to run."""
    clip = source.get("clip")
    named = builder.nodes[clip.node].params.get("model") if isinstance(clip, Ref) else None
    if not isinstance(named, str):
        raise RefusedError("which language model is meant stands nowhere (clip)")
    model = _ENDING.sub("", named.replace("\\", "/").rpartition("/")[2])
    source.used |= {"use_default_template", "mtp", "sampling_mode.presence_penalty"}
    if source.number("sampling_mode.presence_penalty"):
        source.remark("presence_penalty is left out")
    for name in ("video", "audio"):
        if source.get(name) is not None:
            source.remark(f"the model is told nothing of {name}")
    if "LTX2" in source.type:
        source.remark("ComfyUI's own instruction for LTX-2 is left out; system says one")
    image = source.get("image")
    inputs: dict[str, Any] = {
        "prompt": source.get("prompt", ""), "model": model, "system": source.get("system_prompt"), "tokens": source.get("max_length"),
        "thinking": source.get("thinking"), "images": None if image is None else [image],
    }  # fmt: skip
    sampling = {name: source.get(f"sampling_mode.{name}") for name in _SAMPLING}
    drawn = source.text("sampling_mode", "on") != "off"
    inputs |= sampling if drawn else {"temperature": 0.0, "repetition_penalty": 1.0}
    made = builder.add(source, "generate_text", inputs)
    source.remark(
        f"the prompt is passed on as it is, until {made.node}.write is true and the folder LLM/{model} holds the language"
        " model as transformers has it"
    )
    return [made, builder.ref(made.node, "thinking")]


RULES: tuple[AnyRule, ...] = tuple(
    Made(type, ("generate_text",), _written, says="`generate_text`, off until its `write` is set") for type in ("TextGenerate", "TextGenerateLTX2Prompt")
)  # fmt: skip
"""By ComfyUI type."""
