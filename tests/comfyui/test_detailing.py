"""Detectors, detailers, samplers by mask and inpainting in cut-outs of custom packs: imported, and run with stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow import Session, Settings
from graphflow.converters.comfyui import Imported
from tests.models.onnx_files import write_onnx

from .prompts import imported, node, sound

TOLD = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0]}
MODEL = {**TOLD, "clip": ["1", 1], "vae": ["1", 2]}
STEPS = {"seed": 5, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}
GUIDE = {"guide_size": 64, "guide_size_for": True, "max_size": 128}
DRAWING = {**GUIDE, **STEPS, "feather": 5, "noise_mask": True, "force_inpaint": True, "cycle": 1}
FACES = {
    "bbox_threshold": 0.5, "bbox_dilation": 0, "bbox_crop_factor": 1.5, "sam_detection_hint": "center-1", "sam_dilation": 0,
    "sam_threshold": 0.93, "sam_bbox_expansion": 0, "drop_size": 10, "wildcard": "",
}  # fmt: skip
BASE = {
    "1": node("CheckpointLoaderSimple", ckpt_name="shapes.safetensors"),
    "2": node("CLIPTextEncode", text="a face", clip=["1", 1]),
    "3": node("CLIPTextEncode", text="", clip=["1", 1]),
    "10": node("LoadImage", image="in.png"),
    "20": node("ToBasicPipe", **MODEL),
    "21": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
    "22": node("SAMLoader", model_name="sam_vit_b_01ec64.pth", device_mode="AUTO"),
    "23": node("MaskToSEGS", mask=["10", 1], combined=False, crop_factor=1.5, bbox_fill=False, drop_size=10, contour_fill=False),
    "24": node("KSamplerProvider", basic_pipe=["20", 0], **STEPS),
    "25": node("VAEEncode", pixels=["10", 0], vae=["1", 2]),
    "26": node("KSamplerAdvancedProvider", basic_pipe=["20", 0], cfg=4.0, sampler_name="euler", scheduler="normal", sigma_factor=1.0),
    "27": node("ToDetailerPipe", **MODEL, bbox_detector=["21", 0], sam_model_opt=["22", 0], wildcard=""),
    "28": node("RegionalPrompt", mask=["10", 1], advanced_sampler=["26", 0]),
    "29": node("PixelKSampleUpscalerProvider", **TOLD, vae=["1", 2], **STEPS, use_tiled_vae=True),
    "30": node("InpaintCrop", image=["10", 0], mask=["10", 1], mode="ranged size", invert_mask=True, blur_mask_pixels=4, context_expand_factor=1.2),
    "31": node("CfgScheduleHookProvider", schedule_for_iteration="simple", target_cfg=5.0),
    "32": node("SEGSRangeFilterDetailerHookProvider", target="width", mode=True, min_value=10, max_value=90),
}  # fmt: skip
CROP = {
    "preresize": False, "mask_fill_holes": True, "mask_expand_pixels": 4, "mask_invert": False, "mask_blend_pixels": 4,
    "mask_hipass_filter": 0.1, "extend_for_outpainting": False, "context_from_mask_extend_factor": 1.2,
    "output_resize_to_target_size": True, "output_target_width": 64, "output_target_height": 64, "output_padding": "32",
}  # fmt: skip


def used(**nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes that lead to ``n90`` and later ones, which show."""
    every = {**BASE, **{name.removeprefix("n"): value for name, value in nodes.items()}}
    wanted, waiting = {}, [name.removeprefix("n") for name in nodes]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = every[name]
            waiting += [value[0] for value in every[name]["inputs"].values() if isinstance(value, list)]
    return wanted


def detailed(type: str, /, slot: int = 0, show: str = "PreviewImage", **inputs: Any) -> Imported:
    name = {"PreviewImage": "images", "MaskPreview": "mask", "PreviewAny": "source"}[show]
    return sound(used(n80=node(type, **inputs), n90=node(show, **{name: ["80", slot]})))


def kinds(result: Imported) -> list[str]:
    return [entry.type for entry in result.document.nodes.values()]


def one(result: Imported, type: str) -> dict[str, Any]:
    (found,) = (entry.params for entry in result.document.nodes.values() if entry.type == type)
    return dict(found)


def refusals(result: Imported) -> str:
    return " ".join(remark for entry in result.report.unsupported for remark in entry.remarks)


