"""The smallest workflow in which a ComfyUI type has all that it needs, made from what is known of its inputs."""

from __future__ import annotations

import re
import wave
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from graphflow import Session, Settings
from graphflow.converters.comfyui import catalogue, to_native, to_prompt
from graphflow.converters.comfyui.building import Builder, Const, Fused, Ref, RefusedError, Source, Value
from graphflow.converters.comfyui.native import apply
from graphflow.converters.comfyui.pruning import link_of
from graphflow.converters.comfyui.rules import RULES, Rule
from graphflow.errors import GraphflowError
from graphflow.settings import RootSetting
from graphflow.spec.registry import Registry

Prompt = dict[str, dict[str, Any]]

EDGE = 64
_PICTURE = {"class_type": "LoadImage", "inputs": {"image": "in.png"}}
_SOURCES: Mapping[str, tuple[Any, ...]] = {
    "MODEL": ("ckpt", 0), "CLIP": ("ckpt", 1), "VAE": ("ckpt", 2), "IMAGE": ("pic", 0), "MASK": ("pic", 1),
    "CONDITIONING": ("told", 0), "LATENT": ("empty", 0), "SIGMAS": ("sigmas", 0), "SAMPLER": ("sampler", 0),
    "NOISE": ("noise", 0), "GUIDER": ("guider", 0), "CONTROL_NET": ("net", 0), "CLIP_VISION": ("seer", 0),
    "CLIP_VISION_OUTPUT": ("seen", 0), "UPSCALE_MODEL": ("larger", 0), "AUDIO": ("silence", 0), "VIDEO": ("video", 0),
    "STYLE_MODEL": ("style", 0), "GLIGEN": ("boxes", 0), "LATENT_OPERATION": ("operation", 0),
    "TIMESTEPS_RANGE": ("times", 0), "INT": ("whole", 0), "FLOAT": ("number", 0), "STRING": ("text", 0),
    "BOOLEAN": ("yes", 0), "MODEL_PATCH": ("patch", 0), "AUDIO_ENCODER": ("hearer", 0),
    "AUDIO_ENCODER_OUTPUT": ("heard", 0), "WAN_CAMERA_EMBEDDING": ("camera", 0), "*": ("number", 0),
    "BASIC_PIPE": ("pipe", 0), "DETAILER_PIPE": ("details", 0), "DETECTOR": ("finder", 0), "SAM": ("sam", 0),
    "SEGS": ("cutouts", 0), "HOOK": ("hook", 0), "UPSCALER": ("enlarger", 0), "REGIONS": ("regions", 0),
    "PK_HOOK": ("change", 0), "STITCH": ("cut", 0), "REMOVER": ("remover", 0), "OUTLINER": ("finder", 1), "DINO": ("dino", 0),
    "KSAMPLER": ("drawer", 0), "KSAMPLER_ADVANCED": ("drawer2", 0),
}  # fmt: skip
"""Where a link of each kind comes from."""


