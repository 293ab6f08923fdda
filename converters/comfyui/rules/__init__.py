"""The rules, by ComfyUI node type."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    adapters,
    animatediff,
    backgrounds,
    bundles,
    conditioning,
    control,
    custom,
    cutting,
    describing,
    detailers,
    easyuse,
    efficiency,
    essentials,
    faces,
    families,
    hooks,
    images,
    impact,
    impact_values,
    kjnodes,
    latents,
    layers,
    layerstyle,
    loaders,
    masks,
    model_changes,
    nunchaku,
    pack_images,
    pack_prompts,
    pack_values,
    puter,
    res4lyf,
    sampling,
    segs,
    small_packs,
    values,
    vhs,
    video,
    video_families,
    was,
    writing,
    xlabs,
)
from .rule import AnyRule, Made, Rule

_TOPICS = (
    loaders,
    conditioning,
    sampling,
    model_changes,
    latents,
    images,
    masks,
    control,
    adapters,
    faces,
    animatediff,
    values,
    families,
    video,
    video_families,
    bundles,
    pack_images,
    pack_values,
    pack_prompts,
    custom,
    hooks,
    writing,
    xlabs,
    segs,
    detailers,
    impact,
    impact_values,
    cutting,
    backgrounds,
    describing,
    efficiency,
    res4lyf,
    essentials,
    layerstyle,
    layers,
    nunchaku,
    kjnodes,
    was,
    vhs,
    easyuse,
    small_packs,
    puter,
)


def _by_type() -> dict[str, AnyRule]:
    rules: dict[str, AnyRule] = {}
    for topic in _TOPICS:
        for rule in topic.RULES:
            if rule.comfy in rules:
                raise ValueError(f"two rules for {rule.comfy}")
            rules[rule.comfy] = rule
    return rules


RULES: Mapping[str, AnyRule] = _by_type()
"""Every rule by the ComfyUI type that it reads."""

__all__ = ["RULES", "AnyRule", "Made", "Rule"]
