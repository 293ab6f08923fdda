"""IP-Adapters, image encoders and T2I-Adapters."""
# mypy: ignore-errors

import re

from diffusers import T2IAdapter
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


def see_pictures(denoise, pipe, pictures):
    """Have a denoiser's UNet take after pictures, each for a part of sampling."""
    images = [picture["image"] for picture in pictures]
    seen = pipe.prepare_ip_adapter_image_embeds(images, None, pipe.device, 1, True)
    masks = [picture.get("mask") for picture in pictures]
    plain, predict = denoise.conditions, denoise.predict

    def unpictured(side):
        if isinstance(side, list):
            return [unpictured(entry) for entry in side]
        return {**side, "row": 0}

    def acts(picture, sigma):
        low = denoise.levels.percent_to_sigma(picture.get("end", 1.0))
        return (
            low <= sigma <= denoise.levels.percent_to_sigma(picture.get("start", 0.0))
        )

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
        pipe.set_ip_adapter_scale(
            [item["strength"] if acts(item, sigma) else 0.0 for item in pictures]
        )
        return predict(x, sigma, prompts)

    denoise.negative = unpictured(denoise.negative)
    denoise.conditions, denoise.predict = conditions, predict_with_pictures


def load_image_encoder(path, **config):
    """A CLIP image encoder from a single file."""
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    encoder.load_state_dict(load_file(path), strict=False)
    return encoder.eval()


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