def _node(type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": type, "inputs": inputs}


def _link(kind: str) -> list[Any]:
    return list(_SOURCES[kind])


def _sampled(**changes: Any) -> dict[str, Any]:
    told = {"seed": 1, "steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": _link("MODEL"), "positive": _link("CONDITIONING"), "negative": _link("CONDITIONING"),
            "latent_image": _link("LATENT")}  # fmt: skip
    return _node("KSampler", **(told | changes))


def _custom(**changes: Any) -> dict[str, Any]:
    told = {name: _link(name.upper()) for name in ("noise", "guider", "sampler", "sigmas")}
    return _node("SamplerCustomAdvanced", **(told | {"latent_image": _link("LATENT")} | changes))


_PARTS = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "positive": "CONDITIONING", "negative": "CONDITIONING"}
_GIVERS: Prompt = {
    "ckpt": _node("CheckpointLoaderSimple", ckpt_name="shapes"),
    "pic": _PICTURE,
    "told": _node("CLIPTextEncode", text="a red circle", clip=_link("CLIP")),
    "empty": _node("EmptyLatentImage", width=EDGE, height=EDGE, batch_size=1),
    "sigmas": _node("BasicScheduler", scheduler="normal", steps=1, denoise=1.0, model=_link("MODEL")),
    "sampler": _node("KSamplerSelect", sampler_name="euler"),
    "noise": _node("RandomNoise", noise_seed=1),
    "guider": _node("BasicGuider", model=_link("MODEL"), conditioning=_link("CONDITIONING")),
    "net": _node("ControlNetLoader", control_net_name="shapes-edges"),
    "seer": _node("CLIPVisionLoader", clip_name="clip_vision_h.safetensors"),
    "seen": _node("CLIPVisionEncode", clip_vision=_link("CLIP_VISION"), image=_link("IMAGE"), crop="center"),
    "larger": _node("UpscaleModelLoader", model_name="2x.safetensors"),
    "silence": _node("EmptyAudio", duration=0.1, sample_rate=8000, channels=2),
    "video": _node("CreateVideo", images=_link("IMAGE"), fps=8.0),
    "style": _node("StyleModelLoader", style_model_name="style.safetensors"),
    "boxes": _node("GLIGENLoader", gligen_name="gligen.safetensors"),
    "operation": _node("LatentOperationTonemapReinhard", multiplier=1.0),
    "times": _node("ConditioningTimestepsRange", start_percent=0.0, end_percent=0.5),
    "whole": _node("PrimitiveInt", value=2),
    "number": _node("PrimitiveFloat", value=0.5),
    "text": _node("PrimitiveString", value="a"),
    "yes": _node("PrimitiveBoolean", value=True),
    "patch": _node("ModelPatchLoader", name="qwen_image_diffsynth.safetensors"),
    "frames": _node("EmptyHunyuanLatentVideo", width=EDGE, height=EDGE, length=9, batch_size=1),
    "hearer": _node("AudioEncoderLoader", audio_encoder_name="hearer.safetensors"),
    "heard": _node("AudioEncoderEncode", audio_encoder=_link("AUDIO_ENCODER"), audio=_link("AUDIO")),
    "pipe": _node("ToBasicPipe", **{name: _link(kind) for name, kind in _PARTS.items()}),
    "context": _node("Context (rgthree)", **{name: _link(kind) for name, kind in _PARTS.items()}),
    "stack": _node("LoRA Stacker", input_mode="simple", lora_count=1, lora_name_1="shapes-outline", lora_wt_1=0.5),
    "controls": _node("Control Net Stacker", control_net=_link("CONTROL_NET"), image=_link("IMAGE"), strength=0.5),
    "easy": _node(
        "easy fullLoader",
        ckpt_name="shapes",
        positive="a",
        negative="",
        empty_latent_width=EDGE,
        empty_latent_height=EDGE,
    ),
    "settings": _node(
        "easy preSampling", pipe=["easy", 0], steps=1, cfg=2.0, sampler_name="euler", scheduler="normal", seed=1
    ),
    "adapter": _node("IPAdapterModelLoader", ipadapter_file="ip-adapter_sd15.safetensors"),
    "both": _node(
        "Pack SDXL Tuple", **{f"base_{name}": _link(_PARTS[name]) for name in ("model", "positive", "negative")}
    ),
    "encoded": _node("IPAdapterEncoder", ipadapter=["adapter", 0], image=_link("IMAGE")),
    "xcontrol": _node("LoadFluxControlNet", controlnet_path="flux-canny-controlnet-v3.safetensors"),
    "xcontrols": _node("ApplyFluxControlNet", controlnet=["xcontrol", 0], image=_link("IMAGE"), strength=0.5),
    "xadapter": _node("LoadFluxIPAdapter", ipadatper="ip_adapter.safetensors", clip_vision="clip_vision_l.safetensors"),
    "details": _node(
        "ToDetailerPipe",
        **{name: _link(kind) for name, kind in _PARTS.items()},
        bbox_detector=["finder", 0],
        sam_model_opt=["sam", 0],
        wildcard="",
    ),
    "finder": _node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
    "teller": _node("Florence2ModelLoader", model="Florence-2-base"),
    "sam": _node("SAMLoader", model_name="sam_vit_b_01ec64.pth", device_mode="AUTO"),
    "dino": _node("GroundingDinoModelLoader (segment anything)", model_name="GroundingDINO_SwinT_OGC (694MB)"),
    "cutouts": _node(
        "MaskToSEGS",
        mask=_link("MASK"),
        combined=False,
        crop_factor=1.5,
        bbox_fill=False,
        drop_size=10,
        contour_fill=False,
    ),
    "hook": _node("PreviewDetailerHookProvider", quality=95),
    "drawer": _node(
        "KSamplerProvider",
        basic_pipe=["pipe", 0],
        seed=1,
        steps=1,
        cfg=2.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=0.5,
    ),
    "drawer2": _node(
        "KSamplerAdvancedProvider",
        basic_pipe=["pipe", 0],
        cfg=2.0,
        sampler_name="euler",
        scheduler="normal",
        sigma_factor=1.0,
    ),
    "regions": _node("RegionalPrompt", mask=_link("MASK"), advanced_sampler=["drawer2", 0]),
    "change": _node("CfgScheduleHookProvider", target_cfg=2.0, schedule_for_iteration="simple"),
    "enlarger": _node(
        "PixelKSampleUpscalerProviderPipe",
        basic_pipe=["pipe", 0],
        scale_method="nearest-exact",
        seed=1,
        steps=1,
        cfg=2.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=0.5,
        use_tiled_vae=False,
        tile_size=512,
    ),
    "cut": _node(
        "InpaintCropImproved",
        image=_link("IMAGE"),
        mask=_link("MASK"),
        output_resize_to_target_size=True,
        output_target_width=EDGE,
        output_target_height=EDGE,
    ),
    "remover": _node("RemBGSession+", model="u2net", providers="CPU"),
    "latents": _node("LatentUpscaleModelLoader", model_name="larger.safetensors"),
    "camera": _node("WanCameraEmbedding", camera_pose="Static", width=EDGE, height=EDGE, length=81),
    "has": _node("StringContains", string=_link("STRING"), substring="a", case_sensitive=True),
}
_NAMES: Mapping[str, str] = {
    "model": "MODEL", "clip": "CLIP", "vae": "VAE", "image": "IMAGE", "pixels": "IMAGE", "mask": "MASK", "latent": "LATENT",
    "samples": "LATENT", "positive": "CONDITIONING", "negative": "CONDITIONING", "conditioning": "CONDITIONING",
    "cond": "CONDITIONING", "sigmas": "SIGMAS", "control_net": "CONTROL_NET", "controlnet": "CONTROL_NET",
    "clip_vision": "CLIP_VISION", "audio": "AUDIO", "video": "VIDEO", "upscale_model": "UPSCALE_MODEL", "sampler": "SAMPLER",
    "guider": "GUIDER", "noise": "NOISE", "segs": "SEGS", "base_segs": "SEGS", "mask_segs": "SEGS", "basic_pipe": "BASIC_PIPE",
    "detailer_pipe": "DETAILER_PIPE", "bbox_detector": "DETECTOR", "segm_detector": "OUTLINER", "sam_model": "SAM",
    "grounding_dino_model": "DINO", "detailer_hook": "HOOK", "upscaler": "UPSCALER", "regional_prompts": "REGIONS",
    "pk_hook": "PK_HOOK", "stitch": "STITCH", "stitcher": "STITCH", "rembg_session": "REMOVER", "rmbgmodel": "REMOVER",
    "base_sampler": "KSAMPLER", "mask_sampler": "KSAMPLER", "hook": "HOOK",
}  # fmt: skip
"""Kinds by the names that inputs of packs have."""
_NATIVE: Mapping[str, str] = {
    "model": "MODEL", "text_encoder": "CLIP", "vae": "VAE", "image": "IMAGE", "mask": "MASK", "latent": "LATENT",
    "conditioning": "CONDITIONING", "sigmas": "SIGMAS", "sampler": "SAMPLER", "noise": "NOISE", "guider": "GUIDER",
    "control_net": "CONTROL_NET", "image_encoder": "CLIP_VISION", "upscale_model": "UPSCALE_MODEL", "audio": "AUDIO", "video": "VIDEO",
}  # fmt: skip
_FILES = {"image": "in.png", "file": "in.png", "ckpt_name": "shapes"}


