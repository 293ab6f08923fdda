"""Nodes that turn prompts into conditioning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow.basics.prompt_syntax import embedding_names
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.modelfiles.families import family_named
from graphflow.spec.decorator import FileNeed, ModelName, node
from graphflow.values import Conditioning, Image, Latent, TextEncoder, Vae
from graphflow.values.network_hooks import T5Length

from ..models.loaders import load_text_encoder
from .extras import with_extras

__all__ = [
    "encode_prompt",
    "encode_prompt_with_images",
    "encode_prompts_with_images",
    "lotus_conditioning",
    "set_t5_length",
    "set_text_layer",
]

REFERENCE_EDGE, EDGE = 1024, 32
REFERENCE = REFERENCE_EDGE**2
"""Pixels of a picture that an editing model gets as a reference, and along an edge, which is a multiple of `EDGE`."""


def _embeddings(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    text = params.get("text")
    for name in embedding_names(text) if isinstance(text, str) else ():
        yield FileNeed("text", name, "embedding", optional=True)


@node("encode_prompt", lane="device", map=True, needs=_embeddings)
def encode_prompt(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    text: Annotated[
        str,
        Field(
            max_length=LIMITS.text,
            description="the prompt; (word:1.2) weighs, embedding:name calls a textual inversion",
        ),
    ] = "",
    clip_skip: Annotated[
        int,
        Field(
            ge=0,
            le=24,
            description="2 takes the hidden layer before the last, as models trained that way want; 0 leaves the choice to the text encoder",
        ),
    ] = 0,
) -> Conditioning:
    r"""Encode a prompt: embedding (1, 77 k, C) for k chunks of 75 tokens, and pooled (1, D) where the family has one.

    Weights: ``(word)`` is 1.1 times, nesting multiplies, ``(word:1.3)`` sets; ``\\(`` is a parenthesis. An embedding that
    is not there is left out, with a notice that names it.
    """
    encoder = text_encoder if clip_skip == 0 else replace(text_encoder, layer=-clip_skip)
    with encoder.use() as loaded:
        result: Conditioning = loaded.encode(text)
    return result


@node("encode_prompt_with_images", lane="device")
def encode_prompt_with_images(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    text: Annotated[str, Field(max_length=LIMITS.text, description="the instruction")] = "",
    images: Annotated[list[Image] | None, Field(description="the pictures that it speaks of, in order")] = None,
    vae: Annotated[Vae | None, Field(description="encodes the pictures as references, too")] = None,
    template: Annotated[
        Literal["qwen_edit", "qwen_edit_plus"], Field(description="one picture, or several that are numbered")
    ] = "qwen_edit",
) -> Conditioning:
    """Encode an instruction together with pictures (Qwen-Image-Edit); alpha is ignored.

    With an autoencoder the pictures, brought to 1024 * 1024 pixels of their own shape, are reference latents, too.

    Raises:
        InvalidInputError: An input holds several pictures, or the template is for one.
        ModelFormatError: The text encoder reads no pictures.
        NonFiniteError: An encoder overflows in its dtype.
    """
    from graphflow.pixels.resampling import to_area

    pictures = [image.pixels[:, :3] for image in images or ()]
    if any(len(picture) != 1 for picture in pictures):
        raise InvalidInputError("an input holds several pictures", where="images", advice="give each one by itself")
    numbered = template == "qwen_edit_plus"
    if len(pictures) > 1 and not numbered:
        raise InvalidInputError(
            f"there are {len(pictures)} pictures, and the template qwen_edit is for one",
            where="images",
            advice="take the template qwen_edit_plus",
        )
    with text_encoder.use() as loaded:
        told: Conditioning = loaded.encode_with_pictures(text, pictures, numbered=numbered)
    if vae is None or not pictures:
        return told
    with vae.use() as autoencoder:
        factor: int = autoencoder.downscale
        references = tuple(
            Latent(
                samples=autoencoder.encode(to_area(picture, REFERENCE, factor if numbered else 1)),
                family=vae.family,
                downscale=factor,
            )
            for picture in pictures
        )
    return with_extras(told, {"reference_latents": references})


class PromptsWithImages(NamedTuple):
    """What a model is told with pictures, and where it begins."""

    positive: Annotated[
        Conditioning, Field(description="what the picture shows, with the pictures that it is made from")
    ]
    negative: Annotated[Conditioning, Field(description="what it does not show, with the same pictures")]
    latent: Annotated[Latent, Field(description="an empty latent of the first picture's size")]


@node("encode_prompts_with_images", lane="device")
def encode_prompts_with_images(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoder")],
    text: Annotated[str, Field(max_length=LIMITS.text, description="what the picture shows, or the instruction")] = "",
    negative_text: Annotated[str, Field(max_length=LIMITS.text, description="what it does not show")] = "",
    images: Annotated[list[Image] | None, Field(description="the pictures that it is made from, in order")] = None,
    vae: Annotated[
        Vae | None, Field(description="encodes the pictures as references; without, only the text encoder sees them")
    ] = None,
    resolution: Annotated[
        int,
        Field(
            ge=0,
            le=4096,
            multiple_of=32,
            description="pictures are brought to about its square of pixels, of their own shape; 0 leaves them as large as they are",
        ),
    ] = 1024,
) -> PromptsWithImages:
    """Encode what a picture shows and what it does not, with pictures that it is made from (Qwen-Image 2.1).

    The pictures' edges become multiples of 32. Sample the latent: other sizes move what is edited.

    Raises:
        InvalidInputError: An input holds several pictures.
        ModelFormatError: The text encoder reads no pictures.
        NonFiniteError: An encoder overflows in its dtype.
    """
    import torch

    from graphflow.pixels.resampling import to_area

    given = [image.pixels for image in images or ()]
    if any(len(picture) != 1 for picture in given):
        raise InvalidInputError("an input holds several pictures", where="images", advice="give each one by itself")
    pictures = [
        to_area(picture, resolution**2 or picture.shape[-2] * picture.shape[-1], EDGE, "lanczos") for picture in given
    ]
    with text_encoder.use() as loaded:
        positive, negative = (
            loaded.encode_with_pictures(told, pictures, numbered=True) for told in (text, negative_text)
        )
    form = family_named(text_encoder.family or "qwen_image_21").latent
    if vae is not None and pictures:
        with vae.use() as autoencoder:
            references = tuple(
                Latent(samples=autoencoder.encode(picture), family=vae.family, downscale=autoencoder.downscale)
                for picture in pictures
            )
        positive, negative = (with_extras(told, {"reference_latents": references}) for told in (positive, negative))
    height, width = pictures[0].shape[-2:] if pictures else (resolution or REFERENCE_EDGE,) * 2
    samples = torch.zeros(1, form.channels, height // form.downscale, width // form.downscale)
    return PromptsWithImages(positive, negative, Latent(samples=samples, downscale=form.downscale))


@node("lotus_conditioning", lane="device")
def lotus_conditioning(
    text_encoder: Annotated[
        str,
        ModelName("text_encoder"),
        Field(min_length=1, description="Lotus' text encoder, which is Stable Diffusion 2's"),
    ] = "jingheya/lotus-depth-d-v1-1",
) -> Conditioning:
    """Give what Lotus reads in place of a prompt: an empty text that nothing fills up (He et al. 2024, arXiv:2409.18124).

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no text encoder.
    """
    with load_text_encoder(text_encoder, family="sd").use() as loaded:
        told: Conditioning = loaded.encode("")
    # Its start and its end; states of CLIP do not depend on what follows.
    return Conditioning(entries=tuple(replace(entry, embedding=entry.embedding[:, :2]) for entry in told.entries))


@node("set_t5_length", map=True)
def set_t5_length(
    text_encoder: Annotated[TextEncoder, Field(description="text encoders with T5")],
    min_padding: Annotated[
        int, Field(ge=0, le=10_000, description="fewest tokens that fill up a prompt, however long it is")
    ] = 0,
    min_length: Annotated[
        int, Field(ge=0, le=10_000, description="fewest tokens of a prompt; counts instead of the family's own")
    ] = 0,
) -> TextEncoder:
    """Set how far T5's prompts are filled up.

    Raises:
        InvalidInputError: When the encoders are used: there is no T5 among them.
    """
    return text_encoder.hooked(T5Length(min_padding=min_padding, min_length=min_length))


@node("set_text_layer", map=True)
def set_text_layer(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    layer: Annotated[
        int, Field(ge=-24, le=-1, description="-1 is the last hidden layer, -2 the one before (clip skip 2)")
    ] = -1,
) -> TextEncoder:
    """Choose which hidden layer of the text encoder conditions the model."""
    return replace(text_encoder, layer=layer)