# ------------------------------------------------------------------------------------------------------ runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture, transparent in a rectangle."""
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[20:60, 30:70, 3] = 0
    PIL.Image.fromarray(pixels).save(tmp_path / "in.png")
    return tmp_path


def run(result: Imported, folder: Path, *targets: str) -> list[torch.Tensor]:
    """Run with the packaged model and random weights in place of others; returns the pictures of nodes."""
    document = result.require()
    if "1" in document.nodes:
        document.nodes["1"].params["model"] = "shapes"
    settings = Settings(
        models=(folder / "models",), cache_dir=folder / "cache", offline=True, safety="off", stand_in=True
    )
    with Session(settings) as session:
        values = session.run(document, folder=folder, out=folder / "out", targets=["10", *targets]).values
    return [values[f"{target}.image"].pixels for target in ("10", *targets)]


def test_a_face_is_found_and_drawn_anew_and_the_rest_stays(folder: Path) -> None:
    """The detector of a pickle's name is the ONNX file beside it; where it finds nothing nothing changes."""
    seen = np.zeros((1, 5, 20), np.float32)
    seen[0, :, 0] = (32, 32, 20, 20, 0.9)
    write_onnx(folder / "models" / "ultralytics" / "bbox" / "face_yolov8m.onnx", seen)
    face = node("FaceDetailer", image=["10", 0], **MODEL, **DRAWING, **FACES, bbox_detector=["21", 0])
    shown = node("PreviewImage", images=["80", 1])
    before, after = run(sound(used(n80=face, n90=node("PreviewImage", images=["80", 0]), n91=shown)), folder, "80")
    inside = torch.zeros(96, 128, dtype=torch.bool)
    inside[28 - 5 : 68 + 5, 44 - 5 : 84 + 5] = True  # the box, and what feathering takes of it
    changed = (before - after).abs().amax((0, 1)) > 0
    assert not changed[~inside].any() and changed[34:62, 50:78].float().mean() > 0.9
    blind = {**face["inputs"], "bbox_threshold": 0.95}
    before, after = run(
        sound(used(n80=node("FaceDetailer", **blind), n90=node("PreviewImage", images=["80", 0]), n91=shown)),
        folder,
        "80",
    )
    assert torch.equal(before, after)


def test_what_is_inpainted_in_a_cut_out_changes_the_mask_and_no_more(folder: Path) -> None:
    nodes = {
        "n80": node("InpaintCropImproved", image=["10", 0], mask=["10", 1], **CROP),
        "n81": node("VAEEncode", pixels=["80", 1], vae=["1", 2]),
        "n82": node("SetLatentNoiseMask", samples=["81", 0], mask=["80", 2]),
        "n83": node("KSampler", **STEPS, latent_image=["82", 0], **TOLD),
        "n84": node("VAEDecode", samples=["83", 0], vae=["1", 2]),
        "n85": node("InpaintStitchImproved", stitcher=["80", 0], inpainted_image=["84", 0]),
        "n90": node("PreviewImage", images=["85", 0]),
    }  # fmt: skip
    result = sound(used(**nodes))
    before, after = run(result, folder, "85")
    inside = torch.zeros(96, 128, dtype=torch.bool)
    inside[20 - 12 : 60 + 12, 30 - 12 : 70 + 12] = True  # grown by 4, and blended over 4 + 4
    changed = (before - after).abs().amax((0, 1)) > 0
    assert not changed[~inside].any() and changed[20:60, 30:70].float().mean() > 0.9


@pytest.mark.parametrize("context", [None, ["10", 1]])
@pytest.mark.parametrize(
    ("crop", "stitch", "slot", "inputs"),
    [
        ("InpaintCropImproved", "InpaintStitchImproved", "stitcher", CROP),
        ("InpaintCrop", "InpaintStitch", "stitch", {}),
    ],
)
def test_nothing_to_inpaint_leaves_the_picture(
    folder: Path, crop: str, stitch: str, slot: str, inputs: dict[str, Any], context: list[Any] | None
) -> None:
    PIL.Image.open(folder / "in.png").convert("RGB").save(folder / "in.png")
    around = {} if context is None else {"optional_context_mask": context}
    nodes = {
        "n80": node(crop, image=["10", 0], mask=["10", 1], **around, **inputs),
        "n84": node("ImageInvert", image=["80", 1]),
        "n85": node(stitch, **{slot: ["80", 0]}, inpainted_image=["84", 0]),
        "n90": node("PreviewImage", images=["85", 0]),
    }
    before, after = run(sound(used(**nodes)), folder, "85")
    assert torch.equal(before, after)