class _Asked(dict[str, Any]):
    """Inputs of which every one that a rule asks for is noted."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.names: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        self.names[name] = None
        return super().get(name, default)


class _Dry:
    """Builds nodes of a prompt one by one, for what stands at their outputs."""

    def __init__(self, prompt: Prompt, registry: Registry) -> None:
        self.builder = Builder(registry)
        self._prompt = prompt
        self._known: dict[str, list[Value]] = {}
        self.refusal = ""

    def values(self, id: str) -> list[Value]:
        if id not in self._known:
            self._known[id] = []  # of a circle
            self._known[id] = self.run(self._prompt[id]["class_type"], self.inputs(self._prompt[id]["inputs"]))
        return self._known[id]

    def inputs(self, given: Mapping[str, Any]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, value in given.items():
            link = link_of(value)
            values = self.values(link[0]) if link is not None else []
            found[name] = Const(value) if link is None else values[link[1]] if link[1] < len(values) else None
        return found

    def run(self, comfy: str, inputs: Mapping[str, Any]) -> list[Value]:
        """Return what stands at the outputs; nothing where the rule refuses its inputs."""
        rule, source = RULES[comfy], Source("x", comfy, comfy, inputs)
        try:
            if isinstance(rule, Rule):
                return apply(rule, self.builder, source)
            return rule.make(self.builder, source)
        except (RefusedError, KeyError) as error:
            self.refusal = str(error)
            return []


_STACKED = {"switch_1": "On", "lora_name_1": "a.safetensors", "model_weight_1": 1.0, "clip_weight_1": 1.0}
_WHOLE = {
    "positive": "a",
    "negative": "",
    "model_override": None,
    "clip_override": None,
    "vae_override": None,
    "optional_lora_stack": None,
    "ckpt_name": "shapes",
}
HINTS: Mapping[str, Mapping[str, Any]] = {
    "VAELoader": {"vae_name": "vae-ft.safetensors"},
    "Any Switch (rgthree)": {"any_01": _link("IMAGE")},
    "ImpactSwitch": {"select": 1, "input1": _link("IMAGE")},
    "StringReplace": {"string": "a", "find": "a", "replace": "b"},
    "Text Find and Replace": {"text": "a", "find": "a", "replace": "b"},
    "ComfyMathExpression": {"expression": "a + 1", "values.a": 1},
    "SimpleMath+": {"value": "a + 1", "a": 1},
    "easy simpleMath": {"value": "a + 1", "a": 1},
    "MathExpression|pysssss": {"expression": "a + 1", "a": 1},
    "ComfyNumberConvert": {"value": 1},
    "ManualSigmas": {"sigmas": "1.0, 0.0"},
    "JsonExtractString": {"json_string": '{"a": "b"}', "key": "a"},
    "ShowText|pysssss": {"text": _link("STRING")},
    "easy showAnything": {"anything": _link("STRING")},
    "Display Any (rgthree)": {"source": _link("STRING")},
    "Display Int (rgthree)": {"input": _link("INT")},
    "DisplayText_Zho": {"text": _link("STRING")},
    "Text to Console": {"text": _link("STRING")},
    "ConsoleDebug+": {"value": _link("STRING")},
    "ImageCompare": {"image_a": _link("IMAGE"), "image_b": _link("IMAGE")},
    "Image Comparer (rgthree)": {"image_a": _link("IMAGE"), "image_b": _link("IMAGE")},
    "ImageBatchMulti": {"inputcount": 2, "image_1": _link("IMAGE"), "image_2": _link("IMAGE")},
    "ImageBatchMultiple+": {"image_1": _link("IMAGE"), "image_2": _link("IMAGE")},
    "BatchImagesNode": {"images.image0": _link("IMAGE")},
    "ConditioningMultiCombine": {
        "inputcount": 2,
        "conditioning_1": _link("CONDITIONING"),
        "conditioning_2": _link("CONDITIONING"),
    },
    "Image Save": {"images": _link("IMAGE")},
    "SaveImageWebsocket": {"images": _link("IMAGE")},
    "IPAdapterModelLoader": {"ipadapter_file": "ip-adapter_sd15.safetensors"},
    "LatentUpscaleModelLoader": {"model_name": "larger.safetensors"},
    "Image Crop Location": {"image": _link("IMAGE"), "right": 32, "bottom": 32},
    "CreateShapeMask": {"shape": "square", "frames": 1},
    "SDXL Empty Latent Image (rgthree)": {"dimensions": "1024 x 1024 (square)"},
    "SDXLEmptyLatentSizePicker+": {"resolution": "1024x1024 (1.0)"},
    "EmptyLatentImagePresets": {"dimensions": "512 x 512 (1:1)"},
    "EmptyLatentImageCustomPresets": {"dimensions": "512 x 512 (1:1)"},
    "ImpactConditionalBranch": {"cond": True, "tt_value": _link("IMAGE"), "ff_value": _link("IMAGE")},
    "SimpleCondition+": {"evaluate": True, "on_true": _link("IMAGE"), "on_false": _link("IMAGE")},
    "easy ifElse": {"boolean": True, "on_true": _link("IMAGE"), "on_false": _link("IMAGE")},
    "ReroutePrimitive|pysssss": {"value": _link("INT")},
    "PixelPerfectResolution": {"original_image": _link("IMAGE")},
    "ImageResizeKJv2": {"mask": None},
    "ImageResize": {"mask_optional": None, "pixels": _link("IMAGE")},
    "ResizeImageMaskNode": {
        "input": _link("IMAGE"),
        "resize_type": "scale by multiplier",
        "resize_type.multiplier": 0.5,
    },
    "CR Upscale Image": {"upscale_model": "2x.safetensors", "image": _link("IMAGE")},
    "ImpactMakeImageList": {"image1": _link("IMAGE")},
    "ImpactMakeImageBatch": {"image1": _link("IMAGE")},
    "ImpactImageBatchToImageList": {"image": _link("IMAGE")},
    "ImageListToImageBatch": {"images": _link("IMAGE")},
    "ImageSender": {"images": _link("IMAGE")},
    "ImpactCombineConditionings": {"conditioning1": _link("CONDITIONING")},
    "ImpactConcatConditionings": {"conditioning1": _link("CONDITIONING"), "conditioning2": _link("CONDITIONING")},
    "MaskListToMaskBatch": {"mask": _link("MASK")},
    "ImpactMakeMaskBatch": {"mask1": _link("MASK")},
    "LatentSwitch": {"select": 1, "input1": _link("LATENT")},
    "SEGSSwitch": {"select": 1, "input1": _link("SEGS")},
    "ImpactInversedSwitch": {"select": 1, "input": _link("IMAGE")},
    "ImpactConditionalBranchSelMode": {"cond": True, "tt_value": _link("IMAGE"), "ff_value": _link("IMAGE")},
    "StringListToString": {"string_list": _link("STRING")},
    "ImpactSchedulerAdapter": {"scheduler": _link("STRING")},
    "ImpactControlBridge": {"value": _link("IMAGE"), "mode": True},
    **{
        f"Impact{name}": {"signal": _link("IMAGE")}
        for name in ("Sleep", "QueueTrigger", "QueueTriggerCountdown", "NodeSetMuteState", "SetWidgetValue")
    },
    **{
        name: {"segs": _link("SEGS"), "fallback_image_opt": _link("IMAGE")}
        for name in ("SEGSPreview", "SEGSToImageList")
    },
    **{
        name: {"segs": _link("SEGS"), "masks": None, "mask": _link("MASK")}
        for name in ("ImpactSegsAndMask", "ImpactSegsAndMaskForEach")
    },
    **{
        f"ImpactControlNetApply{name}SEGS": {
            "segs": _link("SEGS"),
            "control_net": _link("CONTROL_NET"),
            "control_image": _link("IMAGE"),
            "segs_preprocessor": None,
        }
        for name in ("", "Advanced")
    },
    "PixelKSampleUpscalerProviderPipe": _GIVERS["enlarger"]["inputs"],
    "CfgScheduleHookProvider": {"target_cfg": 2.0, "schedule_for_iteration": "simple"},
    "DenoiseScheduleHookProvider": {"target_denoise": 0.5, "schedule_for_iteration": "simple"},
    "StepsScheduleHookProvider": {"target_steps": 2, "schedule_for_iteration": "simple"},
    "SEGSPaste": {"segs": _link("SEGS"), "image": _link("IMAGE"), "ref_image_opt": _link("IMAGE")},
    "RegionalPrompt": {"mask": _link("MASK"), "advanced_sampler": _link("KSAMPLER_ADVANCED")},
    "TwoAdvancedSamplersForMask": {"samples": _link("LATENT"), "latent_image": None},
    "RegionalSampler": {"samples": _link("LATENT"), "latent_image": None},
    "ReencodeLatentPipe": {
        "samples": _link("LATENT"),
        "input_basic_pipe": _link("BASIC_PIPE"),
        "output_basic_pipe": _link("BASIC_PIPE"),
    },
    "Florence2Run": {"florence2_model": ["teller", 0], "image": _link("IMAGE"), "task": "caption"},
    "UltralyticsDetectorProvider": {"model_name": "bbox/face_yolov8m.pt"},
    "ONNXDetectorProvider": {"model_name": "face.onnx"},
    "ONNXDetectorSEGS": {"onnx_detector": _link("DETECTOR"), "image": _link("IMAGE")},
    "ImpactSimpleDetectorSEGSPipe": {"bbox_detector": None},
    "ImpactSEGSConcat": {"segs1": _link("SEGS"), "segs2": _link("SEGS")},
    "DiffusersLoader": {"model_path": "shapes"},
    "UnetLoaderGGUF": {"unet_name": "shapes"},
    "UnetLoaderGGUFAdvanced": {"unet_name": "shapes"},
    "LoaderGGUF": {"gguf_name": "shapes"},
    "CheckpointLoaderSimpleWithNoiseSelect": {"ckpt_name": "shapes"},
    "VaeGGUF": {"vae_name": "vae-ft.safetensors"},
    "VAELoaderKJ": {"vae_name": "vae-ft.safetensors"},
    "CLIPLoader": {"clip_name": "clip_l.safetensors", "type": "stable_diffusion"},
    "LatentOperationSharpen": {"sharpen_radius": 2},
    "LatentCutToBatch": {"samples": ["frames", 0]},
    "TrimVideoLatent": {"samples": ["frames", 0]},
    "ReplaceVideoLatentFrames": {"destination": ["frames", 0], "source": ["frames", 0]},
    "SkipLayerGuidanceDiT": {"double_layers": "0", "single_layers": ""},
    "SkipLayerGuidanceDiTSimple": {"double_layers": "0", "single_layers": ""},
    "SkipLayerGuidanceSD3": {"layers": "0"},
    "LoadFluxControlNet": {"controlnet_path": "flux-union-controlnet.safetensors"},
    "ModelPatchLoader": {"name": "qwen_image_diffsynth.safetensors"},
    "easy fullLoader": _WHOLE,
    "easy a1111Loader": _WHOLE,
    "easy comfyLoader": _WHOLE,
    "CheckpointLoader|pysssss": {"ckpt_name": "shapes"},
    "Efficient Loader": {"ckpt_name": "shapes", "positive": "a", "negative": ""},
    "LoraLoader|pysssss": {"lora_name": "shapes-outline", "strength_model": 1.0, "strength_clip": 1.0, "prompt": None},
    "Lora Loader Stack (rgthree)": {"lora_01": "shapes-outline"},
    "RecordAudio": {"audio": "sound.wav"},
    "LoadAudio": {"audio": "sound.wav"},
    "HunyuanVideo15ImageToVideo": {"clip_vision_output": _link("CLIP_VISION_OUTPUT")},
    "XlabsSampler": {
        "model": _link("MODEL"),
        "image_to_image_strength": 0.0,
        "controlnet_condition": None,
        "conditioning": _link("CONDITIONING"),
        "steps": 1,
        "neg_conditioning": _link("CONDITIONING"),
    },
    "ControlNetLoader": {"control_net_name": "shapes-edges"},
    "ControlNetLoaderAdvanced": {"cnet": "shapes-edges"},
    "CLIPVisionLoader": {"clip_name": "clip_vision_h.safetensors"},
    "UNETLoader": {"unet_name": "shapes"},
    "CLIPLoaderGGUF": {"clip_name": "clip_l.gguf", "type": "stable_diffusion"},
    "DualCLIPLoaderGGUF": {"clip_name1": "clip_l.gguf", "clip_name2": "clip_g.gguf", "type": "sdxl"},
    "TripleCLIPLoaderGGUF": {"clip_name1": "clip_l.gguf", "clip_name2": "clip_g.gguf", "clip_name3": "t5xxl.gguf"},
    "QuadrupleCLIPLoaderGGUF": {f"clip_name{number}": f"{number}.gguf" for number in (1, 2, 3, 4)},
    "IPAdapter": {
        "ipadapter": ["adapter", 0],
        "clip_vision": _link("CLIP_VISION"),
        "model": _link("MODEL"),
        "image": _link("IMAGE"),
    },
    "IPAdapterAdvanced": {
        "ipadapter": ["adapter", 0],
        "clip_vision": _link("CLIP_VISION"),
        "model": _link("MODEL"),
        "image": _link("IMAGE"),
    },
    "IPAdapterUnifiedLoaderCommunity": {"ipadapter": None, "preset": "Composition"},
    **{
        name: {
            "ipadapter": ["adapter", 0],
            "clip_vision": _link("CLIP_VISION"),
            "model": _link("MODEL"),
            "image": _link("IMAGE"),
        }
        for name in ("IPAdapterBatch", "IPAdapterTiled")
    },
    "IPAdapterStyleComposition": {
        "ipadapter": ["adapter", 0],
        "clip_vision": _link("CLIP_VISION"),
        "model": _link("MODEL"),
        "image_style": _link("IMAGE"),
        "image_composition": _link("IMAGE"),
    },
    "IPAdapterEncoder": {"ipadapter": ["adapter", 0], "image": _link("IMAGE"), "mask": None},
    "IPAdapterCombineEmbeds": {"embed1": ["encoded", 0]},
    "IPAdapterEmbeds": {
        "ipadapter": ["adapter", 0],
        "clip_vision": _link("CLIP_VISION"),
        "model": _link("MODEL"),
        "pos_embed": ["encoded", 0],
        "neg_embed": ["encoded", 1],
    },
    "ImageComposite+": {"destination": _link("IMAGE"), "source": _link("IMAGE"), "offset_x": 2, "x": _link("INT")},
    "ImageListToBatch+": {"image": _link("IMAGE")},
    "MaskBatch+": {"mask1": _link("MASK"), "mask2": _link("MASK")},
    "KSampler SDXL (Eff.)": {
        "sdxl_tuple": ["both", 0],
        "latent_image": _link("LATENT"),
        "noise_seed": 1,
        "steps": 1,
        "refine_at_step": -1,
        "optional_vae": _link("VAE"),
    },
    "Image Batch": {"images_a": _link("IMAGE"), "images_b": _link("IMAGE")},
    "Number Operation": {"number_a": _link("INT"), "number_b": 2},
    "MaskBoundingBox+": {"mask": _link("MASK")},
    "SimpleMathDual+": {"value_1": "a + 1", "value_2": "2", "a": 1},
    "BatchCount+": {"batch": _link("IMAGE")},
    "DisplayAny": {"input": _link("STRING")},
    "LayerUtility: If ": {"if_condition": True, "when_TRUE": _link("IMAGE"), "when_FALSE": _link("IMAGE")},
    "LayerUtility: SwitchCase": {
        "switch_condition": "a",
        "case_1": "a",
        "input_1": _link("IMAGE"),
        "input_default": None,
    },
    "LayerUtility: TextJoin": {"text_1": "a", "text_2": "b"},
    "LayerUtility: StringCondition": {"text": _link("STRING"), "condition": "exclude", "sub_string": "b"},
    "LayerUtility: PurgeVRAM": {"anything": _link("IMAGE")},
    "IPAdapterApply": {
        "ipadapter": ["adapter", 0],
        "clip_vision": _link("CLIP_VISION"),
        "model": _link("MODEL"),
        "image": _link("IMAGE"),
    },
    "SamplerLCM": {"s_noise": 1.0, "noise_clip_std": 0.0},
    "easy positive": {"positive": "a"},
    "easy negative": {"negative": "a"},
    "easy cleanGpuUsed": {"anything": _link("IMAGE")},
    "easy clearCacheAll": {"anything": _link("IMAGE")},
    "ZImageFunControlnet": {"model_patch": _link("MODEL_PATCH")},
    "ComfySwitchNode": {"switch": ["has", 0], "on_true": _link("IMAGE"), "on_false": _link("IMAGE")},
    "CR Text Input Switch": {"Input": 1, "text1": _link("STRING")},
    "LTXVLatentUpsampler": {"upscale_model": ["latents", 0]},
    "Context Switch (rgthree)": {"ctx_01": ["context", 0]},
    "Context Switch Big (rgthree)": {"ctx_01": ["context", 0]},
    "Context Merge (rgthree)": {"ctx_01": ["context", 0]},
    "Context Merge Big (rgthree)": {"ctx_01": ["context", 0]},
    "EditBasicPipe": {"basic_pipe": ["pipe", 0]},
    "FromBasicPipe": {"basic_pipe": ["pipe", 0]},
    "FromBasicPipe_v2": {"basic_pipe": ["pipe", 0]},
    "LoRA Stacker": _GIVERS["stack"]["inputs"],
    "CR LoRA Stack": _STACKED,
    "CR Apply LoRA Stack": {"lora_stack": ["stack", 0]},
    "CR Multi-ControlNet Stack": {
        "switch_1": "On",
        "controlnet_1": "shapes-edges",
        "image_1": _link("IMAGE"),
        "controlnet_stack": None,
        "controlnet_2": None,
        "controlnet_3": None,
    },
    "CR Apply Multi-ControlNet": {"controlnet_stack": ["controls", 0], "switch": "On"},
    "Apply ControlNet Stack": {"cnet_stack": ["controls", 0]},
    "easy preSampling": _GIVERS["settings"]["inputs"],
    "easy kSampler": {"pipe": ["settings", 0]},
    "easy fullkSampler": {"pipe": ["settings", 0]},
    "ApplyFluxControlNet": _GIVERS["xcontrols"]["inputs"] | {"controlnet_condition": None},
    "ApplyAdvancedFluxControlNet": _GIVERS["xcontrols"]["inputs"] | {"controlnet_condition": None},
    "LTXAVTextEncoderLoader": {"text_encoder": "gemma.safetensors", "ckpt_name": "ltx-2.safetensors"},
    "LoadFluxIPAdapter": _GIVERS["xadapter"]["inputs"],
    "ApplyFluxIPAdapter": {
        "ip_adapter_flux": ["xadapter", 0],
        "model": _link("MODEL"),
        "image": _link("IMAGE"),
        "ip_scale": 0.5,
    },
    "ApplyAdvancedFluxIPAdapter": {
        "ip_adapter_flux": ["xadapter", 0],
        "model": _link("MODEL"),
        "image": _link("IMAGE"),
    },
}
"""What a type wants beyond what its interface says; None takes an input away."""
BASES: Mapping[str, str] = {
    **dict.fromkeys(
        ("SkipLayerGuidanceDiT", "SkipLayerGuidanceDiTSimple", "SkipLayerGuidanceSD3", "T5TokenizerOptions"),
        "sd3.5_medium.safetensors",
    ),
    **dict.fromkeys(
        ("TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus", "QwenImageDiffsynthControlnet"),
        "qwen_image_edit.safetensors",
    ),
    **dict.fromkeys(("TextEncodeQwenImage21", "QwenImage21Cache"), "qwen_image_2.1.safetensors"),
    **dict.fromkeys(("ApplyFluxControlNet", "ApplyAdvancedFluxControlNet", "XlabsSampler"), "flux1-dev.safetensors"),
    "FluxKVCache": "flux-2-klein-4b.safetensors",
}
"""Checkpoints of other families than the packaged one's, for types that belong to one."""


