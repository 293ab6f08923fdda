"""LoRAs and models that act for some prompts or steps only."""

from __future__ import annotations

from typing import Any

from .prompts import imported, node, prompt, sound

LORA = node("CreateHookLora", lora_name="shapes-outline", strength_model=0.8, strength_clip=0.5)
CURVE = node(
    "CreateHookKeyframesInterpolated", strength_start=1.0, strength_end=0.0, interpolation="linear", start_percent=0.0,
    end_percent=0.5, keyframes_count=3, print_keyframes=False,
)  # fmt: skip


def hooked(**clip: Any) -> dict[str, Any]:
    """The usual workflow, whose positive prompt is encoded by a text encoder with a scheduled LoRA."""
    told = {"clip": ["4", 1], "hooks": ["12", 0], "apply_to_conds": True, "schedule_clip": False, **clip}
    return prompt(
        n10=LORA,
        n11=CURVE,
        n12=node("SetHookKeyframes", hooks=["10", 0], hook_kf=["11", 0]),
        n13=node("SetClipHooks", **told),
        n14=node("CLIPSetLastLayer", clip=["13", 0], stop_at_clip_layer=-2),
        n6=node("CLIPTextEncode", text="a cat", clip=["14", 0]),
    )


def by_type(document: Any, type: str) -> list[Any]:
    return [entry for entry in document.nodes.values() if entry.type == type]


def test_prompts_of_a_text_encoder_bring_its_hooks_along() -> None:
    document = sound(hooked()).document
    (weights,) = by_type(document, "add_conditioning_lora")
    assert weights.params == {"lora": "shapes-outline", "strength": 0.8, "schedule": "0:1 0.25:0.5 0.5:0"}
    (encoder,) = by_type(document, "apply_text_encoder_lora")
    assert encoder.params == {"lora": "shapes-outline", "strength": 0.5}
    (sample,) = by_type(document, "sample")
    assert document.nodes[sample.links["positive"]] is weights
    assert document.nodes[sample.links["negative"]].type == "encode_prompt"
    assert not by_type(sound(hooked(apply_to_conds=False)).document, "add_conditioning_lora")


def test_a_scheduled_text_encoder_encodes_a_prompt_for_each_part_of_the_sampling() -> None:
    document = sound(hooked(schedule_clip=True)).document
    ranges = by_type(document, "set_conditioning_range")
    assert [(one.params["start"], one.params["end"]) for one in ranges] == [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
    assert [one.params["strength"] for one in by_type(document, "apply_text_encoder_lora")] == [0.5, 0.25]
    assert len(by_type(document, "add_conditioning_lora")) == 1


def test_a_model_as_a_lora_of_one_of_two_prompts() -> None:
    other = node(
        "CreateHookModelAsLora", ckpt_name="other", strength_model=0.3, strength_clip=0.0, prev_hooks=["10", 0]
    )
    mine = {"cond_NEW": ["7", 0], "strength": 1.0, "set_cond_area": "default", "hooks": ["11", 0]}
    both = node("ConditioningSetPropertiesAndCombine", cond=["6", 0], **mine)
    sampler = prompt()["3"]["inputs"] | {"positive": ["12", 0]}
    document = sound(prompt(n10=LORA, n11=other, n12=both, n3=node("KSampler", **sampler))).document
    (mixed,) = by_type(document, "add_conditioning_model")
    assert (mixed.params, document.nodes[mixed.links["model"]].params["model"]) == ({"strength": 0.3}, "other")
    assert document.nodes[mixed.links["conditioning"]].params["strength"] == 0.8


def test_what_hooks_lose_is_said() -> None:
    pipe = node("ToBasicPipe", model=["4", 0], clip=["13", 0], vae=["4", 2], positive=["6", 0], negative=["7", 0])
    shown = node("PreviewAny", source=["16", 0])
    told = imported({**hooked(), "15": pipe, "16": node("FromBasicPipe", basic_pipe=["15", 0]), "17": shown})
    (entry,) = [one for one in told.report.entries if one.id == "15"]
    assert any("lack the hooks" in remark for remark in entry.remarks)


def test_curves_that_are_not_known_are_refused() -> None:
    told = hooked()
    told["11"]["inputs"] |= {"interpolation": "bounce"}
    assert any("interpolation bounce" in remark for entry in imported(told).report.entries for remark in entry.remarks)