def test_tiles_of_a_larger_picture_are_drawn_one_by_one(folder: Path) -> None:
    sizes = {"tile_width": 96, "tile_height": 96, "mask_blur": 4, "tile_padding": 8}
    inputs = {**STEPS, "upscale_by": 1.5, "mode_type": "Linear", "seam_fix_mode": "None", **sizes}
    result = detailed("UltimateSDUpscale", image=["10", 0], **TOLD, vae=["1", 2], **{**inputs, "denoise": 0.0})
    before, after = run(result, folder, "80")
    assert after.shape == (1, 3, 144, 192)
    plain = torch.nn.functional.interpolate(before[:, :3], size=(144, 192), mode="bicubic", antialias=True)
    assert float((after.mean((2, 3)) - plain.mean((2, 3))).abs().max()) < 0.1


def test_stand_ins_describe_cut_and_layer(folder: Path) -> None:
    described = node(
        "Florence2Run", image=["10", 0], florence2_model=["81", 0], text_input="", task="caption", do_sample=False
    )
    florence = node(
        "DownloadAndLoadFlorence2Model", model="microsoft/Florence-2-base", precision="fp16", attention="sdpa"
    )
    cut = node("Image Remove Background (rembg)", image=["10", 0])
    layers = node("LayeredDiffusionDecode", samples=["25", 0], images=["10", 0], sd_version="SDXL", sub_batch_size=16)
    shown = {
        "n90": node("PreviewAny", source=["80", 2]), "n91": node("PreviewImage", images=["82", 0]), "n92": node("PreviewImage", images=["83", 0]),
    }  # fmt: skip
    result = sound(used(n80=described, n81=florence, n82=cut, n83=layers, **shown))
    _, cut_out, coloured = run(result, folder, "82~picture", "83")
    assert cut_out.shape == (1, 4, 96, 128) and coloured.shape == (1, 3, 96, 128)


# ----------------------------------------------------------------------------------------------------- rules


def test_a_detailer_draws_what_was_chosen_by_its_own_prompt_and_each_with_a_seed() -> None:
    largest = node(
        "ImpactSEGSOrderedFilter", segs=["23", 0], target="area(=w*h)", order=True, take_start=0, take_count=1
    )
    drawn = node(
        "DetailerForEach",
        image=["10", 0],
        segs=["81", 0],
        **MODEL,
        **{**DRAWING, "cycle": 2, "noise_mask_feather": 4},
        wildcard="a red nose <lora:nose:0.5>",
    )
    result = sound(used(n80=drawn, n81=largest, n90=node("PreviewImage", images=["80", 0])))
    assert one(result, "choose_segments") == {"by": "area", "order": "descending", "skip": 0, "most": 1}
    assert one(result, "crop_segments") == {"guide_size": 64, "guide": "box", "longest": 128, "skip_large": False}
    assert one(result, "apply_lora")["lora"] == "nose.safetensors"
    assert kinds(result).count("sample") == 2 and "differential_diffusion" in kinds(result)
    samples = [entry for entry in result.document.nodes.values() if entry.type == "sample"]
    assert all(entry.links["seed"] == "80~seeds" and entry.links["positive"] == "80~prompt" for entry in samples)


@pytest.mark.parametrize(
    ("type", "inputs", "made"),
    [
        ("FaceDetailerPipe", {"image": ["10", 0], "detailer_pipe": ["27", 0], **DRAWING, **FACES, "refiner_ratio": 0.2}, "outline_segments"),
        ("DetailerForEachPipe", {"image": ["10", 0], "segs": ["23", 0], "basic_pipe": ["20", 0], **DRAWING, "wildcard": ""}, "paste_segments"),
        ("DetailerForEachDebug", {"image": ["10", 0], "segs": ["23", 0], **MODEL, **DRAWING, "inpaint_model": True}, "inpaint_conditioning"),
        ("MaskDetailerPipe", {"image": ["10", 0], "mask": ["10", 1], "basic_pipe": ["20", 0], **GUIDE, **STEPS, "mask_mode": True}, "segments_from_mask"),
        ("UltimateSDUpscaleNoUpscale", {"upscaled_image": ["10", 0], **TOLD, "vae": ["1", 2], **STEPS}, "tile_segments"),
    ],
)  # fmt: skip
def test_detailers_become_nodes_that_run_once_for_each(type: str, inputs: dict[str, Any], made: str) -> None:
    result = detailed(type, **inputs)
    assert {made, "crop_segments", "sample", "paste_segments"} <= set(kinds(result))


