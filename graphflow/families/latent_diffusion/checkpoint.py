"""UNet, VAE and text encoders in one file, together or alone: where each stands, and its config."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion import upscaler
from graphflow.families.latent_diffusion.structure import is_ldm
from graphflow.families.latent_diffusion.text_config import (
    Found,
    find_image_encoder,
    find_text_encoders,
    infer_image_encoder,
    infer_text_encoder,
)
from graphflow.families.latent_diffusion.unet_config import infer_unet
from graphflow.families.latent_diffusion.vae_config import infer_vae, is_tiny_vae, is_vae
from graphflow.modelfiles.description import Config, Guess, Kind
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.families import family_of_variant
from graphflow.modelfiles.family import Match
from graphflow.modelfiles.header import read_floats
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of
from graphflow.modelfiles.tokenizer_config import tokenizer_spec

_UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
"""What the names of an autoencoder's tensors may begin with."""

_ENCODERS: Mapping[str, tuple[str, str]] = {
    "cond_stage_model.transformer.": ("text_encoder", "sd1"),
    "cond_stage_model.model.": ("text_encoder", "sd2"),
    "conditioner.embedders.0.transformer.": ("text_encoder", "sdxl"),
    "conditioner.embedders.1.model.": ("text_encoder_2", "sdxl"),
    "conditioner.embedders.0.model.": ("text_encoder_2", "sdxl_refiner"),
    "text_encoders.clip_l.transformer.": ("text_encoder", ""),
    "text_encoders.clip_g.transformer.": ("text_encoder_2", ""),
    "text_encoder.": ("text_encoder", ""),
    "text_encoder_2.": ("text_encoder_2", ""),
}
"""Prefix of a text encoder in a checkpoint to its part and the variant that it speaks for."""

_DEEP = ".31."
"""What names of OpenCLIP bigG's last layer have: no other text encoder of its kind is as deep."""
_LAST_NORM = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_MOVED = 0.09
"""Deviation of that norm's bias above which the model was trained on to predict v (a rule of ComfyUI's)."""
_STANDARD_CROSS = frozenset({768, 1024, 1280, 2048})


