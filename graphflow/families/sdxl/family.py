"""What SDXL is known by (Podell et al. 2023, arXiv:2307.01952); without torch."""

from __future__ import annotations

import re
from dataclasses import replace

from graphflow.families.latent_diffusion.family import FIRST_ENCODER, SECOND_ENCODER, LatentDiffusionFamily
from graphflow.families.sdxl.sizes import TRAINED_SIZES
from graphflow.families.sdxl.stand_ins import STAND_INS
from graphflow.modelfiles.family import LatentFormat, Variant
from graphflow.modelfiles.scripts import ScriptTraits

# The colours are a least-squares fit published in InvokeAI (Apache-2.0).
_LATENT = LatentFormat(
    channels=4,
    scale=0.13025,
    rgb=(
        (0.3816, 0.4930, 0.5320),
        (-0.3753, 0.1631, 0.1739),
        (0.1770, 0.3588, -0.2048),
        (-0.4350, -0.2644, -0.4289),
    ),
    rgb_for=(1280, 2048),
    blank=(0.8223, -0.6876, 0.6364, 0.1380),
    tiny="taesdxl",
    scaled_reference=True,
)

# Playground v2.5 (Li et al. 2024, arXiv:2402.17245) divides by the deviation and multiplies by that of EDM's data, 0.5.
_PLAYGROUND = LatentFormat(
    channels=4,
    mean=(-1.6574, 1.886, -1.383, 2.5155),
    deviation=(2 * 8.4927, 2 * 5.9022, 2 * 6.5498, 2 * 5.2299),
    scaled_reference=True,
)

FAMILY = LatentDiffusionFamily(
    name="sdxl",
    variants=(
        Variant(
            name="sdxl",
            architectures=(("stable-diffusion-xl", ""),),
            words=("sdxl", "stable-diffusion-xl"),
            gguf="sdxl",
        ),
        Variant(
            name="sdxl_refiner", architectures=(("stable-diffusion-xl-v1-refiner", ""),), refines=True, gguf="sdxl"
        ),
    ),
    latent=replace(_LATENT, others={"edm_playground_v2.5": _PLAYGROUND}),
    roles=(FIRST_ENCODER, SECOND_ENCODER),
    tasks={
        "text2img": "StableDiffusionXLPipeline",
        "img2img": "StableDiffusionXLImg2ImgPipeline",
        "inpaint": "StableDiffusionXLInpaintPipeline",
        "control_text2img": "StableDiffusionXLControlNetPipeline",
        "control_img2img": "StableDiffusionXLControlNetImg2ImgPipeline",
        "union_text2img": "StableDiffusionXLControlNetUnionPipeline",
        "union_img2img": "StableDiffusionXLControlNetUnionImg2ImgPipeline",
        "adapter_text2img": "StableDiffusionXLAdapterPipeline",
    },
    scripts=ScriptTraits(suffix="sdxl", pooled=True, staged=True),
    comfyui_loader={2: "sdxl"},
    made_by=re.compile("StableDiffusionXL"),
    components_in="graphflow.families.sdxl.components",
    stand_ins=STAND_INS,
    trained_sizes={"sdxl": TRAINED_SIZES},
)