@pytest.mark.parametrize(
    ("words", "made", "refused"),
    [
        ("[CONCAT] a red nose", ["encode_prompt", "concat_conditioning"], ""),
        ("an [old] nose", ["encode_prompt"], ""),
        ("[ASC] one [SEP] two", [], "prompts for single cut-outs"),
    ],
)
def test_words_of_a_detailer(words: str, made: list[str], refused: str) -> None:
    drawn = node("DetailerForEach", image=["10", 0], segs=["23", 0], **MODEL, **DRAWING, wildcard=words)
    result = imported(used(n80=drawn, n90=node("PreviewImage", images=["80", 0])))
    assert [entry.type for id, entry in result.document.nodes.items() if id in ("80~prompt", "80~concat")] == made
    assert refused in refusals(result)


def test_segments_that_were_drawn_travel_with_their_pictures() -> None:
    drawn = node(
        "SEGSDetailer",
        image=["10", 0],
        segs=["23", 0],
        basic_pipe=["20", 0],
        **GUIDE,
        **STEPS,
        noise_mask=True,
        force_inpaint=True,
        batch_size=1,
    )
    result = sound(
        used(
            n81=drawn,
            n80=node("SEGSPaste", image=["10", 0], segs=["81", 0], feather=3, alpha=255),
            n90=node("PreviewImage", images=["80", 0]),
        )
    )
    assert result.document.nodes["80"].links["images"] == "81~decode"
    refused = imported(
        used(
            n80=node("SEGSPaste", image=["10", 0], segs=["23", 0], feather=3),
            n90=node("PreviewImage", images=["80", 0]),
        )
    )
    assert "nothing was drawn" in refusals(refused)


@pytest.mark.parametrize(
    ("type", "inputs", "made"),
    [
        ("BboxDetectorSEGS", {"bbox_detector": ["21", 0], "threshold": 0.4, "dilation": 10, "crop_factor": 2.0, "drop_size": 8, "labels": "face"},
         {"detector": "bbox/face_yolov8m.pt", "threshold": 0.4, "dilation": 10, "crop_factor": 2.0, "smallest": 8}),
        ("SegmDetectorSEGS", {"segm_detector": ["21", 1]}, {"detector": "bbox/face_yolov8m.pt", "outline": True, "threshold": 0.5, "dilation": 0, "crop_factor": 3.0, "smallest": 10}),
    ],
)  # fmt: skip
def test_detectors_are_parts_of_what_detects(type: str, inputs: dict[str, Any], made: dict[str, Any]) -> None:
    nodes = {"n80": node(type, image=["10", 0], **inputs), "n81": node("SegsToCombinedMask", segs=["80", 0])}
    result = sound(used(**nodes, n90=node("MaskPreview", mask=["81", 0])))
    assert one(result, "detect_segments") == made
    assert ("choose_segments" in kinds(result)) == ("labels" in inputs)


def test_no_segments_and_all_as_one() -> None:
    for type, inputs in (("EmptySegs", {}), ("ImpactSEGSMerge", {"segs": ["23", 0]})):
        nodes = {"n80": node(type, **inputs), "n81": node("ImpactIsNotEmptySEGS", segs=["80", 0])}
        result = sound(used(**nodes, n90=node("PreviewAny", source=["81", 0])))
        assert result.document.nodes["80"].type == "segments_from_mask"


def test_words_find_and_outlines_cut() -> None:
    dino = node("GroundingDinoModelLoader (segment anything)", model_name="GroundingDINO_SwinT_OGC (694MB)")
    sam = node("SAMModelLoader (segment anything)", model_name="sam_vit_h (2.56GB)")
    cut = node(
        "GroundingDinoSAMSegment (segment anything)",
        sam_model=["81", 0],
        grounding_dino_model=["82", 0],
        image=["10", 0],
        prompt="face",
        threshold=0.3,
    )
    result = sound(
        used(
            n80=cut,
            n81=sam,
            n82=dino,
            n90=node("PreviewImage", images=["80", 0]),
            n91=node("MaskPreview", mask=["80", 1]),
        )
    )
    assert one(result, "detect_segments")["detector"] == "IDEA-Research/grounding-dino-tiny"
    assert one(result, "outline_segments")["segmenter"] == "facebook/sam-vit-huge"


