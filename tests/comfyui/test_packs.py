"""Nodes of custom packs in native nodes: values on one link, presets, sizes, texts, pictures and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from graphflow import Session, Settings
from graphflow.converters.comfyui.rules import RULES
from graphflow.converters.comfyui.rules.needs import NEEDS, need_of
from graphflow.errors import GraphflowError
from graphflow.planning.validate import validate

from .prompts import REGISTRY, imported, node, prompt, sound

FIT = {
    "image": "IMAGE", "aspect_ratio": "16:9", "fit": "crop", "method": "lanczos", "round_to_multiple": "8", "scale_to_length": 96,
}  # fmt: skip
PICTURE = {"10": node("LoadImage", image="in.png")}


def run(type: str, /, slot: int = 0, **inputs: Any) -> Any:
    """Import a node that reads a picture and a mask, whose output is shown, and return the result."""
    given = {
        name: ["10", 1] if value == "MASK" else ["10", 0] if value == "IMAGE" else value
        for name, value in inputs.items()
    }
    return sound({**PICTURE, "20": node(type, **given), "30": node("PreviewAny", source=["20", slot])})


def kinds(result: Any) -> set[str]:
    return {entry.type for entry in result.document.nodes.values()} - {"load_image", "show"}


def only(result: Any, type: str) -> dict[str, Any]:
    """Return the literals of the one node of a type."""
    found = [entry.params for entry in result.document.nodes.values() if entry.type == type]
    assert len(found) == 1
    return dict(found[0])


def test_values_on_a_context_go_where_they_are_used() -> None:
    context = node("Context (rgthree)", model=["4", 0], clip=["4", 1], vae=["4", 2], latent=["5", 0], seed=9)
    later = node("Context Big (rgthree)", base_ctx=["11", 0], positive=["6", 0], negative=["7", 0], steps=12)
    sampler = prompt()["3"]["inputs"] | {
        "model": ["12", 1], "positive": ["12", 4], "negative": ["12", 5], "latent_image": ["12", 6], "seed": ["12", 8], "steps": ["12", 9],
    }  # fmt: skip
    result = sound(prompt(n11=context, n12=later, n3=node("KSampler", **sampler)))
    sample = result.document.nodes["3"]
    assert sample.links == {"model": "4", "positive": "6", "negative": "7", "latent": "5"}
    assert (sample.params["seed"], sample.params["steps"]) == (9, 12)


def test_a_context_switch_takes_the_first_that_is_there_and_a_merge_the_last_value() -> None:
    first, second = node("Context (rgthree)", vae=["4", 2], seed=1), node("Context (rgthree)", seed=2)
    switch = node("Context Switch (rgthree)", ctx_01=["11", 0], ctx_02=["12", 0])
    merge = node("Context Merge (rgthree)", ctx_01=["11", 0], ctx_02=["12", 0])
    for chooser, seed in ((switch, 1), (merge, 2)):
        sampler = prompt()["3"]["inputs"] | {"seed": ["13", 8]}
        result = sound(prompt(n11=first, n12=second, n13=chooser, n3=node("KSampler", **sampler)))
        assert result.document.nodes["3"].params["seed"] == seed


def test_what_only_sets_seeds_of_others_is_left_out() -> None:
    seeds = node("easy globalSeed", value=3, mode=True, action="fixed", last_seed="")
    assert set(sound(prompt(n20=seeds)).document.nodes) == set(sound(prompt()).document.nodes)


def test_an_input_may_have_any_name() -> None:
    compared = node("ImageCompare", **{"embedding:../x.pt \ud800": ["8", 0], "é": ["8", 0], "e": ["8", 0]})
    assert len([id for id in sound(prompt(n20=compared)).document.nodes if id.startswith("20~")]) == 3


def test_a_pipe_gives_what_went_into_it() -> None:
    pipe = node("ToBasicPipe", model=["4", 0], clip=["4", 1], vae=["4", 2], positive=["6", 0], negative=["7", 0])
    edited = node("EditBasicPipe", basic_pipe=["11", 0], positive=["7", 0])
    out = node("FromBasicPipe", basic_pipe=["12", 0])
    sampler = prompt()["3"]["inputs"] | {"model": ["13", 0], "positive": ["13", 3], "negative": ["13", 4]}
    result = sound(prompt(n11=pipe, n12=edited, n13=out, n3=node("KSampler", **sampler)))
    assert result.document.nodes["3"].links == {"model": "4", "positive": "7", "negative": "7", "latent": "5"}


def test_an_efficient_loader_becomes_what_it_loads() -> None:
    loader = node(
        "Efficient Loader", ckpt_name="a.safetensors", vae_name="b.safetensors", clip_skip=-2, lora_name="c.safetensors",
        lora_model_strength=0.5, lora_clip_strength=0.25, positive="a fox", negative="", token_normalization="none",
        weight_interpretation="comfy", empty_latent_width=640, empty_latent_height=320, batch_size=2, lora_stack=["2", 0],
    )  # fmt: skip
    stack = node(
        "LoRA Stacker",
        input_mode="simple",
        lora_count=1,
        lora_name_1="d.safetensors",
        lora_wt_1=0.7,
        lora_name_2="not counted",
    )
    sampler = node(
        "KSampler (Efficient)", seed=1, steps=2, cfg=7, sampler_name="euler", scheduler="normal", denoise=1, preview_method="auto",
        vae_decode="true", model=["1", 0], positive=["1", 1], negative=["1", 2], latent_image=["1", 3], optional_vae=["1", 4],
    )  # fmt: skip
    result = sound(
        {"1": loader, "2": stack, "3": sampler, "9": node("SaveImage", images=["3", 5], filename_prefix="x")}
    )
    loras = [entry for entry in result.document.nodes.values() if entry.type == "apply_lora"]
    assert [entry.params for entry in loras] == [
        {"lora": "c.safetensors", "strength": 0.5, "text_encoder_strength": 0.25},
        {"lora": "d.safetensors", "strength": 0.7, "text_encoder_strength": 0.7},
    ]
    assert all((entry.meta or {})["comfyui"]["ids"] == ["1", "2"] for entry in loras)
    assert only(result, "set_text_layer") == {"layer": -2}
    assert only(result, "empty_latent") == {"width": 640, "height": 320, "batch_size": 2}


@pytest.mark.parametrize(
    ("comfy", "inputs"),
    [
        ("CR Apply LoRA Stack", {"lora_stack": ["2", 0]}),
        ("Lora Loader Stack (rgthree)", {"lora_01": "a", "strength_01": 0.5, "lora_02": "None", "strength_02": 1}),
        ("Lora Loader (LoraManager)", {"text": "", "loras": {"__value__": [{"name": "a", "strength": 0.5, "active": True}, {"name": "b", "active": False}]}}),
    ],
)  # fmt: skip
def test_loras_that_are_on_are_applied(comfy: str, inputs: dict[str, Any]) -> None:
    stack = node(
        "CR LoRA Stack",
        switch_1="On",
        lora_name_1="a",
        model_weight_1=0.5,
        clip_weight_1=0.5,
        switch_2="Off",
        lora_name_2="b",
    )
    used = inputs if "lora_stack" not in inputs else {"lora_stack": ["11", 0]}
    sampler = prompt()["3"]["inputs"] | {"model": ["12", 0]}
    result = sound(
        prompt(n11=stack, n12=node(comfy, model=["4", 0], clip=["4", 1], **used), n3=node("KSampler", **sampler))
    )
    name = "a.safetensors" if "LoraManager" in comfy else "a"
    assert only(result, "apply_lora") == {"lora": name, "strength": 0.5, "text_encoder_strength": 0.5}


@pytest.mark.parametrize(
    ("checkpoint", "preset", "adapter", "encoder"),
    [
        ("v1-5.safetensors", "PLUS (high strength)", "ip-adapter-plus_sd15.safetensors", "CLIP-ViT-H"),
        (
            "sd_xl_base.safetensors",
            "PLUS FACE (portraits)",
            "ip-adapter-plus-face_sdxl_vit-h.safetensors",
            "CLIP-ViT-H",
        ),
        ("sd_xl_base.safetensors", "VIT-G (medium strength)", "ip-adapter_sdxl.safetensors", "CLIP-ViT-bigG"),
    ],
)
def test_an_adapter_preset_names_the_published_files(checkpoint: str, preset: str, adapter: str, encoder: str) -> None:
    unified = node("IPAdapterUnifiedLoader", model=["4", 0], preset=preset)
    applied = node(
        "IPAdapter",
        model=["11", 0],
        ipadapter=["11", 1],
        image=["10", 0],
        weight=0.8,
        start_at=0,
        end_at=1,
        weight_type="standard",
    )
    sampler = prompt()["3"]["inputs"] | {"model": ["12", 0]}
    changed = prompt(
        n11=unified,
        n12=applied,
        n3=node("KSampler", **sampler),
        n4=node("CheckpointLoaderSimple", ckpt_name=checkpoint),
    )
    result = sound(changed | PICTURE)
    assert only(result, "load_ip_adapter") == {"ip_adapter": adapter}
    assert only(result, "load_image_encoder")["image_encoder"].startswith(encoder)
    assert (
        "as the checkpoint's name tells"
        in next(entry for entry in result.report.entries if entry.id == "11").remarks[0]
    )


@pytest.mark.parametrize(
    ("comfy", "inputs", "native"),
    [
        ("AIO_Preprocessor", {"preprocessor": "LineArtPreprocessor", "resolution": 512, "image": "IMAGE"}, "preprocess"),
        ("DepthAnythingV2Preprocessor", {"ckpt_name": "x.pth", "resolution": 512, "image": "IMAGE"}, "preprocess"),
        ("TEEDPreprocessor", {"safe_steps": 2, "resolution": 512, "image": "IMAGE"}, "preprocess"),
        ("INPAINT_MaskedFill", {"image": "IMAGE", "mask": "MASK", "fill": "telea", "falloff": 0}, "fill_masked_image"),
        ("TilePreprocessor", {"image": "IMAGE", "pyrUp_iters": 3, "resolution": 512}, "resize"),
        ("Image Flip", {"mode": "horizontal", "images": "IMAGE"}, "flip_image"),
        ("Image Blank", {"width": 100, "height": 64, "red": 255, "green": 0, "blue": 16}, "solid_image"),
        ("Image Crop Location", {"image": "IMAGE", "top": 1, "left": 2, "right": 34, "bottom": 17}, "crop_image"),
        ("ImageDesaturate+", {"image": "IMAGE", "factor": 1.0, "method": "luminance (Rec.709)"}, "adjust_image"),
        ("ImageBatchMulti", {"inputcount": 2, "image_1": "IMAGE", "image_2": "IMAGE"}, "batch_images"),
        ("ImpactDilateMask", {"mask": "MASK", "dilation": 9}, "grow_mask"),
        ("MaskFromColor+", {"image": "IMAGE", "red": 255, "green": 128, "blue": 0, "threshold": 3}, "mask_from_color"),
        ("SDXL Empty Latent Image (rgthree)", {"dimensions": "1344 x 768 (landscape)", "clip_scale": 2.0, "batch_size": 1}, "empty_latent"),
        ("StringFunction|pysssss", {"action": "append", "tidy_tags": "yes", "text_a": "a", "text_b": "b", "text_c": ""}, "text_join"),
        ("CR Text Replace", {"text": "a b", "find1": "a", "replace1": "c", "find2": "", "replace2": ""}, "text_replace"),
        ("MathExpression|pysssss", {"expression": "a * 2 + b", "a": 3, "b": 4.5}, "expression"),
        ("JsonExtractString", {"json_string": '{"a": 1}', "key": "a"}, "json_value"),
        ("CLIPTextEncodeLumina2", {"system_prompt": "superior", "user_prompt": "a fox", "clip": ["40", 0]}, "encode_prompt"),
    ],
)  # fmt: skip
def test_a_node_becomes_a_native_one(comfy: str, inputs: dict[str, Any], native: str) -> None:
    if comfy == "CLIPTextEncodeLumina2":
        source = {
            "40": node("CLIPLoader", clip_name="a", type="lumina2"),
            "20": node(comfy, **inputs),
            "30": node("PreviewAny", source=["20", 0]),
        }
        assert native in kinds(sound(source))
        return
    assert native in kinds(run(comfy, **inputs))


def test_numbers_of_pack_nodes_come_out_right() -> None:
    assert only(run("Image Blank", width=100, height=64, red=255, green=0, blue=16), "solid_image") == {
        "width": 96,
        "height": 64,
        "color": "#ff0010",
    }
    assert only(run("ImpactDilateMask", mask="MASK", dilation=9), "grow_mask") == {
        "amount": 4,
        "tapered_corners": False,
    }
    cut = only(run("Image Crop Location", image="IMAGE", top=1, left=2, right=34, bottom=17), "crop_image")
    assert cut == {"x": 2, "y": 1, "width": 32, "height": 16}
    change = only(run("RemapMaskRange", mask="MASK", min=0.2, max=0.8), "adjust_image")
    assert change["contrast"] == pytest.approx(0.6)
    assert change["brightness"] == pytest.approx(0.0)
    box = {
        "frames": 1,
        "grow": 0,
        "location_x": 256,
        "location_y": 128,
        "frame_width": 512,
        "frame_height": 256,
        "shape_width": 128,
        "shape_height": 128,
    }
    mask = only(run("CreateShapeMask", shape="square", **box), "rectangle_mask")
    assert mask == {"width": 512, "height": 256, "left": 0.375, "right": 0.625, "top": 0.25, "bottom": 0.75}
    latent = run(
        "SDXLEmptyLatentSizePicker+",
        slot=1,
        resolution="896x1152 (0.78)",
        batch_size=1,
        width_override=0,
        height_override=640,
    )
    assert only(latent, "empty_latent")["width"] == 896
    assert only(latent, "empty_latent")["height"] == 640


def test_the_shorter_edge_is_computed_from_the_picture() -> None:
    result = run("ResizeImagesByShorterEdge", images="IMAGE", shorter_edge=512)
    assert kinds(result) == {"image_size", "expression", "resize"}
    assert only(result, "expression") == {"expression": "c / min(a, b)", "c": 512}


@pytest.mark.parametrize(
    ("position", "expressions", "place"),
    [("top-left", 0, {"x": 3, "y": 4}), ("center", 2, {}), ("bottom-right", 2, {}), ("left-center", 1, {"x": 3})],
)
def test_a_crop_is_placed_by_name(position: str, expressions: int, place: dict[str, int]) -> None:
    result = run("ImageCrop+", image="IMAGE", width=64, height=32, position=position, x_offset=3, y_offset=4)
    assert only(result, "crop_image") == {"width": 64, "height": 32, **place}
    assert sum(entry.type == "expression" for entry in result.document.nodes.values()) == expressions


@pytest.mark.parametrize(
    ("comfy", "inputs", "reason"),
    [
        ("CreateShapeMask", {"shape": "circle"}, "its shape circle"),
        (
            "AIO_Preprocessor",
            {"preprocessor": "OneFormer-COCO-SemSegPreprocessor", "image": "IMAGE"},
            "has no native counterpart",
        ),
        ("ImageResize", {"pixels": "IMAGE", "action": "pad to ratio"}, "its action pad to ratio"),
        ("ConditioningMultiCombine", {"inputcount": 2, "operation": "average"}, "its operation average"),
        ("MathExpression|pysssss", {"expression": "KSampler.seed + 1"}, "reads a widget of another node"),
        (
            "DynamicThresholdingFull",
            {"mimic_mode": "Half Cosine Up", "model": "IMAGE"},
            "mimic_mode other than Constant",
        ),
        ("MMDetDetectorProvider", {"model_name": "a.pth"}, "needs a detector that is a pickle"),
        ("WanSCAILToVideo", {"width": 8}, "needs Wan's later variants"),
        ("GeminiImage2Node", {"prompt": "x"}, "a web service that costs money"),
    ],
)
def test_what_cannot_be_done_says_why(comfy: str, inputs: dict[str, Any], reason: str) -> None:
    given = {name: ["10", 0] if value == "IMAGE" else value for name, value in inputs.items()}
    result = imported({**PICTURE, "20": node(comfy, **given), "30": node("PreviewAny", source=["20", 0])})
    entry = next(entry for entry in result.report.unsupported if entry.id == "20")
    assert reason in entry.remarks[0]
    assert entry.provides


@pytest.mark.parametrize(
    ("kind", "part", "remark"),
    [
        ("linear", "all", ""),
        ("style transfer", "style", ""),
        ("style and composition", "style_and_layout", ""),
        ("strong style transfer", "style", "strong style transfer is taken as the style layers alone"),
        ("composition precise", "layout", "composition precise is taken as the layout layers alone"),
        ("ease in-out", "all", "ease in-out is taken as linear"),
    ],
)
def test_a_weight_type_names_the_layers_that_act(kind: str, part: str, remark: str) -> None:
    loaded = node("IPAdapterModelLoader", ipadapter_file="a.safetensors")
    applied = node(
        "IPAdapterAdvanced", model=["4", 0], ipadapter=["11", 0], clip_vision=["13", 0], image=["10", 0], image_negative=["10", 0],
        weight=0.7, weight_type=kind, combine_embeds="concat", start_at=0, end_at=1, embeds_scaling="V only",
    )  # fmt: skip
    changed = prompt(
        n11=loaded, n12=applied, n13=node("CLIPVisionLoader", clip_name="eye"),
        n3=node("KSampler", **prompt()["3"]["inputs"] | {"model": ["12", 0]}),
        n4=node("CheckpointLoaderSimple", ckpt_name="sdxl/a.safetensors"),
    )  # fmt: skip
    result = sound(changed | PICTURE)
    assert only(result, "apply_ip_adapter")["part"] == part
    assert result.document.nodes["12"].links["negative_image"] == "10"
    remarks = next(entry for entry in result.report.entries if entry.id == "12").remarks
    assert [remark in text for text in remarks] == ([True] if remark else [])


def test_style_and_composition_come_from_two_pictures_by_a_chain_of_loaders() -> None:
    chain = {
        "4": node("CheckpointLoaderSimple", ckpt_name="a_xl.safetensors"),
        "11": node("IPAdapterUnifiedLoader", model=["4", 0], preset="PLUS (high strength)"),
        "12": node("IPAdapterUnifiedLoader", model=["11", 0], ipadapter=["11", 1], preset="PLUS FACE (portraits)"),
        "13": node(
            "IPAdapterStyleComposition", model=["12", 0], ipadapter=["12", 1], image_style=["10", 0], image_composition=["14", 0],
            weight_style=1.2, weight_composition=0.9, expand_style=False, combine_embeds="concat", start_at=0, end_at=1,
        ),
        "14": node("LoadImage", image="other.png"),
        "3": node("KSampler", **prompt()["3"]["inputs"] | {"model": ["13", 0]}),
    }  # fmt: skip
    result = sound(prompt() | PICTURE | chain)
    adapter = result.document.nodes[str(result.document.nodes["13"].links["ip_adapter"])]
    assert adapter.params == {"ip_adapter": "ip-adapter-plus-face_sdxl_vit-h.safetensors"}
    assert len([entry for entry in result.document.nodes.values() if entry.type == "load_image_encoder"]) == 1
    first, second = result.document.nodes["13~style"], result.document.nodes["13"]
    assert (first.params["part"], first.params["strength"], first.links["image"]) == ("style", 1.2, "10")
    assert (second.params["part"], second.params["strength"], second.links["image"]) == ("layout", 0.9, "14")
    assert second.links["model"] == "13~style"


@pytest.mark.parametrize(
    ("comfy", "slot", "inputs", "shown"),
    [
        ("LayerUtility: NumberCalculatorV2", 0, {"a_value": "7 px", "b_value": "2", "operator": "/"}, "3"),
        ("LayerUtility: NumberCalculatorV2", 1, {"a_value": "7", "b_value": "0", "operator": "/"}, "0.0"),
        ("LayerUtility: BooleanOperatorV2", 0, {"a_value": "1", "b_value": "0", "operator": "xor"}, "True"),
        ("LayerUtility: StringCondition", 0, {"text": "a fox", "condition": "exclude", "sub_string": "fox"}, "False"),
        ("LayerUtility: ImageScaleByAspectRatio V2", 3, FIT | {"scale_to_side": "longest"}, "96"),
        ("LayerUtility: ImageScaleByAspectRatio V2", 4, FIT | {"scale_to_side": "longest"}, "56"),
        ("LayerUtility: ImageScaleByAspectRatio V2", 4, FIT | {"aspect_ratio": "1:1", "scale_to_side": "None"}, "64"),
        ("MaskBoundingBox+", 4, {"mask": "MASK", "padding": 2, "blur": 0}, "24"),
        ("Number Operation", 2, {"number_a": 7, "number_b": 2, "operation": "division"}, "3"),
        ("Number Operation", 1, {"number_a": 7, "number_b": 2, "operation": "less-than"}, "0.0"),
        ("SimpleMath+", 0, {"value": "a / 2", "a": 7}, "4"),
        ("BatchCount+", 0, {"batch": "MASK"}, "1"),
        ("Power Puter (rgthree)", 0, {"outputs": {"outputs": ["INT"]}, "code": "b = a * 2\nreturn max(b, 9)", "a": 5}, "10"),
        ("Power Puter (rgthree)", 1, {"outputs": {"outputs": ["INT", "STRING"]}, "code": "a, f'{a} of {a + 1} {{x}}'", "a": 5}, "5 of 6 {x}"),
        ("Power Puter (rgthree)", 0, {"outputs": {"outputs": ["BOOLEAN"]}, "code": "a if a > 9 else not a", "a": 0}, "True"),
        ("CR Math Operation", 0, {"a": 1.0, "b": 3.0, "operation": "division", "decimal_places": 2}, "0.33"),
        ("CM_IntBinaryOperation", 0, {"op": "Pow", "a": 3, "b": 4}, "81"),
        ("CM_FloatUnaryOperation", 0, {"op": "Sqrt", "a": 2.25}, "1.5"),
        ("CM_IntBinaryCondition", 0, {"op": "a >= b", "a": 3, "b": 4}, "False"),
        ("easy compare", 0, {"a": 3, "b": 4, "comparison": "a != b"}, "True"),
        ("Logic Comparison XOR", 0, {"boolean_a": True, "boolean_b": True}, "False"),
        ("CR Split String", 1, {"text": "a, b,c", "delimiter": ","}, "b"),
        ("easy promptReplace", 0, {"prompt": "a cat", "find1": "cat", "replace1": "dog", "find2": "a", "replace2": "the"}, "the dog"),
        ("easy imageSizeBySide", 0, {"image": "IMAGE", "side": "Shortest"}, "40"),
        ("LayerUtility: XY to Percent", 1, {"background_image": "IMAGE", "layer_image": "IMAGE", "x": 0, "y": 20}, "100.0"),
        ("Image or Latent Size (rgthree)", 0, {"input": "IMAGE"}, "64"),
    ],
)  # fmt: skip
def test_pack_nodes_compute_what_they_say(
    tmp_path: Path, comfy: str, slot: int, inputs: dict[str, Any], shown: str
) -> None:
    picture = PIL.Image.new("RGBA", (64, 40), (200, 30, 40, 255))
    picture.paste((0, 0, 0, 0), (10, 8, 30, 24))  # 20 x 16 are marked
    picture.save(tmp_path / "in.png")
    result = run(comfy, slot, **inputs)
    with Session(Settings(cache_dir=tmp_path / "cache", device="cpu")) as session:
        notices = session.run(result.document, folder=tmp_path, out=tmp_path / "out").notices
    assert notices[-1].rpartition(": ")[2] == shown


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os", "does more than assign and compute"), ("a.upper()", "reads parts of values"), ("[x for x in a]", "reads parts"),
        ("a +", "no Python"), ("", "no Python"), ("__import__('os')", "__import__"), ("9 ** 9 ** 9", "too large"),
        ("\n".join(f"{b} = {a} + {a}" for a, b in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)) + "\nt", "too long"),
    ],
)  # fmt: skip
def test_code_that_does_more_than_compute_is_not_run(code: str, reason: str) -> None:
    puter = node("Power Puter (rgthree)", outputs={"outputs": ["INT"]}, code=code, a=["10", 0])
    shown = {**PICTURE, "10": node("PrimitiveInt", value=2), "20": puter, "30": node("PreviewAny", source=["20", 0])}
    result = imported(shown)
    said = " ".join(remark for entry in result.report.unsupported for remark in entry.remarks)
    if not said:  # it is an expression, which says the same when the document is checked or run
        problems = validate(result.document, REGISTRY).problems
        said = " ".join(problem.message for problem in problems)
        if not said:
            with Session(Settings(device="cpu", cache_bytes=0)) as session, pytest.raises(GraphflowError) as error:
                session.run(result.document)
            said = str(error.value)
    assert reason in said


def test_the_pieces_of_easy_use_put_together_are_the_loader_and_the_sampler() -> None:
    stack = node("easy loraStack", toggle=True, mode="simple", num_loras=1, lora_1_name="line", lora_1_strength=0.5)
    loader = node("easy fullLoader", ckpt_name="a", positive="a fox", negative="bad", optional_lora_stack=["14", 0])
    controlled = node(
        "easy controlnetLoaderADV",
        pipe=["15", 0],
        image=["10", 0],
        control_net_name="edges",
        strength=0.7,
        start_percent=0.1,
        end_percent=0.8,
    )
    settings = node(
        "easy preSamplingAdvanced",
        pipe=["16", 0],
        steps=9,
        cfg=4.0,
        sampler_name="euler",
        scheduler="normal",
        start_at_step=2,
        end_at_step=10000,
        add_noise="enable",
        seed=7,
        return_with_leftover_noise="disable",
    )
    parts = node("easy pipeOut", pipe=["17", 0])
    edited = node("easy pipeIn", pipe=["17", 0], neg=["18", 3], latent=["18", 4])
    sampler = node("easy kSamplerTiled", pipe=["19", 0], tile_size=512, image_output="Save", save_prefix="fox")
    nodes = sound(
        {
            **PICTURE,
            "14": stack,
            "15": loader,
            "16": controlled,
            "17": settings,
            "18": parts,
            "19": edited,
            "20": sampler,
        }
    ).document.nodes
    sample = next(entry for entry in nodes.values() if entry.type == "sample")
    wanted = {
        "steps": 9,
        "guidance_scale": 4.0,
        "start_step": 2,
        "end_step": None,
        "add_noise": True,
        "leftover_noise": False,
        "seed": 7,
    }
    assert wanted.items() <= sample.params.items()
    control = nodes[str(sample.links["positive"])]
    assert (control.type, control.params["strength"], control.params["end"]) == ("apply_control_net", 0.7, 0.8)
    lora = nodes[str(sample.links["model"])]
    assert (lora.type, lora.params["lora"], lora.params["strength"]) == ("apply_lora", "line", 0.5)
    assert nodes["20~save"].params["filename_prefix"] == "fox"


def test_a_quantised_flux_loader_names_its_files_and_its_loras() -> None:
    stack = node(
        "NunchakuFluxLoraStack",
        model=["11", 0],
        lora_count=2,
        lora_name_1="one",
        lora_strength_1=0.5,
        lora_name_2="None",
        lora_name_3="three",
    )
    encoder = node(
        "NunchakuTextEncoderLoaderV2",
        model_type="flux.1",
        text_encoder1="clip_l",
        text_encoder2="t5",
        t5_min_length=512,
    )
    loader = node(
        "NunchakuFluxDiTLoader",
        model_path="svdq",
        cache_threshold=0.12,
        attention="nunchaku-fp16",
        cpu_offload="auto",
        device_id=0,
        data_type="bfloat16",
        i2f_mode="enabled",
    )
    told = node("CLIPTextEncode", text="a", clip=["13", 0])
    sampler = prompt()["3"]["inputs"] | {"model": ["12", 0], "positive": ["14", 0], "negative": ["14", 0]}
    result = sound(prompt(n11=loader, n12=stack, n13=encoder, n14=told, n3=node("KSampler", **sampler)))
    nodes = result.document.nodes
    assert [entry.params["lora"] for entry in nodes.values() if entry.type == "apply_lora"] == ["one"]
    assert only(result, "set_t5_length") == {"min_length": 512}
    assert only(result, "load_text_encoder") == {"model": "clip_l", "model_2": "t5", "family": "flux"}
    (remark,) = next(entry.remarks for entry in result.report.entries if entry.id == "11")
    assert "cache_threshold" in remark


def test_no_type_has_both_a_rule_and_a_need() -> None:
    assert set(NEEDS) & set(RULES) == set()
    assert need_of("NobodyKnowsThis") is None


def test_nodes_that_refuse_to_run_are_said_before_running() -> None:
    loaders = node("DualCLIPLoader", clip_name1="a", clip_name2="b", type="hunyuan_video")
    result = sound(prompt(n11=loaders, n6=node("CLIPTextEncode", text="x", clip=["11", 0])))
    assert {family: [entry.id for entry in entries] for family, entries in result.report.waiting.items()} == {
        "hunyuan_video": ["11"]
    }
    assert result.report.to_json()["waits"] == ["hunyuan_video"]
    assert sound(prompt()).report.waiting == {}


def test_a_picture_is_cut_at_an_edge_for_the_image_encoder() -> None:
    result = run("PrepImageForClipVision", image="IMAGE", interpolation="LANCZOS", crop_position="top", sharpening=0.0)
    assert {"crop_image", "resize"} <= kinds(result)
    cut = next(entry for entry in result.document.nodes.values() if entry.type == "crop_image")
    assert "x" in cut.links and "y" not in cut.links
    assert "y" in next(
        entry.links
        for entry in run("PrepImageForClipVision", image="IMAGE", crop_position="bottom").document.nodes.values()
        if entry.type == "crop_image"
    )


@pytest.mark.parametrize(("swap", "width", "height"), [("Off", 896, 1152), ("On", 1152, 896)])
def test_a_size_is_taken_from_the_name_of_its_ratio(swap: str, width: int, height: int) -> None:
    inputs = {"width": 64, "height": 64, "aspect_ratio": "3:4 portrait 896x1152", "swap_dimensions": swap}
    ratio = node("CR SDXL Aspect Ratio", **inputs, upscale_factor=1.5, batch_size=2)
    sampler = prompt()["3"]["inputs"] | {"latent_image": ["11", 4]}
    result = sound(prompt(n11=ratio, n3=node("KSampler", **sampler)))
    assert result.document.nodes["11"].params == {"width": width, "height": height, "batch_size": 2}


def test_a_custom_size_is_scaled_before() -> None:
    ratio = node("CR Aspect Ratio", width=512, height=768, aspect_ratio="custom", prescale_factor=0.5, batch_size=1)
    sampler = prompt()["3"]["inputs"] | {"latent_image": ["11", 5]}
    result = sound(prompt(n11=ratio, n3=node("KSampler", **sampler)))
    assert result.document.nodes["11"].params == {"width": 256, "height": 384, "batch_size": 1}


def test_a_picture_is_enlarged_by_a_model_and_brought_to_a_factor() -> None:
    inputs = {"upscale_model": "4x.pth", "mode": "rescale", "rescale_factor": 2, "resampling_method": "bicubic"}
    result = run("CR Upscale Image", image="IMAGE", **inputs, rounding_modulus=8)
    assert kinds(result) == {"load_upscale_model", "upscale_image_with_model", "image_size", "expression", "resize"}
    assert only(result, "resize") == {"method": "bicubic", "multiple_of": 8}
    wide = run("CR Upscale Image", image="IMAGE", **{**inputs, "mode": "resize"}, resize_width=640)
    assert only(wide, "resize")["width"] == 640


@pytest.mark.parametrize("type", ["ImpactWildcardEncode", "Power Prompt (rgthree)"])
def test_loras_in_a_prompt_are_applied_and_taken_out_of_it(type: str) -> None:
    text = "a cat <lora:detail:0.5:0.25> in a hat <lora:old.pt>"
    inputs = (
        {"model": ["4", 0], "clip": ["4", 1], "wildcard_text": "a __pet__", "populated_text": text}
        if type == "ImpactWildcardEncode"
        else {"opt_model": ["4", 0], "opt_clip": ["4", 1], "prompt": text}
    )
    model, conditioning = (0, 2) if type == "ImpactWildcardEncode" else (1, 0)
    sampler = prompt()["3"]["inputs"] | {"model": ["11", model], "positive": ["11", conditioning]}
    result = sound(prompt(n11=node(type, **inputs), n3=node("KSampler", **sampler)))
    loras = [entry.params for entry in result.document.nodes.values() if entry.type == "apply_lora"]
    assert [(lora["lora"], lora["strength"], lora["text_encoder_strength"]) for lora in loras] == [
        ("detail.safetensors", 0.5, 0.25),
        ("old.pt", 1.0, 1.0),
    ]
    assert result.document.nodes["11"].params["text"] == "a cat  in a hat "


def easy(loader: dict[str, Any], **sampler: Any) -> Any:
    pipe = {"11": node("easy fullLoader", **loader), "12": node("easy preSampling", pipe=["11", 0], **sampler)}
    show = node("easy kSampler", pipe=["12", 0], image_output="Save", save_prefix="fox")
    return sound({**pipe, "13": show})


def test_a_pipe_of_easy_use_becomes_loaders_a_sampler_and_what_it_saves() -> None:
    loader = {
        "ckpt_name": "a.safetensors", "vae_name": "b.safetensors", "clip_skip": -2, "lora_name": "c.safetensors", "lora_model_strength": 0.5,
        "lora_clip_strength": 0.25, "resolution": "832 x 1216", "empty_latent_width": 64, "empty_latent_height": 64, "positive": "a fox",
        "negative": "bad", "batch_size": 3,
    }  # fmt: skip
    settings = {"steps": 9, "cfg": 4.5, "sampler_name": "ddim", "scheduler": "karras", "denoise": 0.9, "seed": 5}
    result = easy(loader, **settings)
    assert only(result, "empty_latent") == {"width": 832, "height": 1216, "batch_size": 3}
    assert only(result, "apply_lora")["text_encoder_strength"] == 0.25
    assert only(result, "set_text_layer") == {"layer": -2}
    sample = only(result, "sample")
    assert (sample["seed"], sample["steps"], sample["guidance_scale"], sample["strength"]) == (5, 9, 4.5, 0.9)
    assert only(result, "save_image")["filename_prefix"] == "fox"
    assert result.document.nodes["13"].meta["comfyui"]["ids"] == ["13", "12", "11"]


def test_a_sampler_that_shows_what_it_makes_is_an_output() -> None:
    sampler = prompt()["3"]["inputs"] | {"optional_vae": ["4", 2], "seed": -1}
    nodes = prompt(n3=node("KSampler (Efficient)", **sampler))
    del nodes["8"], nodes["9"]
    result = imported(nodes)
    assert {"sample", "vae_decode", "preview"} <= {entry.type for entry in result.document.nodes.values()}
    assert only(result, "sample")["seed"] == "random"


def test_a_loader_takes_the_name_of_either_version() -> None:
    for name in ("control_net_name", "cnet"):
        apply = node(
            "ACN_AdvancedControlNetApply", positive=["6", 0], negative=["7", 0], control_net=["11", 0], image=["10", 0]
        )
        loader = node("ControlNetLoaderAdvanced", **{name: "tile.pth"})
        sampler = prompt()["3"]["inputs"] | {"positive": ["12", 0], "negative": ["12", 1]}
        result = sound(prompt(n10=PICTURE["10"], n11=loader, n12=apply, n3=node("KSampler", **sampler)))
        assert only(result, "load_control_net") == {"control_net": "tile.pth"}


def test_listed_control_nets_are_applied_one_behind_the_other() -> None:
    inputs = {
        "switch_1": "On",
        "controlnet_1": "a.pth",
        "image_1": ["10", 0],
        "controlnet_strength_1": 0.5,
        "start_percent_1": 0.0,
    }
    more = {
        "end_percent_1": 0.5,
        "switch_2": "Off",
        "controlnet_2": "b.pth",
        "image_2": ["10", 0],
        "switch_3": "On",
        "controlnet_3": "None",
    }
    stack = node("CR Multi-ControlNet Stack", **inputs, **more)
    loaded = node("ControlNetLoader", control_net_name="c.pth")
    stacked = node("Control Net Stacker", control_net=["12", 0], image=["10", 0], strength=0.25, cnet_stack=["11", 0])
    applied = node("Apply ControlNet Stack", positive=["6", 0], negative=["7", 0], cnet_stack=["13", 0])
    sampler = prompt()["3"]["inputs"] | {"positive": ["14", 0], "negative": ["14", 1]}
    result = sound(
        prompt(n10=PICTURE["10"], n11=stack, n12=loaded, n13=stacked, n14=applied, n3=node("KSampler", **sampler))
    )
    nodes = result.document.nodes
    assert (nodes["14~control-1"].params["strength"], nodes["14~control-1"].params["end"]) == (0.5, 0.5)
    assert nodes["14"].links["positive"] == "14~control-1" and nodes["14"].links["control_net"] == "12"
    assert nodes["3"].links["negative"] == "14.negative"
    off = node(
        "CR Apply Multi-ControlNet",
        base_positive=["6", 0],
        base_negative=["7", 0],
        switch="Off",
        controlnet_stack=["11", 0],
    )
    result = sound(prompt(n10=PICTURE["10"], n11=stack, n14=off, n3=node("KSampler", **sampler)))
    assert result.document.nodes["3"].links["positive"] == "6"


@pytest.mark.parametrize(("kind", "native"), [("Save", "save_image"), ("Preview", "preview")])
def test_an_output_of_comfyroll_saves_or_shows(kind: str, native: str) -> None:
    output = node("CR Image Output", images=["10", 0], output_type=kind, filename_prefix="CR", file_format="png")
    assert kinds(sound({**PICTURE, "20": output})) == {native}


def test_the_sampler_of_xlabs_has_its_controls_and_starts_its_guidance_at_a_step() -> None:
    net = node("LoadFluxControlNet", model_name="flux-dev", controlnet_path="flux-canny-controlnet.safetensors")
    adapter = node(
        "LoadFluxIPAdapter", ipadatper="flux-ip-adapter.safetensors", clip_vision="clip_l.safetensors", provider="CPU"
    )
    applied = node("ApplyFluxControlNet", controlnet=["11", 0], image=["10", 0], strength=0.8)
    second = node(
        "ApplyAdvancedFluxControlNet",
        controlnet=["11", 0],
        image=["10", 0],
        strength=0.5,
        start=0.1,
        end=0.6,
        controlnet_condition=["13", 0],
    )
    prompted = node("ApplyFluxIPAdapter", model=["4", 0], ip_adapter_flux=["12", 0], image=["10", 0], ip_scale=0.92)
    inputs = {"model": ["15", 0], "conditioning": ["6", 0], "neg_conditioning": ["7", 0], "latent_image": ["5", 0]}
    inputs |= {"noise_seed": 4, "steps": 25, "true_gs": 3.5, "image_to_image_strength": 0, "denoise_strength": 1.0}
    parts = {"n10": PICTURE["10"], "n11": net, "n12": adapter, "n13": applied, "n14": second, "n15": prompted}

    def sampled(first: int) -> Any:
        told = inputs | {"controlnet_condition": ["14", 0], "timestep_to_start_cfg": first}
        return sound(prompt(**parts, n3=node("XlabsSampler", **told)))

    result = sampled(1)
    nodes = result.document.nodes.values()
    assert [entry.params["guidance_scale"] for entry in nodes if entry.type == "sample"] == [1.0, 3.5]
    stages = [entry.params for entry in nodes if entry.type == "sample"]
    assert (
        stages[0].items() >= {"end_step": 1, "leftover_noise": True, "steps": 25, "seed": 4, "sampler": "euler"}.items()
    )
    assert stages[1].items() >= {"start_step": 1, "add_noise": False}.items()
    controls = [entry.params for entry in nodes if entry.type == "apply_control_net"]
    assert [told["strength"] for told in controls] == [0.8, 0.5]
    assert controls[1].items() >= {"start": 0.1, "end": 0.6}.items()
    assert only(result, "apply_ip_adapter")["strength"] == 0.92
    for first, scale in ((0, 3.5), (25, 1.0)):
        assert only(sampled(first), "sample")["guidance_scale"] == scale


def test_a_mask_of_zimage_is_of_the_picture_to_fill_in() -> None:
    patch, vae = (
        node("ModelPatchLoader", name="Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"),
        node("VAELoader", vae_name="ae.safetensors"),
    )
    told = {
        "model": ["4", 0],
        "model_patch": ["11", 0],
        "vae": ["12", 0],
        "strength": 0.8,
        "image": ["10", 0],
        "mask": ["10", 1],
    }
    sampler = prompt()["3"]["inputs"] | {"model": ["13", 0]}
    for more in ({}, {"inpaint_image": ["10", 0]}):
        applied = node("ZImageFunControlnet", **told, **more)
        result = sound(prompt(n10=PICTURE["10"], n11=patch, n12=vae, n13=applied, n3=node("KSampler", **sampler)))
        (made,) = (entry for entry in result.document.nodes.values() if entry.type == "apply_control_patch")
        assert {"image", "vae"} <= made.links.keys()
        assert ("mask" in made.links) == ("inpaint_image" in made.links) == bool(more)
