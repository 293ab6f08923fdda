"""Hooks: LoRAs and models that act for some prompts or steps only. Their rules go by ComfyUI's documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made

HOOKS, _KEYFRAMES, _HOOKED = "hooks", "hook keyframes", "text encoder with hooks"
WEIGHTS = ("add_conditioning_lora", "add_conditioning_model")
"""Native types that hooks become."""

Keyframes = tuple[tuple[float, float], ...]
_DESCRIBED = (
    "by ComfyUI's documentation alone: a keyframe's strength holds until the next, the first's from the beginning"
)


@dataclass(frozen=True)
class _Hook:
    """One LoRA, or another model as one.

    Attributes:
        source: The LoRA's name, or references to the other model and its text encoder.
        strength: Of the model.
        clip: Of the text encoder.
        keyframes: (share of the sampling, factor), ascending.
    """

    source: Value | tuple[Ref, Ref]
    strength: Value
    clip: float
    keyframes: Keyframes = ()


def _hooks(source: Source, name: str = "hooks") -> tuple[_Hook, ...]:
    found = source.fused(name, HOOKS)
    return () if found is None else found.parts["hooks"]


def _chained(source: Source, hook: _Hook) -> list[Value]:
    before = source.fused("prev_hooks", HOOKS)
    ids = (*(before.ids if before is not None else ()), source.id)
    return [Fused(HOOKS, {"hooks": (*_hooks(source, "prev_hooks"), hook)}, ids)]


def _lora(builder: Builder, source: Source) -> list[Value]:
    clip = source.number("strength_clip", 1.0) if "Only" not in source.type else 0.0
    return _chained(source, _Hook(source.get("lora_name"), source.get("strength_model", 1.0), clip))


def _model(builder: Builder, source: Source) -> list[Value]:
    made = builder.add(source, "load_checkpoint", {"model": source.get("ckpt_name")})
    clip = source.number("strength_clip", 1.0) if "Only" not in source.type else 0.0
    parts = made, builder.ref(made.node, "text_encoder")
    return _chained(source, _Hook(parts, source.get("strength_model", 1.0), clip))


def _combined(builder: Builder, source: Source) -> list[Value]:
    names = [f"hooks_{letter}" for letter in "ABCDEFGH"]
    found = [one for name in names if (one := source.fused(name, HOOKS)) is not None]
    hooks = tuple(hook for one in found for hook in one.parts["hooks"])
    return [Fused(HOOKS, {"hooks": hooks}, (*(id for one in found for id in one.ids), source.id))]


def _keyframes(source: Source, made: Iterable[tuple[float, float]]) -> list[Value]:
    """Put keyframes to those that are there already; of several at one place the last counts."""
    before = source.fused("prev_hook_kf", _KEYFRAMES)
    all_of_them = dict((*(before.parts["keyframes"] if before is not None else ()), *made))
    ids = (*(before.ids if before is not None else ()), source.id)
    return [Fused(_KEYFRAMES, {"keyframes": tuple(sorted(all_of_them.items()))}, ids)]


def _keyframe(builder: Builder, source: Source) -> list[Value]:
    return _keyframes(source, [(source.number("start_percent", 0.0), source.number("strength_mult", 1.0))])


def _evenly(source: Source, factors: Sequence[float]) -> list[Value]:
    """Keyframes at even distances from the start to the end."""
    source.used.add("print_keyframes")
    start, end = source.number("start_percent", 0.0), source.number("end_percent", 1.0)
    last = max(1, len(factors) - 1)
    shares = (round(start + (end - start) * number / last, 6) for number in range(len(factors)))
    return _keyframes(source, zip(shares, factors, strict=True))


_EASING: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "ease_in": lambda share: share**2,
    "ease_out": lambda share: 1 - (1 - share) ** 2,
    "ease_in_out": lambda share: 3 * share**2 - 2 * share**3,
}


def _interpolated(builder: Builder, source: Source) -> list[Value]:
    kind, count = source.text("interpolation", "linear"), max(1, int(source.number("keyframes_count", 5)))
    ease = _EASING.get(kind)
    if ease is None:
        raise RefusedError(f"its interpolation {kind} has no native counterpart")
    if kind != "linear":
        source.remark(f"the curve of {kind} is the usual one of second or third degree")
    first, last = source.number("strength_start", 1.0), source.number("strength_end", 1.0)
    shares = (ease(number / max(1, count - 1)) for number in range(count))
    return _evenly(source, [round(first + (last - first) * share, 6) for share in shares])


def _from_floats(builder: Builder, source: Source) -> list[Value]:
    told = source.literal("floats_strength")
    factors = told if isinstance(told, list) else [told]
    try:
        return _evenly(source, [float(factor) for factor in factors])
    except (TypeError, ValueError) as error:
        raise RefusedError("floats_strength is no list of numbers") from error


def _scheduled(builder: Builder, source: Source) -> list[Value]:
    found, told = source.part("hooks", HOOKS), source.fused("hook_kf", _KEYFRAMES)
    if told is None:
        return [found]
    source.notes.append(_DESCRIBED)
    hooks = tuple(replace(hook, keyframes=told.parts["keyframes"]) for hook in found.parts["hooks"])
    return [Fused(HOOKS, {"hooks": hooks}, (*found.ids, *told.ids, source.id))]


def with_weights(builder: Builder, source: Source, told: Value, hooks: Sequence[_Hook], suffix: str = "") -> Value:
    """Have a prompt bring its hooks' LoRAs and models along."""
    for number, hook in enumerate(hooks):
        schedule = " ".join(f"{start:g}:{factor:g}" for start, factor in hook.keyframes)
        inputs: dict[str, Any] = {"conditioning": told, "strength": hook.strength, "schedule": schedule or None}
        here = f"{suffix}weights{number or ''}"
        if isinstance(hook.source, tuple):
            told = builder.add(source, WEIGHTS[1], {**inputs, "model": hook.source[0]}, suffix=here)
        else:
            told = builder.add(source, WEIGHTS[0], {**inputs, "lora": hook.source}, suffix=here)
    return told