def test_samplers_by_mask_and_by_region() -> None:
    two = detailed(
        "TwoSamplersForMask",
        show="PreviewAny",
        latent_image=["25", 0],
        base_sampler=["24", 0],
        mask_sampler=["24", 0],
        mask=["10", 1],
    )
    assert [entry.type for entry in two.document.nodes.values() if entry.type in ("sample", "set_noise_mask", "invert_mask")] == [
        "invert_mask", "set_noise_mask", "sample", "set_noise_mask", "sample",
    ]  # fmt: skip
    region = node("RegionalPrompt", mask=["10", 1], advanced_sampler=["26", 0])
    sampled = node(
        "RegionalSampler",
        samples=["25", 0],
        base_sampler=["26", 0],
        regional_prompts=["81", 0],
        seed=1,
        steps=3,
        denoise=0.5,
    )
    result = sound(used(n80=sampled, n81=region, n90=node("PreviewAny", source=["80", 0])))
    made = one(result, "sample")
    assert (made["seed"], made["steps"], made["strength"], made["guidance_scale"]) == (1, 3, 0.5, 4.0)
    assert kinds(result).count("set_conditioning_mask") == 4


def test_enlarging_step_by_step_changes_its_settings_as_its_hook_says() -> None:
    hook = node("DenoiseScheduleHookProvider", schedule_for_iteration="simple", target_denoise=0.1)
    upscaler = node(
        "PixelKSampleUpscalerProviderPipe",
        basic_pipe=["20", 0],
        scale_method="bicubic",
        use_tiled_vae=False,
        pk_hook_opt=["82", 0],
        **STEPS,
    )
    large = node(
        "IterativeLatentUpscale", samples=["25", 0], upscale_factor=2.0, steps=3, temp_prefix="", upscaler=["81", 0]
    )
    result = sound(used(n80=large, n81=upscaler, n82=hook, n90=node("PreviewAny", source=["80", 0])))
    by_type = {
        type: [entry.params for entry in result.document.nodes.values() if entry.type == type]
        for type in ("sample", "resize")
    }
    assert [entry["strength"] for entry in by_type["sample"]] == pytest.approx([0.5, 0.3, 0.1])
    assert float(np.prod([entry["scale"] for entry in by_type["resize"]])) == pytest.approx(2.0)


def test_a_pipe_of_a_detailer_gives_what_went_into_it() -> None:
    edited = node("EditDetailerPipe", detailer_pipe=["27", 0], negative=["2", 0])
    taken = node("FromDetailerPipe_v2", detailer_pipe=["81", 0])
    basic = node("DetailerPipeToBasicPipe", detailer_pipe=["82", 0])
    sampled = node("ImpactKSamplerBasicPipe", basic_pipe=["83", 0], latent_image=["25", 0], **STEPS)
    result = sound(used(n80=sampled, n81=edited, n82=taken, n83=basic, n90=node("PreviewAny", source=["80", 1])))
    assert result.document.nodes["80"].links == {"model": "1", "positive": "2", "negative": "2", "latent": "25"}


def test_a_pipe_that_is_edited_brings_its_detectors_hook_and_words() -> None:
    second = node("UltralyticsDetectorProvider", model_name="segm/hand.pt")
    hook = node("SEGSOrderedFilterDetailerHookProvider", target="x1", order=False, take_start=0, take_count=1)
    edited = node(
        "EditDetailerPipe", detailer_pipe=["27", 0], segm_detector=["82", 1], detailer_hook=["83", 0], wildcard="a hand"
    )
    drawn = node(
        "FaceDetailerPipe",
        image=["10", 0],
        detailer_pipe=["81", 0],
        **DRAWING,
        **{name: value for name, value in FACES.items() if name != "wildcard"},
    )
    again = node("FaceDetailerPipe", **{**drawn["inputs"], "image": ["84", 0], "detailer_pipe": ["84", 4]})
    result = sound(
        used(n80=again, n84=drawn, n81=edited, n82=second, n83=hook, n90=node("PreviewImage", images=["80", 0]))
    )
    nodes = result.document.nodes
    assert nodes["80~hook-0"].params == {"by": "left", "order": "ascending", "skip": 0, "most": 1}
    assert nodes["80~prompt"].params["text"] == "a hand" and nodes["80~found"].links["image"] == "84"
    assert kinds(result).count("outline_segments") == 2