def smallest(comfy: str, registry: Registry) -> Prompt:
    """Return a flat prompt in which node ``x`` of a type gets one of each thing that it takes, and is needed."""
    loader = _node("CheckpointLoaderSimple", ckpt_name=BASES.get(comfy, "shapes"))
    prompt: Prompt = {**_GIVERS, "ckpt": loader, "x": _node(comfy, **_filled(comfy, registry))}
    ends = ["x", *_read(prompt, "x", registry)]
    return _needed(prompt, ends)


def _filled(comfy: str, registry: Registry) -> dict[str, Any]:
    inputs = {**_inputs(comfy, registry), **HINTS.get(comfy, {})}
    return {name: value for name, value in inputs.items() if value is not None}


def _read(prompt: Prompt, id: str, registry: Registry) -> list[str]:
    """Add nodes that read all outputs of a node, and return those that show something."""
    dry = _Dry(prompt, registry)
    ends: list[str] = []
    for slot, value in enumerate(dry.values(id)):
        if isinstance(value, Ref):
            prompt |= _sink(dry.builder.type_of(value).name, [id, slot], f"{id}y{slot}")
            ends.append(f"{id}y{slot}")
        elif isinstance(value, Fused) and value.kind in _TAKERS and len(id) < _LONGEST:
            taker, input = _TAKERS[value.kind]
            prompt[f"{id}z{slot}"] = _node(taker, **{**_filled(taker, registry), input: [id, slot]})
            ends += _read(prompt, f"{id}z{slot}", registry)
    return ends