def hooked(builder: Builder, source: Source, told: Value, suffix: str = "") -> Value:
    """Have a prompt bring along what is linked to a node's input ``hooks``."""
    return with_weights(builder, source, told, _hooks(source), suffix)


def _encoder(builder: Builder, source: Source, clip: Value, hooks: Sequence[_Hook], share: float | None) -> Value:
    """The text encoder with the LoRAs of hooks, at a share of the sampling; None is at their full strength."""
    for number, hook in enumerate(hooks):
        strength = hook.clip * (1.0 if share is None else _factor(hook.keyframes, share))
        suffix = f"encoder{number or ''}" + ("" if share is None else f"-{share:g}")
        if not strength:
            continue
        if isinstance(hook.source, tuple):
            mixed = {"text_encoder": clip, "other": hook.source[1], "ratio": 1.0 - strength}
            clip = builder.add(source, "merge_text_encoders", mixed, suffix=suffix)
        else:
            told = {"text_encoder": clip, "lora": hook.source, "strength": strength}
            clip = builder.add(source, "apply_text_encoder_lora", told, suffix=suffix)
    return clip


def _factor(keyframes: Keyframes, share: float) -> float:
    held = [factor for start, factor in keyframes if start <= share]
    return held[-1] if held else keyframes[0][1] if keyframes else 1.0


def _clip_hooked(builder: Builder, source: Source) -> list[Value]:
    """SetClipHooks: a text encoder whose prompts bring hooks along, one for each part of the sampling where these change."""
    hooks, clip = _hooks(source), source.get("clip")
    carried = hooks if source.flag("apply_to_conds", True) else ()
    starts = {start for hook in hooks if hook.clip for start, _ in hook.keyframes} | {0.0}
    if source.flag("schedule_clip") and len(starts) > 1:
        shares = sorted(starts)
        encoders = [(start, _encoder(builder, source, clip, hooks, start)) for start in shares]
    else:
        encoders = [(0.0, _encoder(builder, source, clip, hooks, None))]
    return [_with_hooks(encoders, carried)]


