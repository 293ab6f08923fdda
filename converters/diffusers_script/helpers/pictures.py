"""IP-Adapters, image encoders and T2I-Adapters."""
# mypy: ignore-errors

import re

import torch
from diffusers import T2IAdapter
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from graphflow.pixels.resampling import crop_to_shape, resize_bilinear
from graphflow.vision.clip_pixels import clip_pixels, seen_pixels

from .flow import spread


def see_pictures(denoise, pipe, pictures):
    """Have a denoiser's UNet take after pictures, each for a part of sampling."""
    images = [picture["image"] for picture in pictures]
    seen = pipe.prepare_ip_adapter_image_embeds(images, None, pipe.device, 1, True)
    masks = [picture.get("mask") for picture in pictures]
    plain, predict = denoise.conditions, denoise.predict

    def conditions(x, prompts):
        found = plain(x, prompts)
        count = len(x) // len(prompts)
        rows = [prompt.get("row", 1) for prompt in prompts for _ in range(count)]
        added = found.get("added_cond_kwargs") or {}
        added = {**added, "image_embeds": [item[rows] for item in seen]}
        if any(mask is not None for mask in masks):
            found["cross_attention_kwargs"] = {"ip_adapter_masks": masks}
        return {**found, "added_cond_kwargs": added}

    def predict_with_pictures(x, sigma, prompts):
        pipe.set_ip_adapter_scale(strengths(denoise.levels, pictures, sigma))
        return predict(x, sigma, prompts)

    denoise.negative = unpictured(denoise.negative)
    denoise.conditions, denoise.predict = conditions, predict_with_pictures


def see_pictures_in_flow(denoise, pipe, pictures):
    """The same of a transformer on a flow, to which no picture is a black one."""
    seen = [[], []]
    for images in (picture["image"] for picture in pictures):
        nothing = clip_pixels(torch.zeros_like(images), images.shape[-1])
        for row, shown in zip(seen, (nothing, images), strict=True):
            row.append(pipe.encode_image(shown.to(pipe.device), pipe.device, 1)[None])
    read, predict = denoise.read, denoise.predict

    def read_with_pictures(prompt, x):
        told = {name: prompt[name] for name in prompt if name != "row"}
        told, shown = read(told, x), seen[prompt.get("row", 1)]
        attention = {"ip_adapter_image_embeds": [spread(item, x) for item in shown]}
        return {**told, "joint_attention_kwargs": attention}

    def predict_with_pictures(x, sigma, prompts):
        for processor in denoise.network.attn_processors.values():
            processor.scale = strengths(denoise.levels, pictures, sigma)
        return predict(x, sigma, prompts)

    denoise.negative = unpictured(denoise.negative)
    denoise.read, denoise.predict = read_with_pictures, predict_with_pictures


def unpictured(side):
    """What should not be, to which no pictures are shown."""
    if isinstance(side, list):
        return [unpictured(entry) for entry in side]
    return side and {**side, "row": 0}


def strengths(levels, pictures, sigma):
    """How strongly pictures act at a noise level."""
    found = []
    for picture in pictures:
        low = levels.percent_to_sigma(picture.get("end", 1.0))
        high = levels.percent_to_sigma(picture.get("start", 0.0))
        found.append(picture["strength"] if low <= sigma <= high else 0.0)
    return found


def load_image_encoder(path, **config):
    """A CLIP image encoder from a single file."""
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    missing = encoder.load_state_dict(load_file(path), strict=False).missing_keys
    if missing:
        raise SystemExit(f"{path} lacks {', '.join(missing)}")
    return encoder.eval()


def check_ip_adapters(network, *paths):
    """Stop where a network has not all of its IP-Adapters: layers too many are left out."""
    tensors = [tensor for path in paths for tensor in load_file(path).values()]
    modules = [network.encoder_hid_proj, *network.attn_processors.values()]
    modules = [module for module in modules if isinstance(module, torch.nn.Module)]
    weights = torch.nn.ModuleList(modules).parameters()
    found, wanted = (sum(item.numel() for item in each) for each in (weights, tensors))
    if found != wanted:
        names = ", ".join(path.name for path in paths)
        raise SystemExit(f"only {found} of {wanted} weights of {names} fit the network")


def load_t2i_adapter(path, **config):
    """A T2I-Adapter from a single file, with its authors' names or those of Diffusers."""
    adapter, layers = T2IAdapter(**config), config["num_res_blocks"]

    def renamed(name):
        name = name.removeprefix("adapter.")
        name = re.sub(r"(body\.\d+)\.body\.(\d+)", r"\1.resnets.\2", name)
        if match := re.fullmatch(r"body\.(\d+)\.(block\d\..+)", name):
            level, layer = divmod(int(match[1]), layers)
            name = f"body.{level}.resnets.{layer}.{match[2]}"
        elif (match := re.fullmatch(r"body\.(\d+)\.(in_conv\..+)", name)) and original:
            name = f"body.{int(match[1]) // layers}.{match[2]}"
        return f"adapter.{name}"

    tensors = load_file(path)
    original = "body.0.block1.weight" in tensors
    named = {renamed(name): tensors[name] for name in tensors}
    adapter.load_state_dict({name: named[name] for name in adapter.state_dict()})
    return adapter.eval()


def seen_picture(encoder, image):
    """What an image encoder sees in the middle of a picture."""
    seen = encoder(seen_pixels(encoder, image[:1], "center")).image_embeds
    return {"embeds": seen.float()[:, None]}


def first_frame(image, size, noise=0.0):
    """A picture as the first frame of a video, with noise from a fixed seed."""
    image = resize_bilinear(crop_to_shape(image[:1, :3], size), size)
    if noise:
        generator = torch.Generator().manual_seed(0)
        image = image + torch.randn(image.shape, generator=generator) * noise
    return image