_LONGEST = 10
_TAKERS: Mapping[str, tuple[str, str]] = {
    "latent operation": ("LatentApplyOperation", "operation"),
    "encoded picture": ("unCLIPConditioning", "clip_vision_output"),
    "timesteps range": ("ConditioningSetProperties", "timesteps"),
    "style model": ("StyleModelApply", "style_model"),
    "GLIGEN model": ("GLIGENTextBoxApply", "gligen_textbox_model"),
    "sound encoder": ("AudioEncoderEncode", "audio_encoder"),
    "encoded sound": ("WanSoundImageToVideo", "audio_encoder_output"),
    "camera": ("WanCameraImageToVideo", "camera_conditions"),
    "IP-Adapter": ("IPAdapter", "ipadapter"),
    "pictures of an IP-Adapter": ("IPAdapterEmbeds", "pos_embed"),
    "latent upscaler": ("LTXVLatentUpsampler", "upscale_model"),
    "pipe": ("FromBasicPipe", "basic_pipe"),
    "detailer pipe": ("FromDetailerPipe", "detailer_pipe"),
    "detector": ("BboxDetectorSEGS", "bbox_detector"),
    "Segment Anything model": ("SAMDetectorCombined", "sam_model"),
    "drawn segments": ("DetailerForEach", "segs"),
    "detailer hook": ("FaceDetailer", "detailer_hook"),
    "sampler of a pipe": ("TwoSamplersForMask", "base_sampler"),
    "regional prompts": ("RegionalSampler", "regional_prompts"),
    "upscaler": ("IterativeLatentUpscale", "upscaler"),
    "hook of an upscaler": ("PixelKSampleUpscalerProviderPipe", "pk_hook_opt"),
    "cut-out": ("InpaintStitchImproved", "stitcher"),
    "background remover": ("ImageRemoveBackground+", "rembg_session"),
    "SDXL models and prompts": ("Unpack SDXL Tuple", "sdxl_tuple"),
    "describer": ("Florence2Run", "florence2_model"),
    "pipe of Easy-Use": ("easy kSampler", "pipe"),
    "LoRA stack": ("CR Apply LoRA Stack", "lora_stack"),
    "ControlNet stack": ("Apply ControlNet Stack", "cnet_stack"),
    "x-labs ControlNets": ("XlabsSampler", "controlnet_condition"),
    "x-labs IP-Adapter": ("ApplyFluxIPAdapter", "ip_adapter_flux"),
}
"""By what an output carries: the type, and its input, of which it becomes a part."""


