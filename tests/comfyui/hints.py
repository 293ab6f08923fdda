"""What ComfyUI's types want beyond what their interfaces say, and nodes that give each kind of thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .prompts import node

Prompt = dict[str, dict[str, Any]]

EDGE = 64
SOURCES: Mapping[str, tuple[Any, ...]] = {
    "MODEL": ("ckpt", 0), "CLIP": ("ckpt", 1), "VAE": ("ckpt", 2), "IMAGE": ("pic", 0), "MASK": ("pic", 1),
    "CONDITIONING": ("told", 0), "LATENT": ("empty", 0), "SIGMAS": ("sigmas", 0), "SAMPLER": ("sampler", 0),
    "NOISE": ("noise", 0), "GUIDER": ("guider", 0), "CONTROL_NET": ("net", 0), "CLIP_VISION": ("seer", 0),
    "CLIP_VISION_OUTPUT": ("seen", 0), "UPSCALE_MODEL": ("larger", 0), "AUDIO": ("silence", 0), "VIDEO": ("video", 0),
    "STYLE_MODEL": ("style", 0), "GLIGEN": ("boxes", 0), "LATENT_OPERATION": ("operation", 0),
    "TIMESTEPS_RANGE": ("times", 0), "INT": ("whole", 0), "FLOAT": ("number", 0), "STRING": ("text", 0),
    "MODEL_PATCH": ("patch", 0), "AUDIO_ENCODER": ("hearer", 0),
    "AUDIO_ENCODER_OUTPUT": ("heard", 0), "WAN_CAMERA_EMBEDDING": ("camera", 0), "*": ("number", 0),
    "BASIC_PIPE": ("pipe", 0), "DETAILER_PIPE": ("details", 0), "DETECTOR": ("finder", 0), "SAM": ("sam", 0),
    "SEGS": ("cutouts", 0), "HOOK": ("hook", 0), "UPSCALER": ("enlarger", 0), "REGIONS": ("regions", 0),
    "STITCH": ("cut", 0), "REMOVER": ("remover", 0), "OUTLINER": ("finder", 1), "DINO": ("dino", 0),
    "KSAMPLER": ("drawer", 0), "KSAMPLER_ADVANCED": ("drawer2", 0), "HOOKS": ("hooks", 0), "HOOK_KEYFRAMES": ("keyframes", 0),
}  # fmt: skip
"""Where a link of each kind comes from."""


def giver(kind: str) -> list[Any]:
    return list(SOURCES[kind])


_DRAWN = {"cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
SETTINGS = {**_DRAWN, "seed": 1, "steps": 1}


_PARTS = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "positive": "CONDITIONING", "negative": "CONDITIONING"}
GIVERS: Prompt = {
    "ckpt": node("CheckpointLoaderSimple", ckpt_name="shapes"),
    "pic": node("LoadImage", image="in.png"),
    "told": node("CLIPTextEncode", text="a red circle", clip=giver("CLIP")),
    "empty": node("EmptyLatentImage", width=EDGE, height=EDGE, batch_size=1),
    "sigmas": node("BasicScheduler", scheduler="normal", steps=1, denoise=1.0, model=giver("MODEL")),
    "sampler": node("KSamplerSelect", sampler_name="euler"),
    "noise": node("RandomNoise", noise_seed=1),
    "guider": node("BasicGuider", model=giver("MODEL"), conditioning=giver("CONDITIONING")),
    "net": node("ControlNetLoader", control_net_name="shapes-edges"),
    "seer": node("CLIPVisionLoader", clip_name="clip_vision_h.safetensors"),
    "seen": node("CLIPVisionEncode", clip_vision=giver("CLIP_VISION"), image=giver("IMAGE"), crop="center"),
    "larger": node("UpscaleModelLoader", model_name="2x.safetensors"),
    "silence": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=2),
    "video": node("CreateVideo", images=giver("IMAGE"), fps=8.0),
    "style": node("StyleModelLoader", style_model_name="style.safetensors"),
    "boxes": node("GLIGENLoader", gligen_name="gligen.safetensors"),
    "operation": node("LatentOperationTonemapReinhard", multiplier=1.0),
    "times": node("ConditioningTimestepsRange", start_percent=0.0, end_percent=0.5),
    "whole": node("PrimitiveInt", value=2),
    "number": node("PrimitiveFloat", value=0.5),
    "text": node("PrimitiveString", value="a"),
    "patch": node("ModelPatchLoader", name="qwen_image_diffsynth.safetensors"),
    "frames": node("EmptyHunyuanLatentVideo", width=EDGE, height=EDGE, length=9, batch_size=1),
    "hearer": node("AudioEncoderLoader", audio_encoder_name="hearer.safetensors"),
    "heard": node("AudioEncoderEncode", audio_encoder=giver("AUDIO_ENCODER"), audio=giver("AUDIO")),
    "pipe": node("ToBasicPipe", **{name: giver(kind) for name, kind in _PARTS.items()}),
    "context": node("Context (rgthree)", **{name: giver(kind) for name, kind in _PARTS.items()}),
    "stack": node("LoRA Stacker", input_mode="simple", lora_count=1, lora_name_1="shapes-outline", lora_wt_1=0.5),
    "controls": node("Control Net Stacker", control_net=giver("CONTROL_NET"), image=giver("IMAGE"), strength=0.5),
    "easy": node(
        "easy fullLoader",
        ckpt_name="shapes",
        positive="a",
        negative="",
        empty_latent_width=EDGE,
        empty_latent_height=EDGE,
    ),
    "settings": node("easy preSampling", pipe=["easy", 0], **SETTINGS),
    "adapter": node("IPAdapterModelLoader", ipadapter_file="ip-adapter_sd15.safetensors"),
    "facing": node("IPAdapterModelLoader", ipadapter_file="ip-adapter-faceid-plusv2_sd15.bin"),
    "recogniser": node("InstantIDFaceAnalysis", provider="CPU"),
    "instant": node("InstantIDModelLoader", instantid_file="ip-adapter.bin"),
    "instantface": node(
        "InstantIDAttentionPatch",
        instantid=["instant", 0],
        insightface=["recogniser", 0],
        image=giver("IMAGE"),
        model=giver("MODEL"),
    ),
    "instantcontrol": node("ControlNetLoader", control_net_name="instantid/diffusion_pytorch_model.safetensors"),
    "xladapter": node("IPAdapterModelLoader", ipadapter_file="ip-adapter_sdxl_vit-h.safetensors"),
    "both": node(
        "Pack SDXL Tuple", **{f"base_{name}": giver(_PARTS[name]) for name in ("model", "positive", "negative")}
    ),
    "encoded": node("IPAdapterEncoder", ipadapter=["adapter", 0], image=giver("IMAGE")),
    "xcontrol": node("LoadFluxControlNet", controlnet_path="flux-canny-controlnet-v3.safetensors"),
    "xadapter": node("LoadFluxIPAdapter", ipadatper="ip_adapter.safetensors", clip_vision="clip_vision_l.safetensors"),
    "details": node(
        "ToDetailerPipe",
        **{name: giver(kind) for name, kind in _PARTS.items()},
        bbox_detector=["finder", 0],
        sam_model_opt=["sam", 0],
        wildcard="",
    ),
    "finder": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
    "teller": node("Florence2ModelLoader", model="Florence-2-base"),
    "sam": node("SAMLoader", model_name="sam_vit_b_01ec64.pth", device_mode="AUTO"),
    "dino": node("GroundingDinoModelLoader (segment anything)", model_name="GroundingDINO_SwinT_OGC (694MB)"),
    "cutouts": node(
        "MaskToSEGS",
        mask=giver("MASK"),
        combined=False,
        crop_factor=1.5,
        bbox_fill=False,
        drop_size=10,
        contour_fill=False,
    ),
    "hook": node("PreviewDetailerHookProvider", quality=95),
    "drawer": node("KSamplerProvider", basic_pipe=["pipe", 0], **SETTINGS, denoise=0.5),
    "drawer2": node("KSamplerAdvancedProvider", basic_pipe=["pipe", 0], **_DRAWN, sigma_factor=1.0),
    "regions": node("RegionalPrompt", mask=giver("MASK"), advanced_sampler=["drawer2", 0]),
    "enlarger": node(
        "PixelKSampleUpscalerProviderPipe",
        basic_pipe=["pipe", 0],
        scale_method="nearest-exact",
        **SETTINGS,
        denoise=0.5,
        use_tiled_vae=False,
        tile_size=512,
    ),
    "cut": node(
        "InpaintCropImproved",
        image=giver("IMAGE"),
        mask=giver("MASK"),
        output_resize_to_target_size=True,
        output_target_width=EDGE,
        output_target_height=EDGE,
    ),
    "motion": node("ADE_LoadAnimateDiffModel", model_name="mm_sd_v15_v2.ckpt"),
    "motions": node("ADE_ApplyAnimateDiffModelSimple", motion_model=["motion", 0]),
    "windows": node("ADE_StandardStaticContextOptions", context_length=16, context_overlap=4),
    "reader": node("CLIPLoader", clip_name="qwen3.5_2b_bf16.safetensors", type="stable_diffusion"),
    "hooks": node("CreateHookLora", lora_name="shapes-outline", strength_model=1.0, strength_clip=0.5),
    "keyframes": node("CreateHookKeyframe", strength_mult=0.5, start_percent=0.3),
    "remover": node("RemBGSession+", model="u2net", providers="CPU"),
    "latents": node("LatentUpscaleModelLoader", model_name="larger.safetensors"),
    "camera": node("WanCameraEmbedding", camera_pose="Static", width=EDGE, height=EDGE, length=81),
    "box": node("LayerUtility: CropByMask V2", image=giver("IMAGE"), mask=giver("MASK")),
    "pile": node("ImageBatchMulti", inputcount=2, image_1=giver("IMAGE"), image_2=giver("IMAGE")),
    "clip": node("VHS_LoadVideo", video="in.png"),
    "cutout": node("ImageCropByMaskAndResize", image=giver("IMAGE"), mask=giver("MASK"), base_resolution=32),
    "bounds": node("Bounded Image Crop with Mask", image=giver("IMAGE"), mask=giver("MASK"), padding_left=2),
    "birefnet": node("LayerMask: LoadBiRefNetModelV2", version="BiRefNet-General"),
    "has": node("StringContains", string=giver("STRING"), substring="a", case_sensitive=True),
}

_NUNCHAKU = ("Flux", "QwenImage", "ZImage")
_EFFECTS = ("DropShadow", "InnerShadow", "OuterGlow", "InnerGlow", "Stroke", "ColorOverlay", "GradientOverlay")
_SIDES = {"boolean": ["has", 0], "on_true": giver("IMAGE"), "on_false": giver("IMAGE")}
_PRIMITIVES = (
    ("integer", "int", 1),
    ("float", "float", 0.5),
    ("boolean", "boolean", True),
    ("string", "string", "a"),
    ("string multiline", "string", "a"),
)
_SWITCHED = (("Text", "text"), ("Number", "number"), ("Control Net Model", "control_net"))
_INDEXED = (
    ("anything", "value", "IMAGE"),
    ("image", "image", "IMAGE"),
    ("text", "text", "STRING"),
    ("conditioning", "cond", "CONDITIONING"),
)
_STACKED = {"switch_1": "On", "lora_name_1": "a.safetensors", "model_weight_1": 1.0, "clip_weight_1": 1.0}
_WHOLE = {"positive": "a", "negative": "", "ckpt_name": "shapes"}
HINTS: Mapping[str, Mapping[str, Any]] = {
    **{
        f"ADE_{name}": {"model_name": "mm_sd_v15_v2.ckpt", "context_options": ["windows", 0]}
        for name in ("AnimateDiffLoaderWithContext", "AnimateDiffLoaderGen1")
    },
    "ADE_AnimateDiffLoRALoader": {"name": "v2_lora_ZoomIn.ckpt", "strength": 0.5},
    "ADE_MultivalDynamic": {"float_val": 1.2},
    "ADE_MultivalDynamicFloatInput": {"float_val": giver("FLOAT")},
    "ADE_LoadAnimateDiffModel": GIVERS["motion"]["inputs"],
    "ADE_ApplyAnimateDiffModelSimple": {"motion_model": ["motion", 0]},
    "ADE_ApplyAnimateDiffModel": {"motion_model": ["motion", 0]},
    "ADE_UseEvolvedSampling": {"m_models": ["motions", 0], "context_options": ["windows", 0]},
    **{
        type: {"clip": ["reader", 0], "prompt": "a", "sampling_mode": "on", "sampling_mode.seed": 1, "max_length": 8}
        for type in ("TextGenerate", "TextGenerateLTX2Prompt")
    },
    "QwenImageDiffsynthControlnet": {"mask": None},
    "CreateHookKeyframesFromFloats": {"floats_strength": [1.0, 0.5]},
    "VAELoader": {"vae_name": "vae-ft.safetensors"},
    "Any Switch (rgthree)": {"any_01": giver("IMAGE")},
    "ImpactSwitch": {"select": 1, "input1": giver("IMAGE")},
    "StringReplace": {"string": "a", "find": "a", "replace": "b"},
    "Text Find and Replace": {"text": "a", "find": "a", "replace": "b"},
    "ComfyMathExpression": {"expression": "a + 1", "values.a": 1},
    "SimpleMath+": {"value": "a + 1", "a": 1},
    "easy simpleMath": {"value": "a + 1", "a": 1},
    "MathExpression|pysssss": {"expression": "a + 1", "a": 1},
    "ComfyNumberConvert": {"value": 1},
    "ManualSigmas": {"sigmas": "1.0, 0.0"},
    "JsonExtractString": {"json_string": '{"a": "b"}', "key": "a"},
    "ShowText|pysssss": {"text": giver("STRING")},
    "easy showAnything": {"anything": giver("STRING")},
    "Display Any (rgthree)": {"source": giver("STRING")},
    "Display Int (rgthree)": {"input": giver("INT")},
    "DisplayText_Zho": {"text": giver("STRING")},
    "Text to Console": {"text": giver("STRING")},
    "ConsoleDebug+": {"value": giver("STRING")},
    "ImageCompare": {"image_a": giver("IMAGE"), "image_b": giver("IMAGE")},
    "Image Comparer (rgthree)": {"image_a": giver("IMAGE"), "image_b": giver("IMAGE")},
    "ImageBatchMulti": {"inputcount": 2, "image_1": giver("IMAGE"), "image_2": giver("IMAGE")},
    "ImageBatchMultiple+": {"image_1": giver("IMAGE"), "image_2": giver("IMAGE")},
    "BatchImagesNode": {"images.image0": giver("IMAGE")},
    "ConditioningMultiCombine": {
        "inputcount": 2,
        "conditioning_1": giver("CONDITIONING"),
        "conditioning_2": giver("CONDITIONING"),
    },
    "Image Save": {"images": giver("IMAGE")},
    "SaveImageWebsocket": {"images": giver("IMAGE")},
    "IPAdapterModelLoader": {"ipadapter_file": "ip-adapter_sd15.safetensors"},
    "LatentUpscaleModelLoader": {"model_name": "larger.safetensors"},
    "Image Crop Location": {"image": giver("IMAGE"), "right": 32, "bottom": 32},
    "CreateShapeMask": {"shape": "square", "frames": 1},
    "SDXL Empty Latent Image (rgthree)": {"dimensions": "1024 x 1024 (square)"},
    "SDXLEmptyLatentSizePicker+": {"resolution": "1024x1024 (1.0)"},
    "EmptyLatentImagePresets": {"dimensions": "512 x 512 (1:1)"},
    "EmptyLatentImageCustomPresets": {"dimensions": "512 x 512 (1:1)"},
    "ImpactConditionalBranch": {"cond": True, "tt_value": giver("IMAGE"), "ff_value": giver("IMAGE")},
    "SimpleCondition+": {"evaluate": True, "on_true": giver("IMAGE"), "on_false": giver("IMAGE")},
    "easy ifElse": {"boolean": True, "on_true": giver("IMAGE"), "on_false": giver("IMAGE")},
    "ReroutePrimitive|pysssss": {"value": giver("INT")},
    "ImageResize": {"mask_optional": None, "pixels": giver("IMAGE")},
    "ResizeImageMaskNode": {
        "input": giver("IMAGE"),
        "resize_type": "scale by multiplier",
        "resize_type.multiplier": 0.5,
    },
    "CR Upscale Image": {"upscale_model": "2x.safetensors", "image": giver("IMAGE")},
    "ImpactMakeImageList": {"image1": giver("IMAGE")},
    "ImpactMakeImageBatch": {"image1": giver("IMAGE")},
    "ImpactImageBatchToImageList": {"image": giver("IMAGE")},
    "ImageListToImageBatch": {"images": giver("IMAGE")},
    "ImageSender": {"images": giver("IMAGE")},
    "ImpactCombineConditionings": {"conditioning1": giver("CONDITIONING")},
    "ImpactConcatConditionings": {"conditioning1": giver("CONDITIONING"), "conditioning2": giver("CONDITIONING")},
    "MaskListToMaskBatch": {"mask": giver("MASK")},
    "ImpactMakeMaskBatch": {"mask1": giver("MASK")},
    "LatentSwitch": {"select": 1, "input1": giver("LATENT")},
    "SEGSSwitch": {"select": 1, "input1": giver("SEGS")},
    "ImpactInversedSwitch": {"select": 1, "input": giver("IMAGE")},
    "ImpactConditionalBranchSelMode": {"cond": True, "tt_value": giver("IMAGE"), "ff_value": giver("IMAGE")},
    "StringListToString": {"string_list": giver("STRING")},
    "ImpactSchedulerAdapter": {"scheduler": giver("STRING")},
    "ImpactControlBridge": {"value": giver("IMAGE"), "mode": True},
    **{
        f"Impact{name}": {"signal": giver("IMAGE")}
        for name in ("Sleep", "QueueTrigger", "QueueTriggerCountdown", "NodeSetMuteState", "SetWidgetValue")
    },
    **{name: {"fallback_image_opt": giver("IMAGE")} for name in ("SEGSPreview", "SEGSToImageList")},
    **{f"ImpactSegsAndMask{name}": {"masks": None} for name in ("", "ForEach")},
    **{f"ImpactControlNetApply{name}SEGS": {"segs_preprocessor": None} for name in ("", "Advanced")},
    "PixelKSampleUpscalerProviderPipe": GIVERS["enlarger"]["inputs"],
    "CfgScheduleHookProvider": {"target_cfg": 2.0, "schedule_for_iteration": "simple"},
    "DenoiseScheduleHookProvider": {"target_denoise": 0.5, "schedule_for_iteration": "simple"},
    "StepsScheduleHookProvider": {"target_steps": 2, "schedule_for_iteration": "simple"},
    "SEGSPaste": {"ref_image_opt": giver("IMAGE")},
    "RegionalPrompt": {"advanced_sampler": giver("KSAMPLER_ADVANCED")},
    "TwoAdvancedSamplersForMask": {"latent_image": None},
    "RegionalSampler": {"latent_image": None},
    "ReencodeLatentPipe": {"input_basic_pipe": giver("BASIC_PIPE"), "output_basic_pipe": giver("BASIC_PIPE")},
    "Florence2Run": {"florence2_model": ["teller", 0], "task": "caption"},
    "UltralyticsDetectorProvider": {"model_name": "bbox/face_yolov8m.pt"},
    "ONNXDetectorProvider": {"model_name": "face.onnx"},
    "ONNXDetectorSEGS": {"onnx_detector": giver("DETECTOR")},
    "ImpactSimpleDetectorSEGSPipe": {"bbox_detector": None},
    "ImpactSEGSConcat": {"segs1": giver("SEGS"), "segs2": giver("SEGS")},
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
    "CheckpointLoader|pysssss": {"ckpt_name": "shapes"},
    "Efficient Loader": {"ckpt_name": "shapes", "positive": "a", "negative": ""},
    "LoraLoader|pysssss": {"lora_name": "shapes-outline", "strength_model": 1.0, "strength_clip": 1.0},
    "Lora Loader Stack (rgthree)": {"lora_01": "shapes-outline"},
    "RecordAudio": {"audio": "sound.wav"},
    "LoadAudio": {"audio": "sound.wav"},
    "HunyuanVideo15ImageToVideo": {"clip_vision_output": giver("CLIP_VISION_OUTPUT")},
    "XlabsSampler": {"image_to_image_strength": 0.0, "steps": 1},
    "ControlNetLoader": {"control_net_name": "shapes-edges"},
    "ControlNetLoaderAdvanced": {"cnet": "shapes-edges"},
    "CLIPVisionLoader": {"clip_name": "clip_vision_h.safetensors"},
    "UNETLoader": {"unet_name": "shapes"},
    "CLIPLoaderGGUF": {"clip_name": "clip_l.gguf", "type": "stable_diffusion"},
    "DualCLIPLoaderGGUF": {"clip_name1": "clip_l.gguf", "clip_name2": "clip_g.gguf", "type": "sdxl"},
    "TripleCLIPLoaderGGUF": {"clip_name1": "clip_l.gguf", "clip_name2": "clip_g.gguf", "clip_name3": "t5xxl.gguf"},
    "QuadrupleCLIPLoaderGGUF": {f"clip_name{number}": f"{number}.gguf" for number in (1, 2, 3, 4)},
    "IPAdapterUnifiedLoaderCommunity": {"preset": "Composition"},
    **{
        f"IPAdapter{name}": {"ipadapter": ["adapter", 0]}
        for name in ("", "Advanced", "Apply", "Batch", "Tiled", "Encoder")
    },
    "IPAdapterStyleComposition": {"ipadapter": ["xladapter", 0]},
    "IPAdapterInsightFaceLoader": {"provider": "CPU", "model_name": "buffalo_l"},
    "IPAdapterUnifiedLoaderFaceID": {"preset": "FACEID PLUS V2"},
    **{
        type: {"ipadapter": ["facing", 0], "insightface": ["recogniser", 0], "noise": 0.0}
        for type in ("IPAdapterFaceID", "IPAdapterApplyFaceID")
    },
    "FaceKeypointsPreprocessor": {"faceanalysis": ["recogniser", 0]},
    "InstantIDModelLoader": GIVERS["instant"]["inputs"],
    **{
        type: {"instantid": ["instant", 0], "insightface": ["recogniser", 0], "control_net": ["instantcontrol", 0]}
        for type in ("ApplyInstantID", "ApplyInstantIDAdvanced")
    },
    "InstantIDAttentionPatch": {"instantid": ["instant", 0], "insightface": ["recogniser", 0]},
    "ApplyInstantIDControlNet": {"face_embeds": ["instantface", 1], "control_net": ["instantcontrol", 0]},
    "IPAdapterCombineEmbeds": {"embed1": ["encoded", 0]},
    "IPAdapterEmbeds": {"ipadapter": ["adapter", 0], "pos_embed": ["encoded", 0], "neg_embed": ["encoded", 1]},
    "ImageComposite+": {"destination": giver("IMAGE"), "source": giver("IMAGE"), "offset_x": 2, "x": giver("INT")},
    "ImageListToBatch+": {"image": giver("IMAGE")},
    "MaskBatch+": {"mask1": giver("MASK"), "mask2": giver("MASK")},
    "KSampler SDXL (Eff.)": {"sdxl_tuple": ["both", 0], "noise_seed": 1, "steps": 1, "refine_at_step": -1},
    "Image Batch": {"images_a": giver("IMAGE"), "images_b": giver("IMAGE")},
    "Number Operation": {"number_a": giver("INT"), "number_b": 2},
    "SimpleMathDual+": {"value_1": "a + 1", "value_2": "2", "a": 1},
    "BatchCount+": {"batch": giver("IMAGE")},
    "DisplayAny": {"input": giver("STRING")},
    "LayerUtility: If ": {"if_condition": True, "when_TRUE": giver("IMAGE"), "when_FALSE": giver("IMAGE")},
    "LayerUtility: SwitchCase": {"switch_condition": "a", "case_1": "a", "input_1": giver("IMAGE")},
    "LayerUtility: TextJoin": {"text_1": "a", "text_2": "b"},
    "LayerUtility: StringCondition": {"text": giver("STRING"), "condition": "exclude", "sub_string": "b"},
    "LayerUtility: PurgeVRAM": {"anything": giver("IMAGE")},
    "SamplerLCM": {"s_noise": 1.0, "noise_clip_std": 0.0},
    "easy positive": {"positive": "a"},
    "easy negative": {"negative": "a"},
    "easy cleanGpuUsed": {"anything": giver("IMAGE")},
    "easy clearCacheAll": {"anything": giver("IMAGE")},
    "ZImageFunControlnet": {"model_patch": giver("MODEL_PATCH")},
    "ComfySwitchNode": {"switch": ["has", 0], "on_true": giver("IMAGE"), "on_false": giver("IMAGE")},
    "CR Text Input Switch": {"Input": 1, "text1": giver("STRING")},
    "LTXVLatentUpsampler": {"upscale_model": ["latents", 0]},
    "Context Switch (rgthree)": {"ctx_01": ["context", 0]},
    "Context Switch Big (rgthree)": {"ctx_01": ["context", 0]},
    "Context Merge (rgthree)": {"ctx_01": ["context", 0]},
    "Context Merge Big (rgthree)": {"ctx_01": ["context", 0]},
    "LoRA Stacker": GIVERS["stack"]["inputs"],
    "CR LoRA Stack": _STACKED,
    "CR Apply LoRA Stack": {"lora_stack": ["stack", 0]},
    "CR Multi-ControlNet Stack": {"switch_1": "On", "controlnet_1": "shapes-edges"},
    "CR Apply Multi-ControlNet": {"controlnet_stack": ["controls", 0], "switch": "On"},
    "Apply ControlNet Stack": {"cnet_stack": ["controls", 0]},
    "easy preSampling": GIVERS["settings"]["inputs"],
    "easy kSampler": {"pipe": ["settings", 0]},
    "easy fullkSampler": {"pipe": ["settings", 0]},
    "ApplyFluxControlNet": {"controlnet": ["xcontrol", 0], "strength": 0.5},
    "ApplyAdvancedFluxControlNet": {"controlnet": ["xcontrol", 0], "strength": 0.5},
    "LTXAVTextEncoderLoader": {"text_encoder": "gemma.safetensors", "ckpt_name": "ltx-2.safetensors"},
    "LoadFluxIPAdapter": GIVERS["xadapter"]["inputs"],
    "ApplyFluxIPAdapter": {"ip_adapter_flux": ["xadapter", 0], "ip_scale": 0.5},
    "ApplyAdvancedFluxIPAdapter": {"ip_adapter_flux": ["xadapter", 0]},
    "NunchakuFluxDiTLoader": {"model_path": "shapes"},
    "NunchakuQwenImageDiTLoader": {"model_name": "shapes"},
    "NunchakuZImageDiTLoader": {"model_name": "shapes"},
    "NunchakuSDXLDiTLoader": {"model_name": "shapes"},
    **{
        f"NunchakuTextEncoderLoader{version}": {
            "text_encoder1": "clip_l.safetensors",
            "text_encoder2": "t5xxl_fp16.safetensors",
        }
        for version in ("", "V2")
    },
    **{f"Nunchaku{family}LoraLoader": {"lora_name": "shapes-outline", "lora_strength": 0.5} for family in _NUNCHAKU},
    **{f"Nunchaku{family}LoraStack": {"lora_count": 1, "lora_name_1": "shapes-outline"} for family in _NUNCHAKU},
    **{
        f"LayerStyle: {name}{version}": {"layer_mask": giver("MASK"), "blur": 2, "glow_range": 4, "brightness": 2}
        for name in _EFFECTS
        for version in ("", " V2")
    },
    **{f"LayerUtility: CropByMask{version}": {"mask": giver("MASK"), "crop_box": None} for version in (" V2", " V3")},
    "LayerUtility: CropByMask": {"mask_for_crop": giver("MASK"), "crop_box": None},
    "LayerUtility: RestoreCropBox": {"crop_box": ["box", 2]},
    "LayerUtility: ImageHub": {"image1": giver("IMAGE")},
    "LayerUtility: ImageScaleRestore V2": {"scale_by": "longest", "scale_by_length": 32},
    "LayerFilter: GaussianBlur": {"blur": 2},
    "LayerFilter: GaussianBlurV2": {"blur": 1.5},
    **{
        f"VHS_LoadVideo{version}": {
            "video": "in.png",
            "custom_width": 32,
            "frame_load_cap": 1,
            "meta_batch": None,
            "vae": None,
        }
        for version in ("", "Path", "FFmpeg", "FFmpegPath")
    },
    **{f"VHS_VideoInfo{part}": {"video_info": ["clip", 3]} for part in ("", "Source", "Loaded")},
    "VHS_LoadAudio": {"audio_file": "sound.wav"},
    "VHS_LoadAudioUpload": {"audio": "sound.wav", "duration": 0.05},
    "VHS_SelectImages": {"image": giver("IMAGE"), "indexes": "0"},
    "VHS_SplitImages": {"images": ["pile", 0], "split_index": 1},
    "VHS_MergeImages": {"images_A": giver("IMAGE"), "images_B": giver("IMAGE")},
    "ImageConcatMulti": {"inputcount": 2, "image_1": giver("IMAGE"), "image_2": giver("IMAGE")},
    **{
        f"ImageGridComposite{n}x{n}": {f"image{place}": giver("IMAGE") for place in range(1, n * n + 1)} for n in (2, 3)
    },
    "ImageUncropByMask": {"destination": giver("IMAGE"), "source": giver("IMAGE"), "bbox": ["cutout", 2]},
    "SimpleCalculatorKJ": {"expression": "a + 1", "a": giver("INT")},
    "LazySwitchKJ": {"switch": ["has", 0], "on_true": giver("IMAGE"), "on_false": giver("IMAGE")},
    "DiffusionModelLoaderKJ": {"model_name": "shapes", "extra_state_dict": None},
    "ImagePadKJ": {"image": giver("IMAGE"), "target_width": None, "target_height": None},
    "FloatToMask": {"input_values": 0.5},
    **{
        f"easy {name}": _WHOLE | {"optional_controlnet_stack": None}
        for name in ("fullLoader", "a1111Loader", "comfyLoader", "fluxLoader")
    },
    **{
        f"easy {name}": GIVERS["settings"]["inputs"] | {"optional_sampler": None}
        for name in ("preSamplingAdvanced", "preSamplingCustom")
    },
    **{
        f"easy {name}": {"pipe": ["settings", 0]}
        for name in (
            "kSamplerTiled",
            "kSamplerCustom",
            "pipeOut",
            "pipeIn",
            "pipeEdit",
            "pipeEditPrompt",
            "pipeToBasicPipe",
        )
    },
    **{
        f"easy controlnetLoader{version}": {"pipe": ["settings", 0], "control_net_name": "shapes-edges"}
        for version in ("", "ADV", "++")
    },
    "easy loraStack": {"num_loras": 1, "lora_1_name": "shapes-outline"},
    "easy hiresFix": {"model_name": "2x.safetensors", "image": giver("IMAGE"), "vae": giver("VAE")},
    "easy convertAnything": {"*": giver("INT"), "output_type": "string"},
    **{f"easy {kind}IndexSwitch": {"index": 0, f"{name}0": giver(link)} for kind, name, link in _INDEXED},
    "easy ckptNames": {"ckpt_name": "shapes"},
    "easy loraNames": {"lora_name": "shapes-outline"},
    "easy controlnetNames": {"controlnet_name": "shapes-edges"},
    "easy promptReplace": {"prompt": "a", "find1": "a", "replace1": "b"},
    "easy promptLine": {"prompt": "a"},
    "easy prompt": {"text": "a"},
    "easy wildcards": {"text": "a"},
    "easy textSwitch": {"input": 1, "text1": giver("STRING")},
    "Image Load": {"image_path": "in.png"},
    "Image Blend by Mask": {"mask": giver("IMAGE")},
    "Bounded Image Blend with Mask": {
        "target": giver("IMAGE"),
        "source": giver("IMAGE"),
        "target_bounds": ["bounds", 1],
        "feathering": 4,
    },
    "Checkpoint Loader (Simple)": {"ckpt_name": "shapes"},
    "Upscale Model Loader": {"model_name": "2x.safetensors"},
    "Text List": {"text_a": "a", "text_b": "b"},
    "Text Contains": {"text": "a", "sub_text": "a"},
    "CheckpointLoaderSimpleShared //Inspire": {"ckpt_name": "shapes"},
    "CR Switch Model and CLIP": {"Input": 1, "model1": giver("MODEL"), "clip1": giver("CLIP")},
    "Power Puter (rgthree)": {
        "outputs": {"outputs": ["STRING"]},
        "code": "b = a * 2\nf'{b} things'",
        "a": giver("INT"),
    },
    "Image or Latent Size (rgthree)": {"input": giver("IMAGE")},
    "ETN_Parameter": {"name": "steps", "type": "number (integer)", "default": "8"},
    "VRAM_Debug": {"any_input": giver("IMAGE")},
    "easy showTensorShape": {"tensor": giver("IMAGE")},
    **{type: {"value": giver("IMAGE")} for type in ("UnloadAllModels", "UnloadModel")},
    "ImpactExecutionOrderController": {"signal": giver("IMAGE"), "value": giver("IMAGE")},
    "LayerUtility: PurgeVRAM V2": {"anything": giver("IMAGE")},
    **{f"{name}|pysssss": {"any": giver("IMAGE")} for name in ("PlaySound", "SystemNotification")},
    "LayerUtility: AnyRerouter": {"any": giver("IMAGE")},
    "CR Split String": {"text": "a,b"},
    "DPRandomGenerator": {"text": "a {b|c}", "seed": 1},
    "ShowAnything|Mie": {"anything": giver("STRING")},
    "ConditioningCombineMultiple+": {"conditioning_1": giver("CONDITIONING")},
    "If ANY return A else B-🔬": {"ANY": ["has", 0], "IF_TRUE": giver("IMAGE"), "IF_FALSE": giver("IMAGE")},
    "AV_ControlNetPreprocessor": {"preprocessor": "none", "image": giver("IMAGE")},
    **{
        f"AV_ControlNet{kind}": {"control_net_name": "shapes-edges", "control_net_override": None}
        for kind in ("Loader", "EfficientLoader")
    },
    "ImageColorMatch+": {"reference": giver("IMAGE"), "reference_mask": None},
    **{f"{kind}-🔬": {"Value": value} for kind, value in (("Int", 1), ("Float", 0.5), ("Bool", True), ("String", "a"))},
    "LayerMask: BiRefNetUltraV2": {"birefnet_model": ["birefnet", 0]},
    "LayerMask: LoadBiRefNetModelV2": {"version": "BiRefNet-General"},
    **{
        f"LayerMask: SegmentAnythingUltra{version}": {
            "prompt": "a",
            "sam_model": "sam_vit_b (375MB)",
            "grounding_dino_model": "GroundingDINO_SwinT_OGC (694MB)",
        }
        for version in ("", " V2")
    },
    **{f"LayerUtility: ImageMaskScaleAs{version}": {"scale_as": giver("MASK")} for version in ("", "V2")},
    **{
        type: {"images": giver("IMAGE"), "filename_prefix": "a"}
        for type in ("SaveImageKJ", "SaveImage|pysssss", "ETN_KritaOutput")
    },
    **{
        type: {text: giver("STRING"), "filename_prefix": "a"}
        for type, text in (("SaveStringKJ", "string"), ("Save Text File", "text"))
    },
    **{f"Switch {kind} [Crystools]": _SIDES for kind in ("any", "latent", "conditioning", "image", "mask", "string")},
    **{f"Primitive {kind} [Crystools]": {name: value} for kind, name, value in _PRIMITIVES},
    **{
        f"{kind} Input Switch": {"boolean": ["has", 0], f"{name}_a": giver("INT"), f"{name}_b": giver("INT")}
        for kind, name in _SWITCHED
    },
    "Upscale Model Switch": {"boolean": True, "upscale_model_a": giver("UPSCALE_MODEL")},
    "Text List to Text": {"text_list": giver("STRING")},
    "CR Text Input Switch (4 way)": {"Input": 1, "text1": giver("STRING")},
    "easy imageSwitch": {"boolean": ["has", 0], "image_a": giver("IMAGE"), "image_b": giver("IMAGE")},
    "easy imageCount": {"images": giver("IMAGE"), "image": None},
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
    **dict.fromkeys(
        (
            "IPAdapter",
            "IPAdapterAdvanced",
            "IPAdapterApply",
            "IPAdapterBatch",
            "IPAdapterCombineEmbeds",
            "IPAdapterEmbeds",
            "IPAdapterApplyFaceID",
            "IPAdapterEncoder",
            "IPAdapterFaceID",
            "IPAdapterModelLoader",
            "IPAdapterTiled",
            "IPAdapterUnifiedLoader",
            "IPAdapterUnifiedLoaderCommunity",
            "IPAdapterUnifiedLoaderFaceID",
            "ADE_AnimateDiffLoaderGen1",
            "ADE_AnimateDiffLoRALoader",
            "ADE_AnimateDiffLoaderWithContext",
            "ADE_AnimateDiffSamplingSettings",
            "ADE_MultivalDynamic",
            "ADE_MultivalDynamicFloatInput",
            "ADE_AnimateDiffUniformContextOptions",
            "ADE_ApplyAnimateDiffModel",
            "ADE_ApplyAnimateDiffModelSimple",
            "ADE_LoadAnimateDiffModel",
            "ADE_LoopedUniformContextOptions",
            "ADE_StandardStaticContextOptions",
            "ADE_StandardUniformContextOptions",
            "ADE_UseEvolvedSampling",
        ),
        "v1-5-pruned-emaonly.safetensors",
    ),
    **dict.fromkeys(
        (
            "ApplyInstantID",
            "ApplyInstantIDAdvanced",
            "ApplyInstantIDControlNet",
            "InstantIDAttentionPatch",
            "InstantIDModelLoader",
            "IPAdapterStyleComposition",
        ),
        "sd_xl_base_1.0.safetensors",
    ),
    **dict.fromkeys(("LoadFluxIPAdapter", "ApplyFluxIPAdapter", "ApplyAdvancedFluxIPAdapter"), "flux1-dev.safetensors"),
    "FluxKVCache": "flux-2-klein-4b.safetensors",
    "ImageOnlyCheckpointSave": "svd_xt.safetensors",
}
"""Checkpoints of other families than the packaged one's, for types that belong to one."""
