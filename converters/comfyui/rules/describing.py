"""What pictures show, in words: ComfyUI-Florence2, by its documentation."""

from __future__ import annotations

from ..building import Builder, Fused, RefusedError, Source, Value
from .rule import AnyRule, Made

_FLORENCE = "ComfyUI-Florence2"
_DESCRIBER = "describer"
_FLORENCES = {
    f"florence-2-{size}{tuned}": f"florence-community/Florence-2-{size}{tuned}"
    for size in ("base", "large")
    for tuned in ("", "-ft")
}
"""The same weights as transformers reads them without code of their own."""
_ASKED = {
    "caption": "caption", "detailed_caption": "detailed_caption", "more_detailed_caption": "long_caption", "ocr": "read_text",
    "region_caption": "things", "dense_region_caption": "described_regions", "region_proposal": "regions",
    "caption_to_phrase_grounding": "find_phrases", "referring_expression_segmentation": "outline_phrase",
}  # fmt: skip
_WORDS = ("caption", "detailed_caption", "more_detailed_caption", "ocr")
"""Tasks whose answer has no boxes."""


def _florence(builder: Builder, source: Source) -> list[Value]:
    source.used |= {"precision", "attention", "convert_to_safetensors"}
    if source.get("lora") is not None:
        raise RefusedError("its LoRA has no native counterpart")
    name = source.text("model", "microsoft/Florence-2-base")
    known = _FLORENCES.get(name.lower().rpartition("/")[2], name)
    return [Fused(_DESCRIBER, {"model": known}, (source.id,))]


def _asked(builder: Builder, source: Source) -> list[Value]:
    """Florence2Run: words, and a mask of what they name."""
    model = source.part("florence2_model", _DESCRIBER)
    task = source.text("task", "caption")
    if task not in _ASKED:
        raise RefusedError(f"its task {task} goes with models that run code of their own")
    source.used |= {"keep_model_loaded", "seed", "fill_mask"}
    if source.flag("do_sample", True):
        source.remark("the likeliest answer is given, not a drawn one")
    if source.text("output_mask_select"):
        source.remark("the mask shows all that was found")
    image = source.get("image")
    inputs = {
        "image": image, "task": _ASKED[task], "words": source.get("text_input", ""), "tokens": source.get("max_new_tokens", 1024),
        "beams": source.get("num_beams", 3), **model.parts,
    }  # fmt: skip
    made = builder.add(source, "describe_image", inputs, ids=model.ids)
    things = builder.ref(made.node, "segments")
    mask = builder.add(source, "segments_to_mask", {"segments": things, "image": image}, suffix="mask")
    count = builder.add(source, "count_segments", {"segments": things}, suffix="count")
    if task not in _WORDS:
        source.remark("boxes are not drawn into the picture")
    return [image, mask, builder.ref(made.node, "text"), None, count]


RULES: tuple[AnyRule, ...] = (
    *(
        Made(type, (), _florence, says="part of the describe_image behind it: florence-community/Florence-2-…", pack=_FLORENCE)
        for type in ("DownloadAndLoadFlorence2Model", "Florence2ModelLoader")
    ),
    Made("Florence2Run", ("describe_image", "segments_to_mask", "count_segments"), _asked, says="describe_image, and segments_to_mask", pack=_FLORENCE),
)  # fmt: skip
"""By ComfyUI type."""
