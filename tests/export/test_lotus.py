"""Lotus estimates depth from a picture's latent in one evaluation, in workflows and in scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from graphflow import Session, Settings, Workflow, nodes
from graphflow.converters.diffusers_script import export
from graphflow.settings import RootSetting
from tests.families.controls import seeded
from tests.fresh import Fresh
from tests.models.tiny import TEXT
from tests.models.tiny import _write_tokenizer as write_tokenizer

LEVELS = ("CrossAttnDownBlock2D", "DownBlock2D")


def write_models(folder: Path) -> tuple[UNet2DConditionModel, CLIPTextModel, AutoencoderKL]:
    """Write a tiny Lotus, an autoencoder and a text encoder, and return them."""
    unet = UNet2DConditionModel(
        block_out_channels=(32, 32),
        down_block_types=LEVELS,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=2,
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=4,
        norm_num_groups=8,
    )
    text = CLIPTextModel(CLIPTextConfig(**TEXT))
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    seeded(unet, 3).save_pretrained(folder / "diffusion_models" / "lotus")
    seeded(vae, 4).save_pretrained(folder / "vae" / "vae")
    seeded(text, 5).save_pretrained(folder / "text_encoders" / "lotus" / "text_encoder")
    whole = folder / "text_encoders" / "lotus"
    write_tokenizer(whole / "tokenizer", pad="!")
    known = {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    index = {"_class_name": "StableDiffusionPipeline", **known}
    (whole / "model_index.json").write_text(json.dumps(index), "utf-8")
    return unet, text, vae


def test_a_picture_is_estimated_as_its_authors_do(fresh: Fresh, tmp_path: Path) -> None:
    unet, text, vae = write_models(tmp_path / "models")
    PIL.Image.radial_gradient("L").resize((64, 48)).convert("RGB").save(tmp_path / "seen.png")
    g = Workflow()
    seen = g.add(nodes.load_image, file="seen.png")
    loaded = g.add(nodes.load_vae, model="vae")
    model = g.add(nodes.load_diffusion_model, model="lotus")
    told = g.add(nodes.lotus_conditioning, text_encoder="lotus")
    sigmas = g.add(
        nodes.set_first_sigma, sigmas=g.add(nodes.make_sigmas, model=model, steps=1, schedule="normal"), sigma=999.0
    )
    made = g.add(
        nodes.sample_custom,
        guider=g.add(nodes.basic_guider, model=model, conditioning=told),
        sampler=g.add(nodes.select_sampler, sampler="euler"),
        sigmas=sigmas,
        noise=g.add(nodes.no_noise),
        latent=g.add(nodes.encode_image, vae=loaded, images=seen),
        id="made",
    )
    g.add(nodes.save_image, images=g.add(nodes.vae_decode, vae=loaded, latent=made.latent))
    settings = Settings(
        models=(RootSetting(path=tmp_path / "models"),),
        cache_dir=tmp_path / "cache",
        device="cpu",
        dtype="float32",
        offline=True,
        safety="off",
    )
    with Session(settings) as session:
        code = export(g.document, session=session, folder=tmp_path).code
        result = session.run(g.document, folder=tmp_path, out=tmp_path / "ours")
    ((path,),) = (result.paths,)
    pixels = torch.from_numpy(np.asarray(PIL.Image.open(tmp_path / "seen.png"), np.float32) / 127.5 - 1)
    task = torch.tensor([[1.0, 0.0]])
    with torch.no_grad():
        latent = vae.encode(pixels.permute(2, 0, 1)[None]).latent_dist.mode() * vae.config.scaling_factor
        nothing = text(torch.tensor([[TEXT["bos_token_id"], TEXT["eos_token_id"]]])).last_hidden_state
        estimated = unet(latent, 999, nothing, class_labels=torch.cat([task.sin(), task.cos()], dim=1)).sample
        picture = vae.decode(estimated / vae.config.scaling_factor).sample.clamp(-1, 1)[0].permute(1, 2, 0)
    wanted = (picture.numpy() + 1) * 127.5
    assert np.ptp(wanted) > 10
    assert np.abs(np.asarray(PIL.Image.open(path), float) - wanted).max() <= 1
    (tmp_path / "script.py").write_text(code, "utf-8")
    done = fresh.run(tmp_path / "script.py", "--out", tmp_path / "theirs")
    assert not done.code, done.err[-2000:]
    (theirs,) = (tmp_path / "theirs").glob("*.png")
    assert np.abs(np.asarray(PIL.Image.open(theirs), float) - wanted).max() <= 1
