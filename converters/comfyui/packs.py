"""Which custom pack a node type belongs to, as far as its name tells."""

from __future__ import annotations

_ENDINGS = {
    "(rgthree)": "rgthree-comfy",
    "|pysssss": "ComfyUI-Custom-Scripts",
    "(mtb)": "comfy-mtb",
    "(Efficient)": "efficiency-nodes-comfyui",
    "(LoraManager)": "ComfyUI-Lora-Manager",
    "(WAS)": "was-node-suite-comfyui",
    "(Image Saver)": "ComfyUI-Image-Saver",
    "(segment anything)": "comfyui_segment_anything",
    "[Crystools]": "ComfyUI-Crystools",
    "//Inspire": "ComfyUI-Inspire-Pack",
    "(JPS)": "ComfyUI_JPS-Nodes",
    "|LP": "ComfyUI-LevelPixel",
    "_Zho": "a pack of ZHO-ZHO-ZHO",
    "PPM": "ComfyUI-ppm",
    "KJ": "ComfyUI-KJNodes",
    "KJv2": "ComfyUI-KJNodes",
    "+": "ComfyUI_essentials",
    "Preprocessor": "comfyui_controlnet_aux",
    "Preprocessor_aux": "comfyui_controlnet_aux",
    "_O": "ComfyUI-QualityOfLifeSuit_Omar92",
    "GGUF": "ComfyUI-GGUF",
}
_BEGINNINGS = {
    "Impact": "ComfyUI-Impact-Pack",
    "FaceDetailer": "ComfyUI-Impact-Pack",
    "DetailerForEach": "ComfyUI-Impact-Pack",
    "SEGS": "ComfyUI-Impact-Pack",
    "Ultralytics": "ComfyUI-Impact-Subpack",
    "IPAdapter": "ComfyUI_IPAdapter_plus",
    "easy ": "ComfyUI-Easy-Use",
    "CR ": "ComfyUI_Comfyroll_CustomNodes",
    "ADE_": "ComfyUI-AnimateDiff-Evolved",
    "ADMD_": "ComfyUI-ADMotionDirector",
    "VHS_": "ComfyUI-VideoHelperSuite",
    "BNK_": "a pack of BlenderNeko",
    "ETN_": "comfyui-tooling-nodes",
    "INPAINT_": "comfyui-inpaint-nodes",
    "ReActor": "comfyui-reactor",
    "LayerColor": "ComfyUI_LayerStyle",
    "LayerUtility": "ComfyUI_LayerStyle",
    "LayerMask": "ComfyUI_LayerStyle",
    "LayeredDiffusion": "ComfyUI-layerdiffuse",
    "UltimateSDUpscale": "ComfyUI_UltimateSDUpscale",
    "[Comfy3D]": "ComfyUI-3D-Pack",
    "Florence2": "ComfyUI-Florence2",
    "Text ": "was-node-suite-comfyui",
    "Image ": "was-node-suite-comfyui",
    "Apply Pulid": "ComfyUI_PuLID",
    "ApplyPulid": "ComfyUI_PuLID",
    "Pulid": "ComfyUI_PuLID",
    "InstantID": "ComfyUI_InstantID",
    "BrushNet": "ComfyUI-BrushNet",
    "PowerPaint": "ComfyUI-BrushNet",
    "AILab_": "ComfyUI-QwenVL (AILab)",
    "Clownshar": "RES4LYF",
    "FL_": "ComfyUI_Fill-Nodes",
    "MZ_": "ComfyUI-Kolors-MZ",
}


def pack_of(type: str) -> str:
    """Return the pack that a type's name points to, or an empty text."""
    ends = [ending for ending in _ENDINGS if type.endswith(ending)]
    if ends:
        return _ENDINGS[max(ends, key=len)]
    begins = [beginning for beginning in _BEGINNINGS if type.startswith(beginning)]
    return _BEGINNINGS[max(begins, key=len)] if begins else ""