def _sink(kind: str, link: list[Any], id: str) -> Prompt:
    """Return nodes that need an output, computed as far as its kind allows."""
    if kind == "model":
        return {f"{id}a": _sampled(model=link), **_shown([f"{id}a", 0], id)}
    if kind == "text_encoder":
        return {f"{id}a": _node("CLIPTextEncode", text="a", clip=link), **_shown([f"{id}a", 0], id)}
    if kind == "conditioning":
        return {f"{id}a": _sampled(positive=link), **_shown([f"{id}a", 0], id)}
    if kind in ("sigmas", "sampler", "noise", "guider"):
        return {f"{id}a": _custom(**{kind: link}), **_shown([f"{id}a", 0], id)}
    if kind == "vae":
        return {f"{id}a": _node("VAEDecode", samples=_link("LATENT"), vae=link), **_shown([f"{id}a", 0], id)}
    if kind == "image":
        return {id: _node("PreviewImage", images=link)}
    return _shown(link, id)


def _shown(link: list[Any], id: str) -> Prompt:
    return {id: _node("PreviewAny", source=link)}


def _needed(prompt: Prompt, ends: Iterable[str]) -> Prompt:
    """Return the part of a prompt that some nodes need."""
    pending, found = list(ends), set[str]()
    while pending:
        id = pending.pop()
        if id not in found:
            found.add(id)
            links = (link_of(value) for value in prompt[id]["inputs"].values())
            pending.extend(link[0] for link in links if link is not None)
    return {id: node for id, node in prompt.items() if id in found}


