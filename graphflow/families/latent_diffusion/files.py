"""Recognising and describing the weight files of latent diffusion models and of what steers them."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.adapter_files import variant_of_width
from graphflow.families.latent_diffusion.checkpoint import fill_checkpoint, recognise_checkpoint
from graphflow.families.latent_diffusion.gligen_config import GLIGEN_MARK, infer_gligen, text_width
from graphflow.families.latent_diffusion.hypernetwork_config import (
    infer_hypernetwork,
    is_hypernetwork,
    widths_of,
)
from graphflow.families.latent_diffusion.ip_adapter_config import infer_ip_adapter
from graphflow.families.latent_diffusion.motion_config import infer_motion, is_motion
from graphflow.families.latent_diffusion.structure import is_ldm
from graphflow.families.latent_diffusion.style_config import STYLE_MARK, infer_style_adapter
from graphflow.families.latent_diffusion.t2i_config import infer_t2i_adapter, is_original
from graphflow.families.latent_diffusion.unet_config import infer_controlnet
from graphflow.modelfiles.control_marks import TRANSFORMER_BLOCKS, control_prefix
from graphflow.modelfiles.description import Config, Guess, Kind
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.families import family_of_variant
from graphflow.modelfiles.family import Match
from graphflow.modelfiles.inferred import Shapes, shape_of

_CONTROL_LORA = "lora_controlnet"
_T2I_MARKS = ("adapter.body.", "body.0.block1.weight", "body.0.in_conv.weight", "body.0.resnets.0.block1.weight")
_IP_MARKS = ("image_proj.", "ip_adapter.")


def recognise_file(shapes: Shapes, stated: Guess | None) -> Match | None:
    """Recognise a file; the variant is empty where it belongs to no single family.

    Args:
        shapes: All tensors of the file.
        stated: The variant that a parameter, sidecar or metadata names.
    """
    prefix = control_prefix(shapes)
    if prefix is not None:
        below = {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
        if any(name.startswith(TRANSFORMER_BLOCKS) for name in below):
            return None
        return Match(kind="controlnet", variant=_variant_of_control(shapes, below))
    if (found := recognise_checkpoint(shapes, stated)) is not None:
        return found
    if any(name.startswith(_T2I_MARKS) for name in shapes):
        return Match(kind="t2i_adapter", variant=_variant_of_t2i(shapes))
    if any(name.startswith(_IP_MARKS) for name in shapes):
        return Match(kind="ip_adapter", variant=variant_of_width(_cross_width(shapes)) or "")
    if is_motion(shapes):
        return Match(kind="motion_module")
    if GLIGEN_MARK in shapes:
        return Match(kind="gligen", variant=variant_of_width(text_width(shapes)) or "")
    if STYLE_MARK in shapes and "proj" in shapes:
        projection = shape_of(shapes, "proj", dims=2)
        return Match(kind="style_model", variant=variant_of_width(projection[1] if projection else 0) or "")
    if is_hypernetwork(shapes):
        known = (variant_of_width(width) for width in reversed(widths_of(shapes)))
        return Match(kind="hypernetwork", variant=next(filter(None, known), ""))
    return None


def describe_file(draft: Draft, match: Match, kind: Kind | None) -> None:
    """Fill in the description of a file that `recognise_file` knows.

    Raises:
        ModelFormatError: The tensors do not form such a model.
    """
    match match.kind:
        case "controlnet":
            _controlnet(draft, match)
        case "t2i_adapter":
            below = _t2i_tensors(draft.shapes)
            inferred = infer_t2i_adapter(below, draft.where)
            draft.kind, draft.variant, draft.family = match.kind, inferred.variant, family_of_variant(inferred.variant)
            draft.add("adapter", inferred, "", "ldm" if is_original(below) else "diffusers")
        case "ip_adapter":
            draft.kind, draft.variant, draft.details = match.kind, match.variant, _ip_details(draft.shapes)
            draft.family = family_of_variant(match.variant)
            draft.add("ip_adapter", infer_ip_adapter(draft.shapes, draft.where, draft.weights.path.stem), "")
        case "motion_module":
            inferred = infer_motion(draft.shapes, draft.where)
            draft.kind, draft.variant, draft.family = match.kind, inferred.variant, family_of_variant(inferred.variant)
            draft.add("adapter", inferred, "")
        case "gligen":
            draft.kind, draft.variant, draft.family = match.kind, match.variant, family_of_variant(match.variant)
            draft.add("gligen", infer_gligen(draft.shapes, draft.where), "")
        case "style_model":
            draft.kind, draft.variant, draft.family = match.kind, match.variant, family_of_variant(match.variant)
            draft.add("style_model", infer_style_adapter(draft.shapes, draft.where), "")
        case "hypernetwork":
            draft.kind, draft.variant, draft.family = match.kind, match.variant, family_of_variant(match.variant)
            draft.add("hypernetwork", infer_hypernetwork(draft.shapes, draft.where), "")
        case _:
            fill_checkpoint(draft, kind)


def _controlnet(draft: Draft, match: Match) -> None:
    prefix = control_prefix(draft.shapes) or ""
    below = draft.under(prefix)
    draft.kind = "controlnet"
    if _CONTROL_LORA in draft.shapes:
        draft.details["control_lora"] = True
        draft.answers.warnings.append("a Control-LoRA: it needs the weights of its base model")
        draft.family = family_of_variant(match.variant)
        draft.layout = "original"
        return
    inferred = infer_controlnet(below, draft.where)
    draft.variant, draft.family = inferred.variant, family_of_variant(inferred.variant)
    if "shuffle" in draft.weights.path.stem.lower():
        # Those for shuffled content add the mean of each channel only; nothing in the file says so.
        inferred.defaults["global_pool_conditions"] = True
    name = "controlnet_difference" if "difference" in draft.shapes or "difference" in below else "controlnet"
    draft.add(name, inferred, prefix, "ldm" if is_ldm(below) else "diffusers")
    draft.details["union"] = inferred.class_name == "ControlNetUnionModel"


def _variant_of_control(shapes: Shapes, below: Shapes) -> str:
    if _CONTROL_LORA in shapes:
        return "sdxl" if "label_emb.0.0.weight" in below else "sd1"
    try:
        return infer_controlnet(below, "").variant
    except ModelFormatError:
        return ""


def _variant_of_t2i(shapes: Shapes) -> str:
    try:
        return infer_t2i_adapter(_t2i_tensors(shapes), "").variant
    except ModelFormatError:
        return ""


def _t2i_tensors(shapes: Shapes) -> Shapes:
    start = "adapter."
    inside = {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
    return inside or shapes


def _cross_width(shapes: Shapes) -> int:
    key = shape_of(shapes, "ip_adapter.1.to_k_ip.weight", dims=2)
    return key[1] if key else 0


def _ip_details(shapes: Shapes) -> Config:
    details: Config = {
        "layers": sum(name.startswith("ip_adapter.") and name.endswith("to_k_ip.weight") for name in shapes)
    }
    if faces := shape_of(shapes, "image_proj.proj.weight", "image_proj.proj_in.weight", dims=2):
        details["image_width"] = faces[1]
    return details
