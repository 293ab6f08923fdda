"""What ComfyUI node types without a rule would need: a family that is not built, or a node that nobody has written.

One line a type. Once the family or the node is there, the line moves to a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..loops import LOOPS


@dataclass(frozen=True, slots=True)
class Need:
    """What a type without a rule needs.

    Attributes:
        kind: ``family``: models of a family that is not built. ``node``: a native node that is not there.
            ``service``: somebody's paid web service.
        says: What would have to be provided.
    """

    kind: Literal["family", "node", "service"]
    says: str


_FAMILIES: Mapping[str, str] = {
    # needed: types
    "the super-resolution ControlNet of Stable Cascade": "StableCascade_SuperResolutionControlnet",
    "Flux 3's layout prompts and reference latents": "Flux3LayoutPrompt ReferenceMultiLatent CreateBoundingBoxes",
    "a family that works on pixels, and latents as large as the picture": "EmptyHiDreamO1LatentImage",
    "HiDream-O1": "HiDreamO1PatchSeamSmoothing HiDreamO1ReferenceImages ModelNoiseScale",
    "Ideogram 4 with its two models": "Ideogram4Scheduler DualModelGuider CFGOverride",
    "Fibo 2's text encoder": "TextEncodeFibo2",
    "JoyImage's text encoder": "TextEncodeJoyImageEdit",
    "Anima's LLLite control": "AnimaLLLiteApply",
    "position embeddings of a video transformer": "ScaleROPE",
    "Boogu's text encoder": "TextEncodeBooguEdit",
    "Mage-Flow's text encoder": "TextEncodeMageFlowEdit",
    "MOSS-Image": "TextEncodeMOSSImageEdit MOSSImageControl MOSSImageLayoutPrompt",
    "Ming-Image's text encoder": "TextEncodeMingImageEdit",
    "Marigold 2": "ConditioningLoader MarigoldV2PostProcess",
    "the PiD upscaler": "PiDConditioning",
    "SeedVR2": "SeedVR2Conditioning SeedVR2Preprocess SeedVR2PostProcessing",
    "Wan's later variants (InfiniteTalk, SCAIL, Animate 2, Dancer, Move, Bernini)":
        "WanInfiniteTalkToVideo WanSCAILToVideo WanAnimate2ToVideo WanAnimate2Cache WanDancerVideo"
        " WanDancerEncodeAudio WanDancerPadKeyframesList WanMoveTrackToVideo WanMoveConcatTrack BerniniConditioning",
    "LTX-2.5's guidance of frames and sound": "LTXVDualCFGGuider",
    "Kandinsky 5's correction of first frames": "NormalizeVideoLatentStart",
    "MiniMax H3": "MiniMaxH3ImageToVideo MiniMaxH3ReferenceToVideo MiniMaxH3AddGuide MiniMaxH3SigmaShift"
        " MiniMaxH3FunControlNetApply BlockSparseAttention",
    "VOID": "VOIDInpaintConditioning VOIDSampler VOIDWarpedNoise VOIDWarpedNoiseSource OpticalFlowLoader",
    "a family that makes videos frame after frame": "ARVideoI2V SamplerARVideo",
    "an autoencoder of sound": "VAEDecodeAudioTiled",
    "YuE 2": "EmptyYuE2LatentAudio YuE2GenerateABC YuE2GenerateMusic SheetSage2AudioToABC",
    "MiniMax Music": "EmptyMiniMaxMusic3LatentAudio MiniMaxMusic3TextEncode",
    "Hunyuan3D, whose networks no package with a free licence has": "EmptyLatentHunyuan3Dv2 Hunyuan3Dv2Conditioning Hunyuan3Dv2ConditioningMultiView VAEDecodeHunyuan3D",
    "Trellis 2": "EmptyTrellis2LatentStructure Trellis2ShapeStage Trellis2TextureStage Trellis2UpsampleStage"
        " VaeDecodeShapeTrellis VaeDecodeStructureTrellis2 VaeDecodeTextureTrellis",
    "shapes of voxels and meshes, which only models make that no package with a free licence has":
        "VoxelToMesh VoxelToMeshBasic SaveGLB Save3DAdvanced",
    "a view of a shape, which ComfyUI's window draws": "Preview3D Preview3DAnimation Preview3DAdvanced Load3D Load3DAnimation",
}  # fmt: skip

_NODES: Mapping[str, str] = {
    "PhotoMaker's encoder of faces": "PhotoMakerLoader PhotoMakerEncode",
    "a schedule from tables that were published without a free licence": "GITSScheduler OptimalStepsScheduler",
    "guidance whose formula stands nowhere but in ComfyUI's own code, which is under the GPL": "Mahiro",
    "a sampler whose way stands nowhere but in ComfyUI's own code, which is under the GPL": "SamplerLCMUpscale",
    "a trainer of LoRAs": "TrainLoraNode SaveLoRANode LoraModelLoader LossGraphNode LoadImageSetFromFolderNode LoadImageTextSetFromFolderNode",
    "vector pictures, which only a paid web service makes": "SaveSVGNode",
    "a picture drawn by hand in ComfyUI's window": "Painter PainterNode",
    "a detector that is a pickle file of MMDetection": "MMDetDetectorProvider",
    "what a detector's hook does in each pass: noise, another sampler, a mended picture":
        "NoiseInjectionDetailerHookProvider NoiseInjectionHookProvider UnsamplerHookProvider UnsamplerDetailerHookProvider"
        " CoreMLDetailerHookProvider CustomSamplerDetailerHookProvider LamaRemoverDetailerHookProvider VariationNoiseDetailerHookProvider",
    "landmarks of faces (MediaPipe)": "MediaPipeFaceMeshToSEGS",
    "things in moving pictures": "MaskToSEGS_for_AnimateDiff ImpactSimpleDetectorSEGS_for_AD ImpactSAM2VideoDetectorSEGS SEGSDetailerForAnimateDiff DetailerForEachPipeForAnimateDiff",
    "single things of a group (SEG_ELT)":
        "ImpactDecomposeSEGS ImpactAssembleSEGS ImpactFrom_SEG_ELT ImpactEdit_SEG_ELT ImpactDilate_Mask_SEG_ELT ImpactScaleBy_BBOX_SEG_ELT"
        " ImpactFrom_SEG_ELT_bbox ImpactFrom_SEG_ELT_crop_region",
    "a choice that is made by hand while it runs": "ImpactSEGSPicker",
    "a segmentation model (SAM, GroundingDINO)":
        "SAM3_Detect SAM3_VideoTrack SCAIL2ColoredMask SAMPreprocessor",
    "a model of depth and geometry that preprocess does not have":
        "LoadDA3Model DA3Inference DA3Render LoadMoGeModel MoGeInference MoGePanoramaInference MoGeRender"
        " MoGePointMapToMesh MoGeGeometryToFOV",
    "a model of poses that preprocess does not have":
        "SDPoseKeypointExtractor SDPoseDrawKeypoints RTDETR_detect DrawBBoxes MediaPipe-FaceMeshPreprocessor",
    "a segmentation of scenes, which preprocess does not have":
        "SemSegPreprocessor OneFormer-ADE20K-SemSegPreprocessor OneFormer-COCO-SemSegPreprocessor UniFormer-SemSegPreprocessor",
    "a model that removes backgrounds":
        "LoadBackgroundRemovalModel RemoveBackground",
    "a model that makes frames between frames": "FrameInterpolationModelLoader FrameInterpolate",
    "PuLID's networks (EVA-CLIP, a parser of faces, its encoder)":
        "ApplyPulid ApplyPulidAdvanced PulidModelLoader PulidEvaClipLoader PulidInsightFaceLoader ApplyPulidFlux"
        " PulidFluxModelLoader PulidFluxEvaClipLoader PulidFluxInsightFaceLoader",
    "a network that swaps faces: the only one that is published (inswapper) is free for research alone, and was withdrawn":
        "ReActorFaceSwap ReActorFaceSwapOpt ReActorOptions ReActorFaceBoost",
    "a cutter of faces as RetinaFace finds them": "AutoCropFaces",
    "an IP-Adapter for Stable Diffusion 3": "IPAdapterSD3Loader ApplyIPAdapterSD3",
    "a sampler that runs towards noise": "BNK_Unsampler",
    "videos that are written by a node of AnimateDiff-Evolved, which VideoHelperSuite replaced": "ADE_AnimateDiffCombine",
    "BrushNet's second network": "BrushNetLoader BrushNet PowerPaint PowerPaintCLIPLoader",
    "the inpainting patch of Fooocus": "INPAINT_LoadFooocusInpaint INPAINT_ApplyFooocusInpaint INPAINT_VAEEncodeInpaintConditioning",
    "an inpainting network (LaMa, MAT)": "INPAINT_LoadInpaintModel INPAINT_InpaintWithModel",
    "a model that reads the latent of another layer beside its own (LayerDiffuse)":
        "LayeredDiffusionCondApply LayeredDiffusionCondJointApply LayeredDiffusionDiffApply LayeredDiffusionJointApply LayeredDiffusionDecodeSplit",
    "the relighting UNet of IC-Light": "ICLightConditioning LoadAndApplyICLightUnet ICLightAppply ICLightApplyMaskGrey",
    "attention that is divided among prompts by masks; set_conditioning_mask divides the prediction": "AttentionCouplePPM",
    "a model that describes pictures in words":
        "WD14Tagger|pysssss LlavaClipLoader LLavaSamplerSimple Qwen2_Zho"
        " Qwen2_ModelLoader_Zho AILab_QwenVL AILab_QwenVL_GGUF_PromptEnhancer",
    "a network that enlarges latents": "NNLatentUpscale",
    "a table of prompt styles, which comes with the pack": "SDXLPromptStyler StylesImage_Zho ArtistsImage_Zho MovementsImage_Zho",
    "a picture inside the workflow file": "ETN_LoadImageBase64",
    "letters drawn into pictures": "AddLabel CreateTextMask CreateTextOnPath",
    "what a widget in ComfyUI's window shows": "WidgetToString",
    "a picture from the web; download it, and link a LoadImage": "LoadImageFromUrl LoadImagesFromURL LoadImageAsMaskFromUrl",
    "a folder of pictures": "VHS_LoadImages VHS_LoadImagesPath LoadImagesFromFolderKJ",
    "a run that goes on with the next part of a video": "VHS_BatchManager",
    "shares of a LoRA by block": "FluxBlockLoraSelect FluxBlockLoraLoader",
    "Nunchaku's pipeline for faces (PuLID) and IP-Adapters":
        "NunchakuPulidApply NunchakuPulidLoader NunchakuPuLIDLoaderV2 NunchakuFluxPuLIDApplyV2 NunchakuIPAdapterLoader NunchakuFluxIPAdapterApply",
    "a merging of Nunchaku's folders; the folder can be named as it is": "NunchakuModelMerger",
    "weights from the web; `graphflow models` fetches them": "LoraLoaderFromURL HFHubLoraLoader",
}  # fmt: skip

_SPACED: Mapping[str, tuple[str, ...]] = {
    "a cutter of faces as RetinaFace finds them": ("Image Crop Face",),
    "attention that is divided among prompts by masks; set_conditioning_mask divides the prediction": (
        "Attention couple",
    ),
    "a model that describes pictures in words": (
        "LLava Loader Simple",
        "BLIP Analyze Image",
        "BLIP Model Loader",
        "easy imageInterrogator",
        "LayerUtility: PromptTagger",
    ),
    "a folder of pictures": ("LoadImagesFromDir //Inspire", "LoadImageListFromDir //Inspire", "Load Image Batch"),
    "a choice that is made by hand while it runs": ("easy imageChooser", "Preview Chooser", "Image Chooser"),
    "a table of prompt styles, which comes with the pack": (
        "easy stylesSelector",
        "Prompt Styles Selector",
        "Prompt Multiple Styles Selector",
    ),
    "a grid of pictures; `graphflow run --vary` makes one": (
        "XY Plot",
        "easy XYPlot",
        "easy XYPlotAdvanced",
        "CR XY From Folder",
        "XY Input: LoRA Block Weight //Inspire",
    ),
    "shares of a LoRA by block": ("LoraLoaderBlockWeight //Inspire",),
    "letters drawn into pictures": (
        "LayerUtility: TextImage",
        "LayerUtility: TextImage V2",
        "LayerUtility: SimpleTextImage",
        "LayerUtility: ImageReel",
        "LayerUtility: ImageReelComposit",
        "DrawText+",
        "CR Draw Text",
        "CR Overlay Text",
        "CR Simple Text Panel",
    ),
    "a matting of edges": (
        "LayerMask: MaskEdgeUltraDetail",
        "LayerMask: MaskEdgeUltraDetail V2",
        "LayerMask: MaskEdgeUltraDetail V3",
    ),
    "landmarks of faces and persons (MediaPipe)": (
        "LayerMask: PersonMaskUltra",
        "LayerMask: PersonMaskUltra V2",
        "easy humanSegmentation",
    ),
    "a segmentation of clothes": ("LayerMask: SegformerB2ClothesUltra", "LayerMask: SegformerClothesPipelineLoader"),
    "an inpainting network (LaMa, MAT)": ("LayerUtility: LaMa",),
    "a sampler that works tile by tile": ("Tiled Upscaler Script",),
    "noise that other programs draw, or mixed noise": ("Noise Control Script",),
}
"""Types with spaces in their names, of the same kind."""
_SERVICES = (
    "Gemini", "Kling", "OpenAI", "ByteDance", "Recraft", "Grok", "Topaz", "Bria", "HitPaw", "ElevenLabs", "MinimaxHailuo",
    "Tripo", "Luma", "Runway", "Pika", "Rodin", "Veo", "Ideogram V", "Stability", "Flux2Pro", "FluxPro", "FluxKontextPro",
    "FluxKontextMax", "Moonvalley", "Vidu", "PixverseT", "PixverseI", "WanText", "WanImageToVideoApi", "Meshy",
)  # fmt: skip
"""How the types of ComfyUI's paid services begin."""
_BEGINNINGS: Mapping[str, Need] = {
    "ADE_": Need(
        "node", "what changes motion modules from frame to frame, or other kinds of them (AnimateDiff-Evolved)"
    ),
    "ADMD_": Need("node", "a trainer of motion modules"),
    "[Comfy3D]": Need("family", "shapes of voxels and meshes"),
    "TripoSR": Need("family", "shapes of voxels and meshes"),
    "MimicMotion": Need("family", "MimicMotion"),
    "MZ_": Need("family", "Kolors (run_pipeline runs it whole)"),
    "Krea2": Need("family", "Krea 2's control and style networks"),
    "Clownshar": Need("node", "RES4LYF's guides, chains and options, which are published as code alone"),
    "ReActor": Need("node", "a network that swaps faces, of which none with a free licence is published"),
    "Pulid": Need("node", "PuLID's networks (EVA-CLIP, a parser of faces, its encoder)"),
    "SUPIR_": Need("family", "SUPIR"),
}
"""What whole groups of types need, by how their names begin."""
_LOCAL = ("TripoSR", "TripoSplat", "StabilityAudio")


def _all() -> Iterator[tuple[str, Need]]:
    for says, types in _FAMILIES.items():
        yield from ((type, Need("family", says)) for type in types.split())
    for says, types in _NODES.items():
        yield from ((type, Need("node", says)) for type in types.split())
    yield from ((type, Need("node", says)) for type, says in LOOPS.items())
    for says, names in _SPACED.items():
        yield from ((type, Need("node", says)) for type in names)


NEEDS: Mapping[str, Need] = dict(_all())
"""By ComfyUI type."""


def need_of(type: str) -> Need | None:
    """Return what a type without a rule needs, or None where nothing is known of it."""
    found = NEEDS.get(type) or NEEDS.get(type.strip())
    if found is None:
        found = next((need for start, need in _BEGINNINGS.items() if type.startswith(start)), None)
    if found is None and type.startswith(_SERVICES) and not type.startswith(_LOCAL):
        return Need("service", "a web service that costs money; graphflow calls none")
    return found