def _inputs(comfy: str, registry: Registry) -> dict[str, Any]:
    interface, rule = catalogue.find(comfy), RULES[comfy]
    if interface is not None and interface.core:
        return dict(_of_core(interface))
    return dict(_of_rule(rule, registry)) if isinstance(rule, Rule) else _of_function(comfy, registry)


def _of_core(interface: catalogue.Interface) -> Iterator[tuple[str, Any]]:
    for name, spec in interface.inputs.items():
        if not spec.widget:
            kind = spec.type.split(",")[0]
            if kind in _SOURCES:
                yield name, _link(kind)
        elif name in _FILES:
            yield name, _FILES[name]
        else:
            value = catalogue.default_of(spec)
            if name in ("width", "height") and spec.type == "INT":
                value = max(EDGE, spec.details.get("min", 0))
            elif spec.type == "COMBO" and not spec.details.get("options"):
                value = f"{name}.safetensors"
            yield name, value


def _of_rule(rule: Rule, registry: Registry) -> Iterator[tuple[str, Any]]:
    spec = registry.specs[rule.native]
    for item in rule.parsed:
        target = spec.inputs[item.native]
        if target.linked:
            if target.type.name in _NATIVE:
                yield item.comfy, _link(_NATIVE[target.type.name])
        elif target.model_kind or target.file_kind:
            yield item.comfy, f"{item.comfy}.safetensors" if target.model_kind else "in.png"
        elif target.required:
            found = next((value for value in (1, "a", 1.0, True) if target.check(value)[1] is None), None)
            yield item.comfy, target.choices[0] if target.choices else found


