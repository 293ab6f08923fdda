"""Nodes that write models, merged and adapted as they are, in the single-file layout that every program reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import EncodedFile, Files, ImageEncoder, Model, Recipe, TextEncoder, Vae

from ..choices import Prefix
from ..output.carried import texts_of
from ..output.comfyui_prompt import with_prompt

if TYPE_CHECKING:
    import torch

__all__ = [
    "save_checkpoint",
    "save_image_to_video_checkpoint",
    "save_lora",
    "save_model",
    "save_text_encoder",
    "save_vae",
]

Dtype = Annotated[
    Literal["float16", "bfloat16", "float32"], Field(description="of the weights; float16 is what programs expect")
]
ModelLink = Annotated[Model, Field(description="the denoising model, with its LoRAs and merges")]
EncoderLink = Annotated[TextEncoder, Field(description="the text encoder, with its LoRAs and merges")]
VaeLink = Annotated[Vae, Field(description="the autoencoder")]


@node("save_checkpoint", effect=True, lane="device")
def save_checkpoint(
    model: ModelLink,
    text_encoder: EncoderLink,
    vae: VaeLink,
    filename_prefix: Prefix = "checkpoint",
    dtype: Dtype = "float16",
) -> Files:
    """Save a model, its text encoders and its autoencoder as one checkpoint (.safetensors, original layout).

    Weight patches are merged in; runtime hooks cannot be saved and are left out with a notice. The whole file is held in
    memory once more while it is written.

    Raises:
        ModelFormatError: A part has no such layout, or a weight does not fit into the dtype.
    """
    _tell_of_hooks(model)
    with model.use() as loaded, text_encoder.use() as texts, vae.use() as autoencoder:
        tensors, config, architecture = loaded.file_tensors()
        beside = [(more, said) for _, more, said in texts.file_tensors(whole=True)]
        for more, said in (*beside, autoencoder.file_tensors(whole=True)):
            tensors, config = tensors | more, config | said
        return _file(filename_prefix, _encoded(tensors, config, dtype, architecture))


@node("save_image_to_video_checkpoint", effect=True, lane="device")
def save_image_to_video_checkpoint(
    model: ModelLink,
    image_encoder: Annotated[ImageEncoder, Field(description="the CLIP image encoder")],
    vae: VaeLink,
    filename_prefix: Prefix = "checkpoint",
    dtype: Dtype = "float16",
) -> Files:
    """Save what makes videos of pictures alone (Stable Video Diffusion) as one checkpoint (.safetensors, original layout).

    Weight patches are merged in; runtime hooks cannot be saved and are left out with a notice.

    Raises:
        ModelFormatError: A part has no such layout, or a weight does not fit into the dtype.
        InvalidInputError: The model's checkpoints hold no image encoder.
    """
    _tell_of_hooks(model)
    with model.use() as loaded, image_encoder.use() as seeing, vae.use() as autoencoder:
        if not hasattr(loaded, "image_encoder_tensors"):
            raise InvalidInputError(
                "checkpoints of this model's family hold no image encoder",
                where="model",
                advice="save_checkpoint saves them with their text encoders",
            )
        tensors, config, architecture = loaded.file_tensors()
        for more, said in (loaded.image_encoder_tensors(seeing.module), autoencoder.file_tensors(whole=True)):
            tensors, config = tensors | more, config | said
        return _file(filename_prefix, _encoded(tensors, config, dtype, architecture))


@node("save_model", effect=True, lane="device")
def save_model(model: ModelLink, filename_prefix: Prefix = "model", dtype: Dtype = "float16") -> Files:
    """Save a denoising model alone (.safetensors, original layout), its weight patches merged in.

    Raises:
        ModelFormatError: It has no such layout, or a weight does not fit into the dtype.
    """
    _tell_of_hooks(model)
    with model.use() as loaded:
        tensors, config, architecture = loaded.file_tensors()
        return _file(filename_prefix, _encoded(tensors, config, dtype, architecture))


@node("save_text_encoder", effect=True, lane="device")
def save_text_encoder(
    text_encoder: EncoderLink, filename_prefix: Prefix = "text_encoder", dtype: Dtype = "float16"
) -> Files:
    """Save text encoders alone (.safetensors), one file each, their weight patches merged in.

    Raises:
        ModelFormatError: They have no such layout, or a weight does not fit into the dtype.
    """
    with text_encoder.use() as texts:
        saved = {name: _encoded(tensors, config, dtype) for name, tensors, config in texts.file_tensors(whole=False)}
    stems = [filename_prefix if len(saved) == 1 else f"{filename_prefix}-{name}" for name in saved]
    return Files(
        files=tuple(
            EncodedFile(stem=stem, suffix=".safetensors", data=data, number=number)
            for number, (stem, data) in enumerate(zip(stems, saved.values(), strict=True))
        )
    )


@node("save_vae", effect=True, lane="device")
def save_vae(vae: VaeLink, filename_prefix: Prefix = "vae", dtype: Dtype = "float16") -> Files:
    """Save an autoencoder alone (.safetensors, original layout).

    Raises:
        ModelFormatError: It has no such layout, or a weight does not fit into the dtype.
    """
    with vae.use() as autoencoder:
        tensors, config = autoencoder.file_tensors(whole=False)
        return _file(filename_prefix, _encoded(tensors, config, dtype))


@node("save_lora", effect=True, lane="device")
def save_lora(
    model: Annotated[Model | None, Field(description="a difference of models, as subtract_models makes it")] = None,
    text_encoder: Annotated[TextEncoder | None, Field(description="a difference of text encoders")] = None,
    filename_prefix: Prefix = "lora",
    rank: Annotated[int, Field(ge=1, le=4096, description="rank of the update; smaller files keep less")] = 8,
    dtype: Dtype = "float16",
) -> Files:
    """Save a difference of models as a LoRA (kohya layout): the best approximation of each weight's change by its rank.

    Biases and normalisation cannot be in a LoRA; where they differ, a notice says so. Decomposed by randomised singular
    values from a fixed seed (Halko et al. 2009, arXiv:0909.4061), so a run repeats.

    Raises:
        InvalidInputError: Neither difference is linked, or nothing differs.
    """
    if model is None and text_encoder is None:
        raise InvalidInputError("there is no difference to save", advice="link a model, a text encoder or both")
    tensors: dict[str, torch.Tensor] = {}
    notice = runtime.current().notice
    if model is not None:
        with model.use() as loaded:
            tensors |= loaded.as_lora(rank, notice)
    if text_encoder is not None:
        with text_encoder.use() as texts:
            tensors |= texts.as_lora(rank, notice)
    if not tensors:
        raise InvalidInputError("the models do not differ in any weight that a LoRA can hold")
    return _file(filename_prefix, _encoded(tensors, {}, dtype))


def _file(stem: str, data: bytes) -> Files:
    return Files(files=(EncodedFile(stem=stem, suffix=".safetensors", data=data),))


def _encoded(
    tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], dtype: str, architecture: str = ""
) -> bytes:
    import torch

    from graphflow.loading.serialize import model_file

    texts = texts_of(with_prompt(runtime.current().carried()), ())
    return model_file(tensors, config, getattr(torch, dtype), architecture=architecture, texts=texts)


def _tell_of_hooks(recipe: Recipe) -> None:
    if recipe.hooks:
        names = ", ".join(type(hook).__name__ for hook in recipe.hooks)
        runtime.current().notice(f"what changes how a model runs cannot be saved and is left out: {names}")
