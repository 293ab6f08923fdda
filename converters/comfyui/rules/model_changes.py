"""What changes a model: merges, guidance, attention, noise levels."""

from __future__ import annotations

from ..building import Builder, Fused, Source, Value
from .common import METHOD
from .rule import AnyRule, Made, Rule

_MERGES = (
    "ModelMergeSD1 ModelMergeSD2 ModelMergeSDXL ModelMergeSD3_2B ModelMergeSD35_Large ModelMergeAuraflow ModelMergeFlux1"
    " ModelMergeCosmos14B ModelMergeCosmos7B ModelMergeCosmosPredict2_14B ModelMergeCosmosPredict2_2B ModelMergeLTXV"
    " ModelMergeMochiPreview ModelMergeQwenImage ModelMergeWAN2_1"
)
"""Merges block by block; the names of the blocks are the family's own."""
_RANDOM = "what it picks at random is not what ComfyUI picks, so pictures differ in detail"


def _blocks(builder: Builder, source: Source) -> list[Value]:
    """ModelMergeSD1 and its kin: one ratio for each block."""
    blocks: dict[str, float] = {}
    for name in (*source.defaults, *source.inputs):
        if name not in ("model1", "model2"):
            blocks[name] = source.number(name, 1.0)
    inputs = {"model": source.get("model1"), "other": source.get("model2"), "blocks": blocks}
    return [builder.add(source, "merge_model_blocks", inputs)]


def _operation(kind: str) -> Made:
    """Return the rule of an operation on latents: a part of the node that applies it."""

    def make(builder: Builder, source: Source) -> list[Value]:
        names = {
            "sharpen_latent": {"sharpen_radius": "radius", "sigma": "sigma", "alpha": "strength"},
            "tonemap_latent": {"multiplier": "multiplier"},
        }[kind]
        parts = {native: source.get(comfy) for comfy, native in names.items()}
        return [Fused("latent operation", {"type": kind, **parts}, (source.id,))]

    comfy = {"sharpen_latent": "LatentOperationSharpen", "tonemap_latent": "LatentOperationTonemapReinhard"}[kind]
    return Made(comfy, (kind,), make, says=f"part of the {kind} that LatentApplyOperation becomes")


def _apply_operation(builder: Builder, source: Source) -> list[Value]:
    operation = source.part("operation", "latent operation")
    parts = dict(operation.parts)
    kind = parts.pop("type")
    return [builder.add(source, kind, {"latent": source.get("samples"), **parts}, ids=operation.ids)]


def _operation_on_guidance(builder: Builder, source: Source) -> list[Value]:
    """LatentApplyOperationCFG: the operation on the difference of the predictions, as ComfyUI's documentation says."""
    operation = source.part("operation", "latent operation")
    parts = dict(operation.parts)
    kind = {"sharpen_latent": "sharpen_guidance", "tonemap_latent": "tonemap_guidance"}[parts.pop("type")]
    window = {"start": source.get("start_percent"), "end": source.get("end_percent")}
    return [builder.add(source, kind, {"model": source.get("model"), **window, **parts}, ids=operation.ids)]


