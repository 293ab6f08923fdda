"""Prompts of several texts or of pictures that Flux and its kin read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.modelfiles.families import family_named
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, TextEncoder

from ..conditioning.extras import with_extras

__all__ = ["encode_prompt_parts"]

Encoder = Annotated[TextEncoder, Field(description="the text encoders")]
Text = Annotated[str, Field(max_length=LIMITS.text)]


@node("encode_prompt_parts", waits="{family}", unless={"family": ("flux", "sd3")}, lane="device")
def encode_prompt_parts(
    text_encoder: Encoder,
    text_l: Annotated[Text, Field(description="for CLIP L; of Hunyuan-DiT for BERT")] = "",
    text_g: Annotated[Text, Field(description="for CLIP G")] = "",
    text_t5: Annotated[Text, Field(description="for T5, or mT5")] = "",
    text_llama: Annotated[Text, Field(description="for the language model")] = "",
    guidance: Annotated[float, Field(ge=0, le=100, description="see set_guidance; of Flux alone")] = 3.5,
    family: Annotated[Literal["flux", "sd3", "hidream", "hunyuan_dit"], Field(description="the family")] = "flux",
) -> Conditioning:
    """Encode a text of its own for each text encoder of a family.

    Raises:
        InvalidInputError: The family's text encoders read no texts of their own.
        NonFiniteError: An encoder overflows in its dtype.
    """
    by_class = {
        "CLIPTextModel": text_l,
        "CLIPTextModelWithProjection": text_l if family == "flux" else text_g,
        "T5EncoderModel": text_t5,
        "LlamaModel": text_llama,
    }
    owner = family_named(text_encoder.family or family)
    texts = {role.part: by_class.get(role.classes[0]) for role in owner.encoders()}
    if None in texts.values():
        raise InvalidInputError(
            f"the text encoders of {owner.name} read one text together", advice="encode it with encode_prompt"
        )
    with text_encoder.use() as loaded:
        told: Conditioning = loaded.encode("", texts)
    return with_extras(told, {"guidance": guidance}) if family == "flux" else told
