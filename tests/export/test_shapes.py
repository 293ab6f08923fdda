"""Standard shapes of graphs become the matching pipeline calls, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import workflows
from graphflow.converters.diffusers_script import export, to_script
from graphflow.converters.diffusers_script.ranges import active_steps, pipeline_range
from graphflow.document.document import read
from tests.export.cases import CASES
from tests.export.comparing import make_session
from tests.export.file_cases import SD_CASES, SDXL_CASES
from tests.export.parts import build
from tests.export.pieces import piece

CALLS: dict[str, tuple[str, ...]] = {
    "text": ("StableDiffusionPipeline",),
    "euler": ("StableDiffusionPipeline", "ExactEulerScheduler"),
    "beta_schedule": ("ExactMultistepScheduler", "schedule = beta_sigmas"),
    "ddim_uniform": ("ExactEulerScheduler", "schedule = ddim_uniform_sigmas"),
    "ddim_uniform_img2img": ("StableDiffusionImg2ImgPipeline", "schedule = of_length(ddim_uniform_sigmas)"),
    "heun": ("ExactHeunScheduler",),
    "brownian": ("ExactSdeScheduler",),
    "long_prompt": ("= same_length(", "prompt_embeds=prompt_embeds", "negative_prompt_embeds=negative_prompt_embeds"),
    "mixed": ("= same_length(",),
    "embedding": ("= same_length(",),
    "img2img": ("StableDiffusionImg2ImgPipeline",),
    "inpaint": ("StableDiffusionImg2ImgPipeline", "InpaintMultistepScheduler"),
    "control": ("StableDiffusionControlNetPipeline",),
    "control_for_a_while": ("StableDiffusionControlNetPipeline", "control_guidance_start", "control_guidance_end"),
    "control_img2img": ("StableDiffusionControlNetImg2ImgPipeline", "control_image="),
    "t2i": ("StableDiffusionAdapterPipeline", "T2IAdapter.from_pretrained"),
    "ip_adapter": ("load_ip_adapter", "set_ip_adapter_scale", "ip_adapter_image="),
    "ip_adapter_for_a_while": ("IPAdapterScaleCutoffCallback",),
    "ip_adapter_masked": ("ip_adapter_masks",),
    "nine_channels": ("StableDiffusionInpaintPipeline", "masked_image_latents="),
    "own_files": ("UNet2DConditionModel.from_pretrained", "unet=unet"),
    "other_vae": ("vae=vae",),
    "latent_upscale": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "shared": ("StableDiffusionPipeline",),
}
XL_CALLS: dict[str, tuple[str, ...]] = {
    "inpaint": ("StableDiffusionXLImg2ImgPipeline",),
    "long_prompt": ("= same_length(", "pooled_prompt_embeds=", "negative_pooled_prompt_embeds="),
    "sizes": ("original_size=(1024, 512)", "crops_coords_top_left=(0, 8)", "negative_original_size="),
    "union": ("StableDiffusionXLControlNetUnionPipeline", "control_mode=1"),
    "refiner": ("denoising_end=", "denoising_start=", "aesthetic_score=7.0", "negative_aesthetic_score=2.0"),
    "refined_again": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "refiner("),
    "ip_adapter_sdxl": ("load_ip_adapter",),
}
LOOPS = [
    "highest_noise_on_a_picture",
    "control_on_one_side",
    "t2i_for_a_while",
    "ip_adapter_loop",
    "two_stages",
    "regional",
]
PACKAGED = ["txt2img", "img2img", "hires_fix", "hires_fix_latent", "inpaint", "outpaint", "controlnet", "lora_stack"]


def script(name: str, models: Path, folder: Path, model: str) -> str:
    session = make_session(folder, models=({"path": models},))
    case = {**CASES, **SD_CASES, **SDXL_CASES}[name]
    return export(build(case, model), session=session).code


@pytest.mark.parametrize("name", CALLS)
def test_a_shape_is_a_pipeline_call(name: str, models: Path, tmp_path: Path) -> None:
    code = script(name, models, tmp_path, "tiny-sd")
    assert "denoise = " not in code
    assert [text for text in CALLS[name] if text not in code] == []


@pytest.mark.parametrize("name", XL_CALLS)
def test_a_shape_of_sdxl_is_a_pipeline_call(name: str, models: Path, tmp_path: Path) -> None:
    code = script(name, models, tmp_path, "tiny-sdxl")
    assert "denoise = " not in code
    assert [text for text in XL_CALLS[name] if text not in code] == []


@pytest.mark.parametrize("name", LOOPS)
def test_what_no_pipeline_draws_is_a_loop(name: str, models: Path, tmp_path: Path) -> None:
    assert "denoise = " in script(name, models, tmp_path, "tiny-sd")


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_workflow_is_pipeline_calls(name: str) -> None:
    code = to_script(workflows.path(name))
    assert "denoise = " not in code
    wanted = 2 if name.startswith("hires") else 1
    assert len(re.findall(r"Pipeline\.from_(?:pretrained|single_file|pipe)\(", code)) == wanted


def test_a_list_of_prompts_is_one_call_in_a_loop(tmp_path: Path) -> None:
    code = to_script(workflows.path("prompt_list"))
    assert code.count("= pipe(") == 1 and "for prompt in PROMPTS:" in code
    document = read(workflows.path("prompt_list"))
    document.nodes["negative"].params["text"] = "(blurred:1.2)"
    del document.inputs["negative_prompt"]
    code = to_script(document)
    compile(code, "script", "exec")
    assert code.count("= pipe(") == 3


def test_the_style_pipeline_says_what_differs_in_inpainting(models: Path, tmp_path: Path) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    made = export(build(CASES["inpaint"], "tiny-sd"), session=session, style="pipeline")
    assert "StableDiffusionInpaintPipeline" in made.code and "mask_image=" in made.code
    assert any("black or white" in note for note in made.report)
    assert "black or white" in made.code


@given(
    st.integers(1, 60),
    st.floats(0, 1, allow_nan=False),
    st.floats(0, 1, allow_nan=False),
    st.sampled_from([1.0, 0.7, 0.3]),
)
def test_a_pipeline_told_a_range_takes_the_same_steps(steps: int, one: float, other: float, strength: float) -> None:
    start, end = sorted((round(one, 3), round(other, 3)))
    first, behind, count = active_steps(
        {}, sampler="dpmpp_2m", schedule="karras", steps=steps, strength=strength, start=start, end=end
    )
    told = [eval(shown) for shown in pipeline_range(first, behind, count, start, end)]
    # as in the ControlNet pipelines of Diffusers
    kept = [not (step / count < told[0] or (step + 1) / count > told[1]) for step in range(count)]
    assert kept == [first <= step < behind for step in range(count)]


@given(st.integers(2, 40), st.floats(0.02, 0.98))
def test_a_script_counts_the_steps_of_a_share_as_the_engine_does(steps: int, share: float) -> None:
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True
    )
    share = round(share, 2)
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    _, behind, count = active_steps(
        config, sampler="dpmpp_2m", schedule="karras", steps=steps, strength=1.0, start=0.0, end=share
    )
    with torch.inference_mode():
        assert piece("share_of_steps")(scheduler, steps, steps, share) == behind / count
