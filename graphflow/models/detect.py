"""Describing one weight file: what kind of model it is, of which family, and the config of each of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphflow.errors import ModelFormatError
from graphflow.models.adapters import find_adapter, find_lora
from graphflow.models.description import Config, Description, Guess, JsonValue, Kind, Layout, Part, TokenizerSpec
from graphflow.models.families import SCHEDULER, family_of, find_transformer, prediction_of
from graphflow.models.fingerprint import file_fingerprint, folder_fingerprint
from graphflow.models.header import bytes_by_dtype, read_floats
from graphflow.models.roots import PICKLE_EXTENSIONS
from graphflow.models.settle import Settled, collect_given
from graphflow.models.structure import Shapes, is_ldm, shape_of
from graphflow.models.text import Found, find_text_encoders, infer_image_encoder, infer_t5, infer_text_encoder
from graphflow.models.tokenizer import tokenizer_spec
from graphflow.models.unet import Inferred, infer_controlnet, infer_unet
from graphflow.models.vae import infer_vae, is_tiny_vae, is_vae
from graphflow.models.weights import Weights, read_weights

_UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "")
_VAE_PREFIXES = ("first_stage_model.", "vae.", "")
_CONTROL_PREFIXES = ("control_model.", "controlnet.", "")

_CONTROL_MARKS = (
    "input_hint_block.0.weight",
    "controlnet_cond_embedding.conv_in.weight",
    "controlnet_x_embedder.weight",
    "controlnet_blocks.0.weight",
)

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

_STANDARD_CROSS = frozenset({768, 1024, 1280, 2048})


@dataclass(slots=True)
class _Draft:
    """A description while it is made."""

    weights: Weights
    shapes: Shapes
    settled: Settled
    where: str
    kind: Kind = "unknown"
    layout: Layout = "diffusers"
    family: str | None = None
    variant: str = ""
    task: str = "generate"
    parts: dict[str, Part] = field(default_factory=dict)
    scheduler: Config = field(default_factory=dict)
    tokenizers: list[TokenizerSpec] = field(default_factory=list)
    details: Config = field(default_factory=dict)

    def under(self, prefix: str) -> Shapes:
        """The tensors below a prefix, without it."""
        if not prefix:
            return self.shapes
        return {name[len(prefix) :]: shape for name, shape in self.shapes.items() if name.startswith(prefix)}

    def add(
        self, name: str, inferred: Inferred, prefix: str, keys: Literal["diffusers", "ldm", "openclip"] = "diffusers"
    ) -> Part:
        """Settle the config of a part and keep it."""
        tensors = [tensor for key, tensor in self.weights.tensors.items() if key.startswith(prefix)]
        part = Part(
            name=name,
            class_name=inferred.class_name,
            config=self.settled.part(name, inferred),
            files=self.weights.files,
            prefix=prefix,
            keys=keys,
            bytes_by_dtype=bytes_by_dtype(tensors),
            tensors=len(tensors),
        )
        self.parts[name] = part
        if keys != "diffusers":
            self.layout = "original"
        return part


def describe_file(
    name: str, path: Path, *, kind: Kind | None = None, overrides: Config | None = None, sidecar: Path | None = None
) -> Description:
    """Describe a weight file (or the index of a sharded one) from its header.

    Args:
        name: The name it was asked for by.
        path: The file.
        kind: What it is wanted as; decides only where the tensors fit several kinds.
        overrides: The node's own parameters, see :func:`graphflow.models.settle.collect_given`.
        sidecar: `NAME.json` beside it, if any.

    Raises:
        ModelFormatError: The file is damaged, is not what its name says, or a value contradicts it.
    """
    if path.suffix.lower() in PICKLE_EXTENSIONS:
        return describe_pickle(name, path, kind)
    weights = read_weights(path)
    shapes = {key: tensor.shape for key, tensor in weights.tensors.items()}
    given = collect_given(overrides, sidecar, weights.metadata, _markers(weights), str(path))
    draft = _Draft(weights, shapes, Settled(given, str(path)), str(path))
    _fill(draft, kind)
    if any(key.startswith("model_ema.") for key in shapes):
        draft.settled.warnings.append("the file carries a second (EMA) copy of the weights, which is not used")
    fingerprint = weights.fingerprint()
    if sidecar is not None:
        fingerprint = folder_fingerprint([("", fingerprint), ("sidecar", file_fingerprint(sidecar))])
    return Description(
        name=name,
        path=path,
        kind=draft.kind,
        layout="gguf" if weights.quantised else draft.layout,
        family=draft.family,
        variant=draft.variant,
        task=draft.task,
        parts=draft.parts,
        scheduler=draft.scheduler,
        tokenizers=tuple(draft.tokenizers),
        details=draft.details,
        guesses=tuple(draft.settled.guesses),
        fingerprint=fingerprint,
        bytes_by_dtype=bytes_by_dtype(weights.tensors.values()),
        warnings=tuple(draft.settled.warnings),
    )


def describe_pickle(name: str, path: Path, kind: Kind | None) -> Description:
    """Describe a pickle file without looking into it.

    Raises:
        ModelFormatError: The file cannot be read.
    """
    return Description(
        name=name,
        path=path,
        kind=kind or "unknown",
        layout="pickle",
        fingerprint=file_fingerprint(path),
        bytes_by_dtype={"pickle": path.stat().st_size},
        needs_conversion=True,
        warnings=("a pickle file can run any code when it is opened, so nothing is known about its contents",),
    )


def _fill(draft: _Draft, kind: Kind | None) -> None:
    """Find out the kind and fill in what belongs to it; the first that fits."""
    lora = find_lora(draft.shapes, draft.weights.metadata)
    control = _control_prefix(draft)
    if control is not None:
        _controlnet(draft, control)
    elif lora and "lora_controlnet" not in draft.shapes:
        draft.kind, draft.family, draft.variant, draft.details = lora.kind, lora.family, lora.variant, lora.details
        draft.settled.warnings.extend(lora.warnings)
        draft.layout = "original" if lora.details.get("format") == "kohya" else "diffusers"
    elif not _checkpoint(draft, kind):
        adapter = find_adapter(draft.shapes)
        if adapter is None:
            raise ModelFormatError(
                f"nothing known fits its {len(draft.shapes)} tensors (such as {_some(draft.shapes)})",
                where=draft.where,
                advice="graphflow reads checkpoints, UNets, text encoders, VAEs, ControlNets, LoRAs, embeddings and"
                " upscalers as they are published; check that this is a model file",
            )
        draft.kind, draft.family, draft.details = adapter.kind, adapter.family, adapter.details
        draft.variant = adapter.variant


def _checkpoint(draft: _Draft, kind: Kind | None) -> bool:
    """UNet, VAE and text encoders, alone or together; False where there is none of them."""
    encoders = [found for found in find_text_encoders(draft.shapes) if not found.prefix.startswith("model_ema.")]
    hint = next((_ENCODERS[found.prefix][1] for found in encoders if _ENCODERS.get(found.prefix, ("", ""))[1]), "")
    if any(found.prefix == "conditioner.embedders.1.model." for found in encoders):
        hint = "sdxl"
    draft.variant = _variant(draft, hint)
    unet = next((prefix for prefix in _UNET_PREFIXES if _is_unet(draft.shapes, prefix)), None)
    transformer = find_transformer(draft.shapes) if unet is None else None
    vae = next((prefix for prefix in _VAE_PREFIXES if is_vae(_few(draft.shapes, prefix))), None)
    alone = unet is None and transformer is None and vae is None
    for found in encoders:
        _text_encoder(draft, found, alone=alone)
    if unet is not None:
        _unet(draft, unet)
    elif transformer is not None:
        family, class_name, prefix = transformer
        draft.variant = family
        draft.add("transformer", Inferred(class_name, family), prefix, "ldm")
        draft.settled.warnings.append(
            f"{family}: a single file does not tell this family's sizes; its config comes from a Diffusers folder"
        )
    if vae is not None:
        variant = draft.variant or _vae_variant(draft)
        below = draft.under(vae)
        names_ldm = any(key.startswith(("decoder.up.", "decoder.mid.block_")) for key in below)
        draft.add("vae", infer_vae(below, draft.where, variant=variant), vae, "ldm" if names_ldm else "diffusers")
    if not draft.parts:
        return _lone_part(draft, kind)
    draft.kind = _kind(draft)
    draft.family = family_of(draft.variant) if draft.kind in ("checkpoint", "diffusion_model") else None
    if draft.kind == "text_encoder":
        draft.variant = str(draft.details.get("encoder", ""))
    if draft.kind == "vae":
        draft.variant = ""
    if "unet" in draft.parts:
        draft.scheduler = _scheduler(draft)
    return True


def _kind(draft: _Draft) -> Kind:
    names = set(draft.parts)
    if len(names) == 1 or names <= {"text_encoder", "text_encoder_2"}:
        name = next(iter(names))
        return "diffusion_model" if name in ("unet", "transformer") else "vae" if name == "vae" else "text_encoder"
    return "checkpoint"


def _lone_part(draft: _Draft, kind: Kind | None) -> bool:
    shapes = draft.shapes
    for prefix in ("text_encoders.t5xxl.transformer.", ""):
        if prefix + "encoder.block.0.layer.0.SelfAttention.q.weight" in shapes:
            inferred = infer_t5(draft.under(prefix), draft.where)
            draft.add("text_encoder", inferred, prefix)
            draft.kind, draft.variant = "text_encoder", inferred.variant
            return True
    if "vision_model.embeddings.patch_embedding.weight" in shapes:
        inferred = infer_image_encoder(shapes, draft.where)
        draft.add("image_encoder", inferred, "")
        draft.kind = "safety_checker" if kind == "safety_checker" else "image_encoder"
        draft.variant = inferred.variant
        return True
    if is_tiny_vae(shapes):
        draft.add("vae", Inferred("AutoencoderTiny"), "")
        draft.kind, draft.variant = "vae", "tiny"
        return True
    return False


def _unet(draft: _Draft, prefix: str) -> None:
    below = draft.under(prefix)
    pooled = 0
    if "text_encoder_2" in draft.parts:
        width = draft.parts["text_encoder_2"].config.get("projection_dim")
        pooled = width if isinstance(width, int) else 0
    inferred = infer_unet(below, draft.where, variant=draft.variant, pooled=pooled)
    if not draft.variant:
        cross = inferred.facts.get("cross_attention_dim")
        draft.settled.guesses.insert(0, Guess("variant", inferred.variant, "shapes", cross in _STANDARD_CROSS))
        draft.variant = inferred.variant
    draft.task = inferred.task
    draft.add("unet", inferred, prefix, "ldm" if is_ldm(below) else "diffusers")


def _text_encoder(draft: _Draft, found: Found, *, alone: bool) -> None:
    name, speaks_for = _ENCODERS.get(found.prefix, ("text_encoder", ""))
    if found.prefix not in _ENCODERS and not alone:
        draft.settled.warnings.append(f"a text encoder under {found.prefix!r} is not used: the place is not known")
        return
    below = draft.under(found.prefix)
    width = next((shape[-1] for key, shape in below.items() if key.endswith("token_embedding.weight") and shape), 0)
    second = name == "text_encoder_2" or (alone and width == 1280)
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
    draft.tokenizers.append(tokenizer_spec(part, draft.settled, pads_with_end=pads_with_end))


def _controlnet(draft: _Draft, prefix: str) -> None:
    below = draft.under(prefix)
    draft.kind = "controlnet"
    if "lora_controlnet" in draft.shapes:
        draft.details["control_lora"] = True
        draft.settled.warnings.append("a Control-LoRA: it needs the weights of its base model")
        draft.family = "sdxl" if "label_emb.0.0.weight" in below else "sd"
        draft.layout = "original"
        return
    if any(key.startswith(("transformer_blocks.", "double_blocks.", "single_transformer_blocks.")) for key in below):
        flux = any(key.startswith(("single_transformer_blocks.", "double_blocks.")) for key in below)
        draft.family = "flux" if flux else "sd3"
        draft.add("controlnet", Inferred("FluxControlNetModel" if flux else "SD3ControlNetModel", draft.family), prefix)
        return
    inferred = infer_controlnet(below, draft.where)
    draft.variant, draft.family = inferred.variant, family_of(inferred.variant)
    draft.add("controlnet", inferred, prefix, "ldm" if is_ldm(below) else "diffusers")
    draft.details["union"] = inferred.class_name == "ControlNetUnionModel"


def _scheduler(draft: _Draft) -> Config:
    prediction, certain = prediction_of(draft.variant, draft.task)
    defaults: Config = {
        **SCHEDULER,
        "prediction_type": prediction,
        "rescale_betas_zero_snr": False,
    }
    if draft.variant == "sd2" and draft.settled.variant() is None and not certain:
        draft.settled.warnings.append(
            "SD 2.x files predict either v (768) or epsilon (512, 'base') and do not say which; v is assumed"
        )
    certain_keys = {*SCHEDULER, *(("prediction_type",) if certain else ())}
    given = {key for source in draft.settled.given for key in source.values.get("scheduler", {})}
    return {
        key: draft.settled.value("scheduler", key, defaults.get(key), certain=key in certain_keys)
        for key in [*defaults, *sorted(given - set(defaults))]
    }


def _variant(draft: _Draft, hint: str) -> str:
    """Parameter, then what is in the file, then what the file or its sidecar says of itself."""
    named = draft.settled.variant()
    if named and named.source == "parameter":
        draft.settled.guesses.append(named)
        return str(named.value)
    if hint:
        draft.settled.guesses.append(Guess("variant", hint, "shapes", True, "names of the text encoder"))
        return hint
    cross = {shape[1] for key, shape in draft.shapes.items() if key.endswith("attn2.to_k.weight") and len(shape) == 2}
    if named and not cross & _STANDARD_CROSS:
        draft.settled.guesses.append(named)
        return str(named.value)
    return ""


def _vae_variant(draft: _Draft) -> str:
    """A VAE alone does not tell SD from SDXL; published files of SDXL say so in their name."""
    named = draft.settled.variant()
    if named:
        return str(named.value)
    return "sdxl" if "xl" in draft.weights.path.stem.lower() and _latent(draft.shapes) == 4 else ""


def _latent(shapes: Shapes) -> int:
    names = [prefix + "decoder.conv_in.weight" for prefix in _VAE_PREFIXES]
    first = shape_of(shapes, *names, dims=4)
    return first[1] if first else 0


def _is_unet(shapes: Shapes, prefix: str) -> bool:
    if prefix + "input_blocks.0.0.weight" in shapes:
        return True
    return prefix + "conv_in.weight" in shapes and prefix + "up_blocks.0.resnets.0.conv1.weight" in shapes


def _control_prefix(draft: _Draft) -> str | None:
    for prefix in _CONTROL_PREFIXES:
        if any(prefix + name in draft.shapes for name in _CONTROL_MARKS):
            return prefix
    return None


def _few(shapes: Shapes, prefix: str) -> Shapes:
    """The two tensors by which a VAE is known."""
    names = ("decoder.conv_in.weight", "decoder.conv_out.weight")
    return {name: shapes[prefix + name] for name in names if prefix + name in shapes}


def _markers(weights: Weights) -> dict[str, Config]:
    """What tensors that are only signs stand for."""
    found: dict[str, Config] = {}
    scheduler: dict[str, JsonValue] = {}
    if "v_pred" in weights.tensors or "edm_vpred.sigma_max" in weights.tensors:
        scheduler["prediction_type"] = "v_prediction"
    if "ztsnr" in weights.tensors:
        scheduler["rescale_betas_zero_snr"] = True
    if "edm_mean" in weights.tensors and "edm_std" in weights.tensors:
        header = weights.headers[0]
        if {"edm_mean", "edm_std"} <= set(header.tensors):
            mean, std = list(read_floats(header, "edm_mean")), list(read_floats(header, "edm_std"))
            found["vae"] = {"latents_mean": [*mean], "latents_std": [*std], "scaling_factor": 0.5}
            scheduler["_class_name"] = "EDMDPMSolverMultistepScheduler"
    if scheduler:
        found["scheduler"] = scheduler
    return found


def _some(shapes: Shapes) -> str:
    return ", ".join(repr(name[:80]) for name in _first(shapes, 3)) or "none"


def _first(shapes: Shapes, count: int) -> Iterator[str]:
    for index, name in enumerate(shapes):
        if index == count:
            return
        yield name