SCHEDULER: Config = {
    "_class_name": "EulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""The noise schedule of SD 1.x, 2.x and SDXL."""


def recognise_checkpoint(shapes: Shapes, stated: Guess | None) -> Match | None:
    """Recognise UNet, VAE and text encoders, alone or together; the variant is empty where only parts are known.

    Args:
        shapes: All tensors of the file.
        stated: The variant that a parameter, sidecar or metadata names.
    """
    named = variant_of_file(shapes, stated)
    unet = next((prefix for prefix in _UNET_PREFIXES if _is_unet(shapes, prefix)), None)
    if unet is not None:
        variant = str(named.value) if named is not None else _variant_of_unet(shapes, unet)
        return Match(kind="diffusion_model", variant=variant)
    parts = any(is_vae(_few(shapes, prefix)) for prefix in VAE_PREFIXES) or bool(_encoders(shapes))
    if parts or _is_lone_part(shapes):
        return Match(kind="checkpoint", variant=str(named.value) if named is not None and parts else "")
    return None


def fill_checkpoint(draft: Draft, kind: Kind | None, transformer: tuple[Inferred, str] | None = None) -> None:
    """Describe UNet, VAE and text encoders, alone or together.

    Args:
        draft: The description while it is made.
        kind: What the file is wanted as.
        transformer: A transformer of another family that stands in the UNet's place, and the prefix of its tensors.

    Raises:
        ModelFormatError: The tensors do not form such parts.
    """
    seeing = find_image_encoder(draft.shapes)
    if kind == "image_encoder" and seeing is not None:  # a whole CLIP or a checkpoint has further parts, too
        _image_encoder(draft, seeing, kind)
        return
    encoders = _encoders(draft.shapes)
    if named := variant_of_file(draft.shapes, draft.answers.variant()):
        draft.answers.guesses.append(named)
        draft.variant = str(named.value)
    unets = () if transformer is not None else _UNET_PREFIXES
    unet = next((prefix for prefix in unets if _is_unet(draft.shapes, prefix)), None)
    vae = next((prefix for prefix in VAE_PREFIXES if is_vae(_few(draft.shapes, prefix))), None)
    alone = unet is None and transformer is None and vae is None
    for found in encoders:
        _text_encoder(draft, found, alone=alone)
    if unet is not None:
        _unet(draft, unet)
    elif transformer is not None:
        inferred, prefix = transformer
        draft.variant = inferred.variant
        draft.add("transformer", inferred, prefix, "ldm")
    if vae is not None:
        variant = draft.variant or _vae_variant(draft)
        below = draft.under(vae)
        names_ldm = any(key.startswith(("decoder.up.", "decoder.mid.block_")) for key in below)
        draft.add(
            "vae",
            infer_vae(below, draft.where, variant=variant, task=draft.task),
            vae,
            "ldm" if names_ldm else "diffusers",
        )
    if not draft.parts:
        _lone_part(draft, kind)
        return
    if seeing is not None and not alone:
        inferred = infer_image_encoder(draft.under(seeing.prefix), draft.where)
        draft.add("image_encoder", inferred, seeing.prefix, seeing.keys)
    draft.kind = _kind(draft)
    draft.family = family_of_variant(draft.variant) if draft.kind in ("checkpoint", "diffusion_model") else None
    if draft.kind == "text_encoder":
        draft.variant = str(draft.details.get("encoder", ""))
    if draft.kind == "vae":
        draft.variant = ""
    if "unet" in draft.parts:
        draft.scheduler = _scheduler(draft)


def variant_of_file(shapes: Shapes, stated: Guess | None) -> Guess | None:
    """Return the variant by what is said before the UNet is looked at: a parameter, the file's parts, then what the file or its sidecar says of itself."""
    if stated is not None and stated.source == "parameter":
        return stated
    encoders = _encoders(shapes)
    hint = next((_ENCODERS[found.prefix][1] for found in encoders if _ENCODERS.get(found.prefix, ("", ""))[1]), "")
    if any(found.prefix == "conditioner.embedders.1.model." for found in encoders):
        hint = "sdxl"
    if hint:
        return Guess("variant", hint, "shapes", True, "names of the text encoder")
    cross = {shape[1] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight") and len(shape) == 2}
    return stated if stated is not None and not cross & _STANDARD_CROSS else None


def prediction_of(variant: str, task: str) -> str:
    """Return what a variant's models predict where the file does not say.

    SD 1.x was published with epsilon only; SD 2.x with both (v for 768 pixels, epsilon for 512, inpainting and depth).
    """
    if variant == "sd2" and task != "estimate":
        return "epsilon" if task in ("inpaint", "depth") else "v_prediction"
    return {"upscale": "v_prediction", "estimate": "sample"}.get(task, "epsilon")


def _encoders(shapes: Shapes) -> list[Found]:
    return [found for found in find_text_encoders(shapes) if not found.prefix.startswith("model_ema.")]


def _variant_of_unet(shapes: Shapes, prefix: str) -> str:
    """The variant by the shapes of a UNet; empty where they form none, which is said when it is described."""
    below = {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    try:
        return infer_unet(below, "").variant
    except ModelFormatError:
        return ""


def _kind(draft: Draft) -> Kind:
    names = set(draft.parts)
    if len(names) == 1 or names <= {"text_encoder", "text_encoder_2"}:
        name = next(iter(names))
        return "diffusion_model" if name in ("unet", "transformer") else "vae" if name == "vae" else "text_encoder"
    return "checkpoint"


def _is_lone_part(shapes: Shapes) -> bool:
    return find_image_encoder(shapes) is not None or is_tiny_vae(shapes)


def _lone_part(draft: Draft, kind: Kind | None) -> None:
    if (seeing := find_image_encoder(draft.shapes)) is not None:
        _image_encoder(draft, seeing, kind)
        return
    draft.add("vae", Inferred("AutoencoderTiny"), "")
    draft.kind, draft.variant = "vae", "tiny"


def _image_encoder(draft: Draft, found: Found, kind: Kind | None) -> None:
    inferred = infer_image_encoder(draft.under(found.prefix), draft.where)
    draft.add("image_encoder", inferred, found.prefix, found.keys)
    draft.kind = "safety_checker" if kind == "safety_checker" else "image_encoder"
    draft.variant = inferred.variant


def _unet(draft: Draft, prefix: str) -> None:
    below = draft.under(prefix)
    pooled = 0
    if "text_encoder_2" in draft.parts:
        width = draft.parts["text_encoder_2"].config.get("projection_dim")
        pooled = width if isinstance(width, int) else 0
    inferred = infer_unet(below, draft.where, variant=draft.variant, pooled=pooled)
    if not draft.variant:
        cross = inferred.facts.get("cross_attention_dim")
        draft.answers.guesses.insert(0, Guess("variant", inferred.variant, "shapes", cross in _STANDARD_CROSS))
        draft.variant = inferred.variant
    draft.task = inferred.task
    draft.add("unet", inferred, prefix, "ldm" if is_ldm(below) else "diffusers")


def _text_encoder(draft: Draft, found: Found, *, alone: bool) -> None:
    name, speaks_for = _ENCODERS.get(found.prefix, ("text_encoder", ""))
    if found.prefix not in _ENCODERS and not alone:
        draft.answers.warnings.append(f"a text encoder under {found.prefix!r} is not used: the place is not known")
        return
    below = draft.under(found.prefix)
    width = next((shape[-1] for key, shape in below.items() if key.endswith("token_embedding.weight") and shape), 0)
    second = (
        name == "text_encoder_2" or width == 1280 or (alone and (width == 1280 or any(_DEEP in key for key in below)))
    )
    whole = alone and width == 1024 and any(".23.mlp." in key for key in below)
    drop_last = speaks_for == "sd2" or whole
    inferred = infer_text_encoder(below, found.keys, draft.where, with_projection=second, drop_last=drop_last)
    part = draft.add(name, inferred, found.prefix, found.keys)
    if drop_last:
        draft.details["layers_left_out"] = 1
    if alone:
        draft.details["encoder"] = inferred.variant
    # SD 1.x and SDXL's first encoder pad with the end token, the OpenCLIP ones with "!".
    pads_with_end = found.keys == "diffusers" and name == "text_encoder" and inferred.variant in ("", "clip_l")
    draft.tokenizers.append(tokenizer_spec(part, draft.answers, pads_with_end=pads_with_end))


def _scheduler(draft: Draft) -> Config:
    defaults: Config = {
        **SCHEDULER,
        **(upscaler.SCHEDULE if draft.task == "upscale" else {}),
        "prediction_type": prediction_of(draft.variant, draft.task),
        "rescale_betas_zero_snr": False,
    }
    if (found := _unclip_prediction(draft)) is not None:
        defaults["prediction_type"] = found
    elif draft.variant == "sd2" and draft.task != "estimate" and draft.answers.variant() is None:
        draft.answers.warnings.append(
            "SD 2.x files predict either v (768) or epsilon (512, 'base') and do not say which; v is assumed"
        )
    given = {key for source in draft.answers.given for key in source.values.get("scheduler", {})}
    given = {key for key in given if not key.startswith("_") or key == "_class_name"}
    return {
        key: draft.answers.value("scheduler", key, defaults.get(key), certain=key in SCHEDULER)
        for key in [*defaults, *sorted(given - set(defaults))]
    }


def _unclip_prediction(draft: Draft) -> str | None:
    """What an unCLIP model predicts; the two published ones differ in how far training moved the last norm."""
    unet = draft.parts["unet"]
    if draft.task == "estimate" or unet.config.get("class_embed_type") != "projection":
        return None
    for header in draft.weights.headers:
        name = unet.prefix + _LAST_NORM
        if len(header.tensors[name].shape if name in header.tensors else ()) == 1:
            values = read_floats(header, name, most=2048)
            return "v_prediction" if statistics.pstdev(values) > _MOVED else "epsilon"
    return None


def _vae_variant(draft: Draft) -> str:
    """A VAE alone does not tell SD from SDXL; published files of SDXL say so in their name."""
    named = draft.answers.variant()
    if named:
        return str(named.value)
    return "sdxl" if "xl" in draft.weights.path.stem.lower() and _latent(draft.shapes) == 4 else ""


def _latent(shapes: Shapes) -> int:
    names = [prefix + "decoder.conv_in.weight" for prefix in VAE_PREFIXES]
    first = shape_of(shapes, *names, dims=4)
    return first[1] if first else 0


def _is_unet(shapes: Shapes, prefix: str) -> bool:
    if prefix + "input_blocks.0.0.weight" in shapes:
        return True
    return prefix + "conv_in.weight" in shapes and prefix + "up_blocks.0.resnets.0.conv1.weight" in shapes


def _few(shapes: Shapes, prefix: str) -> Shapes:
    """The two tensors by which a VAE is known."""
    names = ("decoder.conv_in.weight", "decoder.conv_out.weight")
    return {name: shapes[prefix + name] for name in names if prefix + name in shapes}