def _of_function(comfy: str, registry: Registry) -> dict[str, Any]:
    """What a rule of a pack asks for, by the names that it uses, until it asks no more; without what it does not take."""
    given: dict[str, Any] = {name: value for name, value in HINTS.get(comfy, {}).items() if value is not None}
    never = {name for name, value in HINTS.get(comfy, {}).items() if value is None}
    for _ in range(40):
        dry = _Dry(_GIVERS, registry)
        asked = _Asked(dry.inputs(given))
        dry.refusal = ""
        dry.run(comfy, asked)
        refused = next((name for name in given if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", dry.refusal)), None)
        linked = re.search(r"is linked to (\w+)", dry.refusal)
        if (
            refused is None and linked is not None
        ):  # it names the native input; a name of which a part was taken is wrong
            of_kind = [name for name, value in given.items() if value == _link(_NATIVE.get(linked[1], "*"))]
            refused = next((name for name in of_kind if name not in _NAMES), None)
        if refused is not None and _WRONG.search(dry.refusal):
            never.add(refused)
            del given[refused]
            continue
        names = [name for name in asked.names if name not in given and name not in never]
        more = {name: guess for name in names if (guess := _guess(name)) is not None}
        if not more:
            break
        given |= more
    return given


_WRONG = re.compile(
    r"has no native counterpart|is computed while running|is no \w|is linked to|takes no|cannot be|no number"
)
"""In what a rule says of an input that it does not take as it was guessed."""


_LITERAL = frozenset(
    [
        "name",
        "name1",
        "name2",
        "name3",
        "name4",
        "strength",
        "weight",
        "type",
        "size",
        "width",
        "height",
        "factor",
        "method",
        "mode",
        "side",
        "override",
        "noise",
    ]
)
"""Last parts of the names of inputs that are no links."""


def _guess(name: str) -> Any:
    plain = name.lower().rstrip("0123456789").rstrip("_")
    first, last = plain.partition("_")[0], plain.rpartition("_")[2]
    if last in _LITERAL and plain not in _NAMES:
        return None
    for known in (plain, plain.removesuffix("s"), first, last):
        if known in _NAMES:
            return _link(_NAMES[known])
    return None


RUN = (
    *sorted(type for type, rule in RULES.items() if rule.pack and type not in BASES)[::120],
    "ImpactCount_Elts_in_SEGS",
    "ImpactSEGSConcat",
)
"""Types whose workflows run in the suite; `python -m tests.runners.rules` runs all."""
NOTHING = frozenset({"easy globalSeed"})
"""Types that neither take nor give anything."""
LACKS = re.compile(r"nothing can stand in for it|needs the weights|it holds (no image encoder|a whole ControlNet)")
"""In what is said of a workflow that needs weights which nobody has here."""


def write_inputs(folder: Path) -> None:
    """Write the picture and the sound that the workflows read."""
    picture = PIL.Image.new("RGBA", (EDGE, EDGE), (200, 30, 40, 255))
    picture.paste((200, 30, 40, 0), (16, 16, 48, 48))  # the mask
    picture.save(folder / "in.png")
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))


def try_session(folder: Path) -> Session:
    """Return a session in which random weights stand in for models, and nothing is kept."""
    models = RootSetting(path=folder / "models")
    return Session(
        Settings(
            models=(models,),
            cache_dir=folder / "cache",
            cache_bytes=0,
            device="cpu",
            offline=True,
            safety="off",
            stand_in=True,
        )
    )


def run_smallest(comfy: str, session: Session, folder: Path) -> str:
    """Run the smallest workflow of a type: ``runs``, ``waits``, or why it does not.

    Raises:
        AssertionError: It does not import whole.
    """
    result = to_native(to_prompt(smallest(comfy, session.registry)), registry=session.registry)
    assert result.report.complete, result.report.unsupported
    if not result.report.ready:
        return "waits"
    try:
        session.run(result.document, folder=folder, out=folder / "out")
    except GraphflowError as error:
        return str(error)
    return "runs"