RULES: tuple[AnyRule, ...] = (
    # merges
    Rule("ModelMergeSimple", "merge_models", "model1:model model2:other ratio"),
    Rule("ModelMergeAdd", "add_models", "model1:model model2:other"),
    Rule("ModelMergeSubtract", "subtract_models", "model1:model model2:other multiplier"),
    Rule("ModelMergeBlocks", "merge_model_blocks", "model1:model model2:other input:input_ratio middle:middle_ratio out:output_ratio"),
    *(Made(type, ("merge_model_blocks",), _blocks, says="one ratio for each block") for type in _MERGES.split()),
    Rule("CLIPMergeSimple", "merge_text_encoders", "clip1:text_encoder clip2:other ratio"),
    Rule("CLIPMergeAdd", "add_text_encoders", "clip1:text_encoder clip2:other"),
    Rule("CLIPMergeSubtract", "subtract_text_encoders", "clip1:text_encoder clip2:other multiplier"),
    Rule("UNetCrossAttentionMultiply", "scale_attention", "model q k v out", fixed={"attention": "cross"}),
    Rule("UNetSelfAttentionMultiply", "scale_attention", "model q k v out", fixed={"attention": "self"}),
    Rule("CLIPAttentionMultiply", "scale_text_attention", "clip:text_encoder q k v out"),
    # how the network runs
    Rule("FreeU", "freeu", "model b1 b2 s1 s2", fixed={"method": "v1"}),
    Rule("FreeU_V2", "freeu", "model b1 b2 s1 s2", fixed={"method": "v2"}),
    Rule("PerturbedAttentionGuidance", "perturbed_attention_guidance", "model scale"),
    Rule("SelfAttentionGuidance", "self_attention_guidance", "model scale blur_sigma"),
    Rule("PatchModelAddDownscale", "deep_shrink",
         "model block_number:block downscale_factor start_percent:start end_percent:end downscale_after_skip:after_skip downscale_method upscale_method",
         values={"downscale_method": METHOD, "upscale_method": METHOD}),
    Rule("HyperTile", "hypertile", "model tile_size swap_size max_depth scale_depth", differs=_RANDOM),
    Rule("TomePatchModel", "merge_tokens", "model ratio", differs=_RANDOM),
    # guidance
    Rule("RescaleCFG", "rescale_guidance", "model multiplier"),
    Rule("APG", "adaptive_projected_guidance", "model eta norm_threshold momentum"),
    Rule("PerpNeg", "perp_neg_guidance", "model empty_conditioning:empty neg_scale:negative_scale"),
    Rule("CFGZeroStar", "cfg_zero_star", "model"),
    Rule("TCFG", "tangential_guidance", "model"),
    Rule("CFGNorm", "limit_guidance_norm", "model strength"),
    Rule("RenormCFG", "renormalize_guidance", "model cfg_trunc:guide_below renorm_cfg:max_norm", fixed={"of": "clean"}),
    Rule("DynamicThresholdingSimple", "dynamic_thresholding", "model mimic_scale threshold_percentile:percentile", pack="sd-dynamic-thresholding"),
    Rule("FreSca", "scale_guidance_frequencies", "model scale_low:low scale_high:high freq_cutoff:cutoff"),
    Rule("Epsilon Scaling", "scale_epsilon", "model scaling_factor:factor"),
    Rule("VideoLinearCFGGuidance", "ramp_guidance", "model min_cfg:min_scale", fixed={"shape": "linear"}),
    Rule("VideoTriangleCFGGuidance", "ramp_guidance", "model min_cfg:min_scale", fixed={"shape": "triangle"}),
    Rule("DifferentialDiffusion", "differential_diffusion", "model strength"),
    Rule("HypernetworkLoader", "apply_hypernetwork", "model hypernetwork_name:hypernetwork strength"),
    # noise levels
    Rule("ModelSamplingDiscrete", "set_prediction", "model sampling:prediction zsnr:zero_snr", values={"sampling": {"eps": "epsilon", "x0": "sample"}}),
    Rule("ModelSamplingContinuousEDM", "set_continuous_sampling", "model sampling:prediction sigma_max sigma_min",
         values={"sampling": {"eps": "epsilon"}}, fixed={"time": "log"}),
    Rule("ModelSamplingContinuousV", "set_continuous_sampling", "model sampling:prediction sigma_max sigma_min", fixed={"time": "angle"}),
    Rule("ModelSamplingSD3", "set_flow_shift", "model shift", fixed={"timestep_scale": 1000.0}),
    Rule("ModelSamplingAuraFlow", "set_flow_shift", "model shift", fixed={"timestep_scale": 1.0}),
    Rule("ModelSamplingFlux", "set_flux_shift", "model max_shift base_shift width height"),
    # operations on latents
    _operation("sharpen_latent"),
    _operation("tonemap_latent"),
    Made("LatentApplyOperationCFG", ("sharpen_guidance", "tonemap_guidance"), _operation_on_guidance,
         says="the operation's own node, sharpen_guidance or tonemap_guidance"),
    Made("LatentApplyOperation", ("sharpen_latent", "tonemap_latent"), _apply_operation, says="the operation's own node"),
)  # fmt: skip
"""By ComfyUI type."""