def test_tiled_sampling_and_removed_backgrounds_say_what_differs() -> None:
    tiled = {"tile_width": 512, "tile_height": 512, "tiling_strategy": "padded"}
    result = detailed("BNK_TiledKSampler", show="PreviewAny", latent_image=["25", 0], **TOLD, **STEPS, **tiled)
    assert any("sampled whole" in remark for remark in result.report.remarks)
    white = detailed(
        "BiRefNetRMBG",
        image=["10", 0],
        model="BiRefNet-general",
        mask_blur=2,
        mask_offset=-3,
        invert_output=False,
        background="Color",
        background_color="#ffffff",
    )
    assert (
        one(white, "foreground_mask")["model"] == "BiRefNet-general.onnx"
        and one(white, "solid_image")["color"] == "#ffffff"
    )
    assert one(white, "grow_mask")["amount"] == -3
    session = node("RemBGSession+", model="isnet-general-use: general purpose", providers="CPU")
    cut = node("ImageRemoveBackground+", rembg_session=["81", 0], image=["10", 0])
    result = sound(used(n80=cut, n81=session, n90=node("PreviewImage", images=["80", 0])))
    assert one(result, "foreground_mask") == {"model": "isnet-general-use.onnx", "centred": True}
    second = one(detailed("RMBG", image=["10", 0], model="RMBG-2.0"), "foreground_mask")
    assert second == {"model": "RMBG-2.0.onnx", "centred": False}


def test_transparency_is_a_lora_and_a_decoder() -> None:
    layered = node("LayeredDiffusionApply", model=["1", 0], config="SDXL, Attention Injection", weight=0.8)
    nodes = {
        "n81": layered, "n82": node("KSampler", **{**TOLD, "model": ["81", 0]}, latent_image=["25", 0], **STEPS),
        "n83": node("VAEDecode", samples=["82", 0], vae=["1", 2]),
        "n80": node("LayeredDiffusionDecodeRGBA", samples=["82", 0], images=["83", 0], sd_version="SDXL", sub_batch_size=16),
        "n90": node("PreviewImage", images=["80", 0]),
    }  # fmt: skip
    result = sound(used(**nodes))
    assert one(result, "apply_lora") == {"lora": "layer_xl_transparent_attn.safetensors", "strength": 0.8}
    assert result.document.nodes["80"].type == "join_alpha" and "decode_transparency" in kinds(result)
    shared = {**layered["inputs"], "config": "SD15, Attention Injection (attn_sharing)"}
    refused = imported(used(**{**nodes, "n81": node("LayeredDiffusionApply", **shared)}))
    assert "shares attention" in refusals(refused)


def test_words_and_masks_come_from_one_answer() -> None:
    model = node("DownloadAndLoadFlorence2Model", model="microsoft/Florence-2-base", precision="fp16", attention="sdpa")
    asked = node(
        "Florence2Run",
        image=["10", 0],
        florence2_model=["81", 0],
        text_input="a hat",
        task="caption_to_phrase_grounding",
        do_sample=False,
        num_beams=2,
    )
    shown = {"n90": node("MaskPreview", mask=["80", 1]), "n91": node("PreviewAny", source=["80", 2])}
    result = sound(used(n80=asked, n81=model, **shown))
    made = one(result, "describe_image")
    assert made["model"] == "florence-community/Florence-2-base" and made["task"] == "find_phrases"
    boxes = sound(used(n80=asked, n81=model, n92=node("PreviewImage", images=["80", 0])))
    assert any("boxes are not drawn" in remark for remark in boxes.report.remarks)


def test_a_second_pass_of_a_sampler_is_one_more_node() -> None:
    script = {"upscale_type": "latent", "hires_ckpt_name": "(use same)", "latent_upscaler": "nearest-exact", "upscale_by": 1.5, "use_same_seed": True, "hires_steps": 3, "denoise": 0.4, "iterations": 1, "use_controlnet": False}  # fmt: skip
    sampled = node(
        "KSampler (Efficient)",
        **TOLD,
        **STEPS,
        latent_image=["25", 0],
        optional_vae=["1", 2],
        script=["81", 0],
        preview_method="auto",
        vae_decode="true",
    )
    result = sound(
        used(n80=sampled, n81=node("HighRes-Fix Script", **script), n90=node("PreviewImage", images=["80", 5]))
    )
    first, second = (entry for entry in result.document.nodes.values() if entry.type == "sample")
    assert (first.params["steps"], second.params["steps"], second.params["strength"]) == (2, 3, 0.4)
    assert first.params["seed"] == second.params["seed"] == 5
    assert one(result, "upscale_latent") == {"scale": 1.5, "method": "nearest"}


