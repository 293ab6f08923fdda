"""Changes of how a model runs, and of its guidance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..families import flow_of
from ..layout import flat, listed, quoted
from ..models import Hook, ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter

GUIDANCE: Mapping[str, str] = {
    "adaptive_projected_guidance": "AdaptiveProjected",
    "cfg_zero_star": "ZeroStar",
    "dynamic_thresholding": "DynamicThreshold",
    "guidance_interval": "Interval",
    "limit_guidance_norm": "NormLimit",
    "perturbed_attention_guidance": "perturbed_attention_guidance",
    "renormalize_guidance": "Renormalize",
    "rescale_guidance": "Rescale",
    "scale_epsilon": "EpsilonScale",
    "scale_guidance_frequencies": "FrequencyScale",
    "self_attention_guidance": "SelfAttentionGuidance",
    "sharpen_guidance": "SharpenDirection",
    "skip_layer_guidance": "skip_layer_guidance",
    "tangential_guidance": "Tangential",
    "tonemap_guidance": "TonemapDirection",
}
"""What makes the modifier in a script, by node type; its parameters are the node's."""


def guidance(emission: Emission) -> ModelPart:
    """A change of guidance, with the node's literals as arguments."""
    return _hooked(emission, GUIDANCE[emission.node.type], "guidance")


def ramp_guidance(emission: Emission) -> ModelPart:
    """A guidance scale for each picture."""
    arguments = ("min_scale", emission.value("min_scale")), ("triangle", str(emission.fixed("shape") == "triangle"))
    return _with(emission.part("model"), Hook("Ramp", arguments, "guidance"))


def differential_diffusion(emission: Emission) -> ModelPart:
    """A noise mask whose grey values say how much may change."""
    return _hooked(emission, "DifferentialInpainting", "mask")


def skip_transformer_layers(emission: Emission) -> ModelPart:
    """Guidance away from a transformer without some of its blocks."""
    numbers = {"transformer_blocks": "double_layers", "single_transformer_blocks": "single_layers"}
    found = [
        f"{stem}.{int(number)}"
        for stem, name in numbers.items()
        for number in re.findall(r"\d+", str(emission.fixed(name)))
    ]
    options = emission.options(scale=3.0, start=0.01, end=0.15, rescale=0.0)
    if not found:
        return emission.part("model")
    if emission.fixed("method") != "further":
        raise UnsupportedError("a negative prediction without some blocks cannot be written in scripts")
    if flow_of(emission.part("model").base) is None:
        raise UnsupportedError("its model is no transformer")
    blocks = flat(listed(map(quoted, dict.fromkeys(found))))
    arguments = (("names", blocks), *((name, str(value)) for name, value in options.items()))
    return _with(emission.part("model"), Hook("skip_blocks", arguments, "guidance"))


def cache_references(emission: Emission) -> ModelPart:
    """What the network makes of reference pictures, kept for all steps."""
    flow = flow_of(emission.part("model").base)
    if flow is None or flow.keeps is None:
        raise UnsupportedError("models of its family see references anew at every step")
    if flow.keeps:
        emission.script.need(flow.keeps)
    adjust = (("adjust", flow.keeps),) if flow.keeps else ()
    return _with(emission.part("model"), Hook("keep_references", adjust, "references"))


def freeu(emission: Emission) -> ModelPart:
    """FreeU, put on the network after loading."""
    return _hooked(emission, "enable_freeu", "unet")


def _hooked(emission: Emission, helper: str, stage: str) -> ModelPart:
    names = [name for name in emission.node.values if name != "model"]
    return _with(emission.part("model"), Hook(helper, tuple((name, emission.value(name)) for name in names), stage))


def _with(model: ModelPart, hook: Hook) -> ModelPart:
    return replace(model, hooks=(*model.hooks, hook))


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(GUIDANCE, guidance),
    "ramp_guidance": ramp_guidance,
    "differential_diffusion": differential_diffusion,
    "freeu": freeu,
    "cache_references": cache_references,
    "skip_transformer_layers": skip_transformer_layers,
}