def _with_hooks(encoders: Sequence[tuple[float, Value]], hooks: Sequence[_Hook]) -> Value:
    """A text encoder for each share of the sampling from which it holds, and what its prompts bring along."""
    if len(encoders) == 1 and not hooks:
        return encoders[0][1]
    return Fused(_HOOKED, {"encoders": tuple(encoders), "hooks": tuple(hooks)})


def carrying(builder: Builder, source: Source, make: Callable[[], list[Value]]) -> list[Value]:
    """Make a node that may read a text encoder with hooks: prompts that it gives bring them along, text encoders keep them.

    Args:
        builder: The nodes made so far.
        source: The node.
        make: Makes it from the inputs that ``source`` has then.
    """
    given = dict(source.inputs)
    found = {name: value for name, value in given.items() if isinstance(value, Fused) and value.kind == _HOOKED}
    if not found:
        return make()
    parts = next(iter(found.values())).parts
    passes: list[tuple[float, list[Value]]] = []
    for number, (start, _) in enumerate(parts["encoders"]):
        source.inputs = {**given, **{name: value.parts["encoders"][number][1] for name, value in found.items()}}
        passes.append((start, make()))
    return [_carried(builder, source, parts["hooks"], passes, slot) for slot in range(len(passes[0][1]))]


def _carried(
    builder: Builder, source: Source, hooks: Sequence[_Hook], passes: Sequence[tuple[float, list[Value]]], slot: int
) -> Value:
    values = [(start, made[slot]) for start, made in passes]
    first = values[0][1]
    kind = builder.type_of(first).name if isinstance(first, Ref) else ""
    if kind == "text_encoder":
        return _with_hooks(values, hooks)
    if kind != "conditioning":
        if isinstance(first, Fused):
            source.remark("prompts that are encoded further on lack the hooks of the text encoder")
        return first
    suffix = f"{slot}-" if slot else ""
    if len(values) > 1:
        ends = [*(start for start, _ in values[1:]), 1.0]
        ranges: list[Value] = [
            builder.add(source, "set_conditioning_range", {"conditioning": told, "start": start, "end": end}, suffix=f"{suffix}from-{start:g}")
            for (start, told), end in zip(values, ends, strict=True)
        ]  # fmt: skip
        first = builder.add(source, "combine_conditioning", {"conditioning": ranges}, suffix=f"{suffix}all")
    return with_weights(builder, source, first, hooks, suffix)


_LORA, _AS_LORA = "part of `add_conditioning_lora`", "part of `add_conditioning_model`"
_ENCODERS = ("apply_text_encoder_lora", "merge_text_encoders")
RULES: tuple[AnyRule, ...] = (
    Made("CreateHookLora", (), _lora, says=_LORA),
    Made("CreateHookLoraModelOnly", (), _lora, says=_LORA),
    Made("CreateHookModelAsLora", ("load_checkpoint",), _model, says=_AS_LORA),
    Made("CreateHookModelAsLoraModelOnly", ("load_checkpoint",), _model, says=_AS_LORA),
    *(Made(f"CombineHooks{number}", (), _combined, says="both") for number in (2, 4, 8)),
    Made("CreateHookKeyframe", (), _keyframe, says="its schedule"),
    Made("CreateHookKeyframesInterpolated", (), _interpolated, says="its schedule"),
    Made("CreateHookKeyframesFromFloats", (), _from_floats, says="its schedule"),
    Made("SetHookKeyframes", (), _scheduled, says="its schedule"),
    Made("SetClipHooks", _ENCODERS, _clip_hooked, says="`apply_text_encoder_lora`, and `add_conditioning_lora` of its prompts"),
)  # fmt: skip
"""By ComfyUI type."""