def test_sdxl_with_its_refiner_travels_on_one_link() -> None:
    loader = node("Eff. Loader SDXL", base_ckpt_name="xl.safetensors", base_clip_skip=-2, refiner_ckpt_name="refiner.safetensors", refiner_clip_skip=-2, positive_ascore=6.0, negative_ascore=2.0, vae_name="Baked VAE", positive="a fox", negative="", empty_latent_width=1024, empty_latent_height=1024, batch_size=1)  # fmt: skip
    sampled = node(
        "KSampler SDXL (Eff.)",
        sdxl_tuple=["81", 0],
        latent_image=["81", 1],
        optional_vae=["81", 2],
        noise_seed=3,
        steps=10,
        cfg=7.0,
        sampler_name="euler",
        scheduler="normal",
        start_at_step=0,
        refine_at_step=8,
        preview_method="auto",
        vae_decode="true",
    )
    result = sound(used(n80=sampled, n81=loader, n90=node("PreviewImage", images=["80", 3])))
    base, refiner = (entry for entry in result.document.nodes.values() if entry.type == "sample")
    assert (
        base.params["end_step"],
        base.params["leftover_noise"],
        refiner.params["start_step"],
        refiner.params["add_noise"],
    ) == (8, True, 8, False)
    assert base.links["model"] == "81~base" and refiner.links["positive"] == "81~refiner-positive"


@pytest.mark.parametrize(
    ("type", "inputs", "slot", "number"),
    [
        ("Evaluate Integers", {"python_expression": "a * b + c", "a": 3, "b": 4, "c": 5}, 0, "a * b + c"),
        ("CR Integer Multiple", {"integer": 3, "multiple": 4}, 0, "a * b"),
    ],
)
def test_numbers_are_computed(type: str, inputs: dict[str, Any], slot: int, number: str) -> None:
    assert one(detailed(type, slot=slot, show="PreviewAny", **inputs), "expression")["expression"] == number


@pytest.mark.parametrize(
    ("told", "solver", "levels"),
    [
        ({"sampler_name": "multistep/res_2m", "scheduler": "beta57", "denoise": 1.0, "eta": 0.0, "bongmath": False}, "res_multistep", "beta_sigmas"),
        ({"sampler_name": "exponential/res_2s", "scheduler": "simple", "denoise": 0.5, "eta": 0.5, "bongmath": True}, "exp_heun_2_x0", "make_sigmas"),
        ({"sampler_name": "linear/euler", "scheduler": "beta57", "denoise": 0.5, "steps_to_run": 3}, "euler", "split_sigmas_at_strength"),
    ],
)  # fmt: skip
def test_a_plain_sampler_of_res4lyf_is_its_published_solver(told: dict[str, Any], solver: str, levels: str) -> None:
    inputs = {"steps": 10, "steps_to_run": -1, "cfg": 3.0, "seed": 4, "sampler_mode": "standard", **told}
    result = detailed("ClownsharKSampler_Beta", show="PreviewAny", latent_image=["25", 0], **TOLD, **inputs)
    assert one(result, "select_sampler") == {"sampler": solver} and levels in kinds(result)
    assert ("split_sigmas" in kinds(result)) == (inputs["steps_to_run"] == 3)
    assert any("eta is left out" in remark for remark in result.report.remarks) == bool(inputs.get("eta", 0.5))
    odd = node(
        "ClownsharKSampler_Beta",
        latent_image=["25", 0],
        **TOLD,
        **{**inputs, "sampler_name": "fully_implicit/gauss-legendre_2s"},
    )
    refused = imported(used(n80=odd, n90=node("PreviewAny", source=["80", 0])))
    assert "its solver gauss-legendre_2s" in refusals(refused)


