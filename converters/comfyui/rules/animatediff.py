"""AnimateDiff-Evolved (Apache-2.0): motion modules on a model. A batch of latents is the frames of a video."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Fused, RefusedError, Source, Value
from .rule import AnyRule, Made, Rule

_PACK = "ComfyUI-AnimateDiff-Evolved"
_MODULE, _MODULES, _WINDOWS = "motion module", "motion modules", "windows of frames"
_LORAS, _SCALE, _SETTINGS = "motion LoRAs", "scale of motion", "settings of sampling"
_LINEAR = ("sqrt_linear (AnimateDiff)", "autoselect")
_OWN = ("use existing",)
_DISTILLED = ("lcm >> sqrt_linear", "lcm")
_REFUSED = ("ad_keyframes", "per_block", "ad_settings", "motion_model_settings")
"""Inputs that change what the modules do, and that no native node has."""


_BESIDE = ("noise_layers", "iteration_opts", "seed_override", "custom_cfg", "sigma_schedule", "image_inject")
"""Inputs of the settings of sampling that change it."""


def _only_plain(source: Source) -> None:
    for name in _REFUSED:
        if source.get(name) is not None:
            raise RefusedError(f"its input {name} has no native counterpart")


def _strength(source: Source, name: str) -> Value:
    value = source.get(name)
    if isinstance(value, Fused) and value.kind == _SCALE:
        value = value.parts["value"]
    if isinstance(value, Const) and value.value not in (1.0, 1):
        source.remark(f"{name} is a factor on what the motion modules change, not on their attention")
    elif isinstance(value, Fused):
        raise RefusedError(f"its input {name} has no native counterpart")
    return value


def _levels(source: Source) -> str:
    told = source.text("beta_schedule", "autoselect")
    if told in _OWN:
        return "model"
    if told in _DISTILLED:
        return "lcm"
    if told not in _LINEAR:
        source.remark(f"beta_schedule {told} is taken as the model's own noise levels")
        return "model"
    return "linear"


def _loras(source: Source) -> dict[str, float] | None:
    found = source.fused("motion_lora", _LORAS)
    return None if found is None else dict(found.parts["loras"])


def _applied(
    builder: Builder, source: Source, module: Value, strength: Value, loras: Any, ids: tuple[str, ...]
) -> list[Value]:
    source.fused("sample_settings", _SETTINGS)  # those that change nothing
    windows = source.fused("context_options", _WINDOWS)
    model, levels = source.get("model"), _levels(source)
    if levels == "lcm":
        model = builder.add(source, "set_prediction", {"model": model, "prediction": "lcm"}, suffix="lcm")
        levels = "linear"
    told = {"window": 0} if windows is None else dict(windows.parts)
    inputs: dict[str, Any] = {
        "model": model, "motion_module": module, "strength": strength, "levels": levels, "loras": loras, **told,
    }  # fmt: skip
    ids = (*ids, *(windows.ids if windows is not None else ()))
    return [builder.add(source, "apply_motion_module", inputs, ids=ids)]


def _loader(builder: Builder, source: Source) -> list[Value]:
    """The loaders of the first generation, which apply the modules, too."""
    _only_plain(source)
    source.used |= {"apply_v2_models_properly", "effect_multival"}
    if source.get("effect_multival") is not None:
        raise RefusedError("its input effect_multival has no native counterpart")
    strength = _strength(source, "motion_scale" if "motion_scale" in source.inputs else "scale_multival")
    return _applied(builder, source, source.get("model_name"), strength, _loras(source), ())


def _loaded(builder: Builder, source: Source) -> list[Value]:
    _only_plain(source)
    return [Fused(_MODULE, {"name": source.get("model_name")}, (source.id,))]


def _gathered(builder: Builder, source: Source) -> list[Value]:
    """ADE_ApplyAnimateDiffModel and its simple kind: what ADE_UseEvolvedSampling applies."""
    _only_plain(source)
    if source.get("prev_m_models") is not None:
        raise RefusedError("several motion models at once have no native counterpart")
    if (source.number("start_percent", 0.0), source.number("end_percent", 1.0)) != (0.0, 1.0):
        raise RefusedError("motion modules that act in a part of the sampling have no native counterpart")
    if source.get("effect_multival") is not None:
        raise RefusedError("its input effect_multival has no native counterpart")
    module = source.part("motion_model", _MODULE)
    strength = _strength(source, "scale_multival")
    return [Fused(_MODULES, {**module.parts, "strength": strength, "loras": _loras(source)}, (*module.ids, source.id))]


def _evolved(builder: Builder, source: Source) -> list[Value]:
    """ADE_UseEvolvedSampling."""
    _only_plain(source)
    modules = source.fused("m_models", _MODULES)
    if modules is None:
        raise RefusedError("windows over frames without motion modules have no native counterpart")
    parts = modules.parts
    return _applied(builder, source, parts["name"], parts["strength"], parts["loras"], modules.ids)


def _lora(builder: Builder, source: Source) -> list[Value]:
    """ADE_AnimateDiffLoRALoader."""
    before = source.fused("prev_motion_lora", _LORAS)
    if source.get("lora_name") is None and source.get("name") is None:
        raise RefusedError("it names no LoRA")
    name = source.text("name") or source.text("lora_name")
    loras = {**({} if before is None else before.parts["loras"]), name: source.number("strength", 1.0)}
    return [Fused(_LORAS, {"loras": loras}, (*(before.ids if before is not None else ()), source.id))]


def _scale(builder: Builder, source: Source) -> list[Value]:
    """ADE_MultivalDynamic: a number; masks and numbers for single frames are left."""
    if source.get("mask_optional") is not None:
        raise RefusedError("its input mask_optional has no native counterpart")
    return [Fused(_SCALE, {"value": source.get("float_val", 1.0)}, (source.id,))]


def _settings(builder: Builder, source: Source) -> list[Value]:
    """ADE_AnimateDiffSamplingSettings, as far as they change nothing."""
    usual = {"noise_type": "default", "seed_gen": "comfy", "batch_offset": "0", "seed_offset": "0"}
    other = [name for name, value in usual.items() if source.text(name, value) != value]
    other += [name for name in _BESIDE if source.get(name) is not None]
    if source.flag("adapt_denoise_steps"):
        other.append("adapt_denoise_steps")
    if other:
        raise RefusedError(f"its {', '.join(other)} has no native counterpart")
    return [Fused(_SETTINGS, {}, (source.id,))]


def _windows(builder: Builder, source: Source) -> list[Value]:
    """The context options: static windows with pyramid weights as they are, others as these."""
    source.used |= {
        "use_on_equal_length",
        "guarantee_steps",
        "start_percent",
        "context_schedule",
        "deprecation_warning",
    }
    for name in ("prev_context", "view_opts"):
        if source.get(name) is not None:
            raise RefusedError(f"its input {name} has no native counterpart")
    if "Static" not in source.type:
        source.used |= {"context_stride", "closed_loop"}
        source.remark(
            "windows stay where they are, each step the same (standard static), as wide apart as their overlap says"
        )
    fuse = source.text("fuse_method", "pyramid" if "Standard" in source.type else "flat")
    if fuse != "pyramid":
        source.remark(f"windows are averaged by pyramid weights, not {fuse}")
    length = source.get("context_length", 16)
    return [Fused(_WINDOWS, {"window": length, "overlap": source.get("context_overlap", 4)}, (source.id,))]


_APPLIES = ("apply_motion_module", "set_prediction")
RULES: tuple[AnyRule, ...] = (
    *(Made(type, _APPLIES, _loader, says="apply_motion_module", pack=_PACK) for type in ("ADE_AnimateDiffLoaderWithContext", "ADE_AnimateDiffLoaderGen1")),
    Made("ADE_UseEvolvedSampling", _APPLIES, _evolved, says="apply_motion_module", pack=_PACK),
    Made("ADE_LoadAnimateDiffModel", (), _loaded, says="part of apply_motion_module", pack=_PACK),
    *(Made(type, (), _gathered, says="part of apply_motion_module", pack=_PACK) for type in ("ADE_ApplyAnimateDiffModelSimple", "ADE_ApplyAnimateDiffModel")),
    *(
        Made(type, (), _windows, says="window and overlap of apply_motion_module", pack=_PACK)
        for type in (
            "ADE_StandardStaticContextOptions", "ADE_StandardUniformContextOptions", "ADE_LoopedUniformContextOptions",
            "ADE_AnimateDiffUniformContextOptions",
        )
    ),
    Made("ADE_AnimateDiffLoRALoader", (), _lora, says="loras of apply_motion_module", pack=_PACK),
    *(Made(type, (), _scale, says="strength of apply_motion_module", pack=_PACK) for type in ("ADE_MultivalDynamic", "ADE_MultivalDynamicFloatInput")),
    Made("ADE_AnimateDiffSamplingSettings", (), _settings, says="nothing, where they are as they come", pack=_PACK),
    Rule("ADE_EmptyLatentImageLarge", "empty_latent", "width height batch_size", pack=_PACK, back=False),
)  # fmt: skip
"""By ComfyUI type."""
