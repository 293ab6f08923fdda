"""The families that are known by name only, by the tensors, classes and words that tell them."""

from __future__ import annotations

from graphflow.families.recognised.base import RecognisedFamily

AURAFLOW = RecognisedFamily(
    name="auraflow",
    made_by="AuraFlow",
    transformer="AuraFlowTransformer2DModel",
    marks=("double_layers.0.attn.w2q.weight",),
)
COGVIDEOX = RecognisedFamily(name="cogvideox", made_by="CogVideoX")
HIDREAM = RecognisedFamily(
    name="hidream",
    made_by="HiDream",
    transformer="HiDreamImageTransformer2DModel",
    marks=("double_stream_blocks.0.block.adaLN_modulation.1.bias",),
    comfyui_loader={4: "hidream"},
)
HUNYUAN_VIDEO = RecognisedFamily(
    name="hunyuan-video",
    made_by="HunyuanVideo",
    transformer="HunyuanVideoTransformer3DModel",
    marks=("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",),
    half="bfloat16",
)
KANDINSKY = RecognisedFamily(name="kandinsky", made_by="Kandinsky")
LTX_VIDEO = RecognisedFamily(
    name="ltx-video",
    made_by="LTX",
    transformer="LTXVideoTransformer3DModel",
    marks=("patchify_proj.weight",),
    half="bfloat16",
)
MOCHI = RecognisedFamily(
    name="mochi", made_by="Mochi", transformer="MochiTransformer3DModel", marks=("blocks.0.attn.qkv_x.weight",)
)
PIXART = RecognisedFamily(name="pixart", made_by="PixArt")
SANA = RecognisedFamily(
    name="sana",
    made_by="Sana",
    transformer="SanaTransformer2DModel",
    marks=("blocks.0.cross_attn.q_linear.weight",),
    half="bfloat16",
)
WAN = RecognisedFamily(
    name="wan",
    made_by="Wan",
    transformer="WanTransformer3DModel",
    marks=("head.modulation",),
    half="bfloat16",
)