HERE = ["80", 0]
FACE = {"image": ["10", 0], **MODEL, **DRAWING, **FACES, "bbox_detector": ["21", 0]}
SEGS = {"81": node("SegsToCombinedMask", segs=HERE), "90": node("MaskPreview", mask=["81", 0])}
AFTER: dict[str, dict[str, Any]] = {
    "image": {"90": node("PreviewImage", images=HERE)},
    "any": {"90": node("PreviewAny", source=HERE)},
    "latent": {"90": node("PreviewAny", source=["80", 1])},
    "segs": SEGS,
    "pipe": {"81": node("FaceDetailerPipe", image=["10", 0], detailer_pipe=HERE, **DRAWING, **FACES), "90": node("PreviewImage", images=["81", 0])},
    "hook": {"81": node("FaceDetailer", **FACE, detailer_hook=HERE), "90": node("PreviewImage", images=["81", 0])},
    "change": {
        "81": node("PixelKSampleUpscalerProviderPipe", basic_pipe=["20", 0], pk_hook_opt=HERE, **STEPS),
        "82": node("IterativeImageUpscale", pixels=["10", 0], vae=["1", 2], upscaler=["81", 0], upscale_factor=1.5, steps=2),
        "90": node("PreviewImage", images=["82", 0]),
    },
    "regions": {
        "81": node("RegionalSampler", samples=["25", 0], base_sampler=["26", 0], regional_prompts=HERE, seed=1, steps=2, denoise=1.0),
        "90": node("PreviewAny", source=["81", 0]),
    },
}  # fmt: skip
SIMPLE = {
    "bbox_threshold": 0.5,
    "bbox_dilation": 0,
    "crop_factor": 3.0,
    "drop_size": 10,
    "sub_threshold": 0.5,
    "sub_dilation": 0,
    "sub_bbox_expansion": 0,
}
OPTIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("ToDetailerPipeSDXL", "pipe", {**MODEL, "refiner_model": ["1", 0], "refiner_positive": ["2", 0], "refiner_negative": ["3", 0], "bbox_detector": ["21", 0]}, "sample"),
    ("ImpactSimpleDetectorSEGS", "segs", {"bbox_detector": ["21", 0], "segm_detector_opt": ["21", 1], "image": ["10", 0], **SIMPLE, "post_dilation": 3}, "change_segment_masks"),
    ("ImpactSEGSLabelFilter", "segs", {"segs": ["23", 0], "preset": "all", "labels": "face, hand"}, "choose_segments"),
    ("ImpactSEGSRangeFilter", "segs", {"segs": ["23", 0], "target": "area(=w*h)", "mode": True, "min_value": 1, "max_value": 9000}, "choose_segments"),
    ("ImpactMakeTileSEGS", "segs", {"images": ["10", 0], "bbox_size": 64, "crop_factor": 1.5, "min_overlap": 8, "filter_in_segs_opt": ["23", 0]}, "mask_segments"),
    ("SEGSLabelFilterDetailerHookProvider", "hook", {"preset": "all", "labels": "face"}, "choose_segments"),
    ("DetailerHookCombine", "hook", {"hook1": ["32", 0], "hook2": ["32", 0]}, "choose_segments"),
    ("PixelKSampleHookCombine", "change", {"hook1": ["31", 0], "hook2": ["31", 0]}, "sample"),
    ("IterativeImageUpscale", "image", {"pixels": ["10", 0], "vae": ["1", 2], "upscaler": ["29", 0], "upscale_factor": 1.5, "steps": 2, "step_mode": "geometric"}, "resize"),
    ("CombineRegionalPrompts", "regions", {"regional_prompts1": ["28", 0], "regional_prompts2": ["28", 0]}, "combine_conditioning"),
    ("TwoAdvancedSamplersForMask", "any", {"latent_image": ["25", 0], "base_sampler": ["26", 0], "mask_sampler": ["26", 0], "mask": ["10", 1], "seed": 1, "steps": 2, "denoise": 1.0}, "set_conditioning_mask"),
    ("InpaintCrop", "latent", {"image": ["10", 0], "mask": ["10", 1], "mode": "forced size", "force_width": 64, "force_height": 64}, "crop_segments"),
    ("InpaintStitch", "image", {"stitch": ["30", 0], "inpainted_image": ["30", 1], "rescale_algorithm": "bislerp"}, "blur_mask"),
]  # fmt: skip
"""Type, what comes behind it, its inputs, and one of the nodes that it becomes."""


@pytest.mark.parametrize(("type", "behind", "inputs", "made"), OPTIONS)
def test_options_that_the_smallest_workflow_of_a_type_leaves_alone(
    type: str, behind: str, inputs: dict[str, Any], made: str
) -> None:
    every = {"80": node(type, **inputs), **AFTER[behind]}
    assert made in kinds(sound(used(**{f"n{name}": value for name, value in every.items()})))
