"""Text that a language model writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node
from graphflow.spec.spec import FileNeed
from graphflow.values import Image, VisionModel

__all__ = ["generate_text"]

_KIND = "language_model"
Text = Annotated[str, Field(max_length=LIMITS.text)]


class Written(NamedTuple):
    """What a language model wrote."""

    text: Annotated[str, Field(description="the answer")]
    thinking: Annotated[str, Field(description="what the model thought before, where it did")]


def _model(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    if params.get("write") and isinstance(params.get("model"), str):
        yield FileNeed("model", params["model"], _KIND)


@node("generate_text", lane="device", needs=_model)
def generate_text(
    prompt: Annotated[Text, Field(description="what the language model is asked")],
    model: Annotated[str, Field(min_length=1, description="a folder of a language model, as transformers has it")],
    write: Annotated[
        bool, Field(description="false gives the prompt as it is and loads nothing; true has the model write")
    ] = False,
    system: Annotated[Text, Field(description="what the model is told before the prompt")] = "",
    images: Annotated[list[Image] | None, Field(description="pictures that the prompt speaks of")] = None,
    tokens: Annotated[int, Field(ge=1, le=32768, description="length of the answer at most")] = 512,
    temperature: Annotated[
        float, Field(ge=0, le=2, description="how freely it draws; 0 takes the likeliest token each time")
    ] = 0.7,
    top_k: Annotated[int, Field(ge=0, le=1000, description="the likeliest tokens that count; 0 is all")] = 64,
    top_p: Annotated[float, Field(ge=0, le=1, description="the likeliest tokens whose shares add up to this")] = 0.95,
    min_p: Annotated[float, Field(ge=0, le=1, description="least share of a token, of the likeliest one's")] = 0.05,
    repetition_penalty: Annotated[float, Field(ge=0.1, le=5, description="above 1 it repeats itself less")] = 1.05,
    seed: Seed = 0,
    thinking: Annotated[bool, Field(description="let it think first, where the model does so on demand")] = False,
) -> Written:
    """Have a local language model write a text, such as a longer prompt; off until ``write`` is set.

    The model is a folder of transformers in ``LLM`` of a model folder; it runs no code of its own.

    Raises:
        ModelNotFoundError: There is no such model.
        ModelFormatError: It writes no text, or wants to run code of its own.
        InvalidInputError: There are pictures, and the model reads none.
    """
    current = runtime.current()
    if not write:
        current.notice(f"the text is not rewritten by {model}: set write to true, and have the model")
        return Written(prompt, "")
    from graphflow.vision.language import Writing, answer

    how = Writing(
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed % 2**63,
        thinking=thinking,
    )
    done = 0

    def on_token() -> None:
        nonlocal done
        done += 1
        current.check_cancelled()
        current.report(min(done, tokens), tokens, None)

    pictures = [picture for image in images or () for picture in image.pixels[:, :3]]
    with VisionModel(files=(current.models.find(model, _KIND, part=_KIND),)).use() as network:
        return Written(*answer(network, prompt, system=system, pictures=pictures, how=how, on_token=on_token))
