"""What Stable Diffusion 1.x and 2.x are known by (Rombach et al. 2022, arXiv:2112.10752); without torch."""

from __future__ import annotations

import re

from graphflow.families.latent_diffusion.family import FIRST_ENCODER, LatentDiffusionFamily
from graphflow.families.stable_diffusion.stand_ins import STAND_INS
from graphflow.modelfiles.family import LatentFormat, Variant
from graphflow.modelfiles.scripts import ScriptTraits

FAMILY = LatentDiffusionFamily(
    name="sd",
    variants=(
        Variant(
            name="sd1",
            architectures=(("stable-diffusion-v1", ""),),
            words=("sd_v1", "stable-diffusion-v1", "sd_1.5"),
            gguf="sd1",
        ),
        Variant(
            name="sd2",
            architectures=(("stable-diffusion-v2-768", "v_prediction"), ("stable-diffusion-v2", "epsilon")),
            words=("sd_v2", "stable-diffusion-v2"),
            dropped_layers=1,
            gguf="sd1",
        ),
    ),
    # The colours are a least-squares fit by K. Turner (discuss.huggingface.co, "Decoding latents to RGB without
    # upscaling", 2022); the tiny autoencoder is github.com/madebyollin/taesd (MIT).
    latent=LatentFormat(
        channels=4,
        scale=0.18215,
        rgb=(
            (0.3444, 0.1385, 0.0670),
            (0.1247, 0.4027, 0.1494),
            (-0.3192, 0.2513, 0.2103),
            (-0.1307, -0.1874, -0.7445),
        ),
        rgb_for=(768, 1024),
        blank=(0.8223, -0.6876, 0.6364, 0.1380),
        tiny="taesd",
    ),
    roles=(FIRST_ENCODER,),
    tasks={
        "text2img": "StableDiffusionPipeline",
        "img2img": "StableDiffusionImg2ImgPipeline",
        "inpaint": "StableDiffusionInpaintPipeline",
        "control_text2img": "StableDiffusionControlNetPipeline",
        "control_img2img": "StableDiffusionControlNetImg2ImgPipeline",
        "adapter_text2img": "StableDiffusionAdapterPipeline",
    },
    scripts=ScriptTraits(
        safety_checker=True,
        masks_latents=True,
        without_tensors=frozenset({"adapter_text2img"}),
        without_pictures=frozenset({"adapter_text2img"}),
    ),
    comfyui_loader={1: "stable_diffusion"},
    made_by=re.compile("StableDiffusion(?!XL|3)|LatentConsistency|AnimateDiff"),
    components_in="graphflow.families.stable_diffusion.components",
    stand_ins=STAND_INS,
    lone=True,
)
