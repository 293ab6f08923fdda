"""Checks and files."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from graphflow.execution.filenames import TOKEN
from graphflow.execution.output import safe_parts

from ..flows import is_raw
from ..handles import Decoding, EmptyLatent, Frames, Latents, Pictures, Pixels, Sampling, Sequence
from ..layout import Expression, call, listed, quoted
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import constant_for

SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}


def safety_filter(emission: Emission) -> dict[str, Any]:
    """A safety check: the pipeline's own where it makes the pictures."""
    checker, found = emission.part("safety_checker"), emission.inputs["images"]
    base = checker.base
    if isinstance(found, Decoding) and found.sampling.model.base.checkpoint == base.checkpoint:
        emission.script.facts.checked.add(base.checkpoint)
        return {"images": replace(found, checked=emission.node.id), "flags": None}
    if isinstance(found, Pictures) and found.checker.base.key == checker.base.key:
        emission.script.facts.checked.add(checker.base.key)
        return {"images": found, "flags": None}
    pixels = emission.pixels("images")
    checked = emission.writer.check(pixels, checker, emission.node.id)
    return {"images": checked, "flags": None}


def save_image(emission: Emission) -> None:
    """Files."""
    found = emission.inputs["images"]
    parts = found.items if isinstance(found, Sequence) else found if isinstance(found, tuple) else (found,)
    truncate = emission.fixed("rounding") == "truncate"
    looped = None if truncate or len(parts) < 2 else _loop(emission, parts)
    if looped is not None:
        images, flags = looped
    elif len(parts) == 1:
        images, flags = _pictures(emission, parts[0], truncate=truncate)
    else:
        images, flags = _together(emission, [_pictures(emission, part, truncate=truncate) for part in parts])
    emission.begin()
    _write(emission, images, flags)


def save_video(emission: Emission) -> None:
    """A file of moving pictures."""
    found = emission.inputs["video"]
    if not isinstance(found, Frames):
        raise UnsupportedError("scripts save the videos that are made of their pictures")
    emission.begin()
    _make_folder(emission)
    function = "to_pil_truncated" if emission.fixed("rounding") == "truncate" else "to_pil"
    emission.script.need("save_frames", function)
    format, options = emission.fixed("format"), {}
    if format == "webp":
        options = {"quality": emission.value("quality")}
        options |= {"lossless": "True"} if emission.inputs["quality"].value == 100 else {}
    elif format == "gif":
        options = {"disposal": "1"}
    if format != "gif" or emission.fixed("loop"):
        options["loop"] = "0" if emission.fixed("loop") else "1"
    stem = _stem(emission, f".{format}")
    path = f'args.out / {"f" if "{" in stem else ""}"{stem}.{format}"'
    emission.script.add("", call("save_frames", f"{function}({found.variable})", path, found.fps, **options))


def _write(emission: Emission, images: str, flags: str) -> None:
    """The loop that writes pictures, apart from those that the checker flagged."""
    script = emission.script
    format = emission.fixed("format")
    _make_folder(emission)
    options: dict[str, Expression] = {}
    if format != "png":
        options["quality"] = emission.value("quality")
        if format == "webp" and emission.inputs["quality"].value == 100:
            options["lossless"] = "True"
    path = f'args.out / f"{_stem(emission, SUFFIXES[format])}-{{number}}{SUFFIXES[format]}"'
    script.add(f"for number, picture in enumerate({images}):")
    if flags:
        script.add(f"if {flags}[number]:", depth=1)
        script.add('print(f"picture {number} is withheld: the safety checker flagged it")', depth=2)
        script.add("else:", depth=1)
    script.add("", call("picture.save", path, **options), depth=2 if flags else 1)


def _stem(emission: Emission, suffix: str) -> str:
    """The start of file names, as it stands inside an f-string; another one for each node that writes such files."""
    shown = _prefix(emission)
    stem, number = shown, 1
    while ("stem", stem, suffix) in emission.script.written:
        number += 1
        stem = f"{shown}-{number}"
    emission.script.written["stem", stem, suffix] = True
    return stem


def _prefix(emission: Emission) -> str:
    given = emission.inputs["filename_prefix"]
    if emission.script.is_open(given):
        return f"{{{emission.value('filename_prefix')}}}"
    if TOKEN.search(str(given.value)):
        emission.script.say(f"{emission.node.id}: what stands between % in the file name stays as it is")
    *folders, name = safe_parts(str(given.value))
    stem = "/".join([*folders, name])
    if folders and ("folder", *folders) not in emission.script.written:
        emission.script.written["folder", *folders] = True
        emission.script.add(f"(args.out / {quoted('/'.join(folders))}).mkdir(parents=True, exist_ok=True)")
    if re.fullmatch(r"[A-Za-z0-9 ._/-]+", stem):
        return stem
    return f"{{{constant_for(emission, stem, 'PREFIX')}}}"


def _together(emission: Emission, both: list[tuple[str, str]]) -> tuple[str, str]:
    """Several batches as one."""
    script = emission.script
    if not any(flags for _, flags in both):
        return script.assign("images", listed(f"*{pictures}" for pictures, _ in both)), ""
    named = [(script.assign("images", pictures), flags) for pictures, flags in both]
    images = script.assign("images", listed(f"*{pictures}" for pictures, _ in named))
    verdicts = [f"*{flags}" if flags else f"*[False] * len({pictures})" for pictures, flags in named]
    return images, script.assign("flags", listed(verdicts))


def _pictures(emission: Emission, part: Any, *, truncate: bool) -> tuple[str, str]:
    """The expressions of pictures with 8 bits, and of the checker's verdicts or nothing."""
    if isinstance(part, Decoding):
        return emission.writer.pictures(part, truncate=truncate)
    if isinstance(part, Pictures):
        return part.expression, part.flags
    assert isinstance(part, Pixels), part
    return emission.writer.to_pil(part.variable, truncate=truncate), part.flags


def _loop(emission: Emission, parts: tuple[Any, ...]) -> tuple[str, str] | None:
    """One loop for pictures that differ in nothing but the prompt; None where they differ in more."""
    if not all(isinstance(part, Decoding) and _is_plain(part.sampling) for part in parts):
        return None
    script = emission.script
    texts = [part.sampling.positive.entries[0].text for part in parts]
    alike = {repr(replace(part, sampling=_with_text(part.sampling, "prompt"))) for part in parts}
    if len(alike) > 1 or not all(emission.writer.is_one_call(part) for part in parts):
        return None
    first = parts[0]
    constant = script.constant("PROMPTS", listed(texts))
    emission.writer.prepare(first.sampling)
    script.stage(", ".join(first.sampling.nodes))
    images, flags, prompt = script.name("images"), script.name("flags"), script.name("prompt")
    script.add(f"{images}, {flags} = [], []" if first.checked else f"{images} = []")
    script.add(f"for {prompt} in {constant}:")
    sampling = _with_text(first.sampling, prompt)
    made = emission.writer.call(sampling)
    result = script.name("result")
    script.add(f"{result} = ", made, depth=1)
    script.add(f"{images} += {result}.images", depth=1)
    if first.checked:
        script.add(f"{flags} += {result}.nsfw_content_detected", depth=1)
    return images, flags if first.checked else ""


def _is_plain(sampling: Sampling) -> bool:
    """Whether its call needs nothing but texts and numbers."""
    entries = [entry for side in sampling.sides for entry in side.entries]
    texts = all(entry.plain and not entry.controls for entry in entries)
    return texts and isinstance(sampling.latent, EmptyLatent) and not sampling.model.pictures


def _with_text(sampling: Sampling, text: str) -> Sampling:
    (entry, *_) = sampling.positive.entries
    return replace(
        sampling, positive=replace(sampling.positive, entries=(replace(entry, text=text, parts="", bytes=0),))
    )


def save_latent(emission: Emission) -> None:
    """A file of latents."""
    latents = emission.latents("latent")
    if not isinstance(latents, Latents) or latents.scaled_for is None:
        raise UnsupportedError("latents that were never sampled cannot be saved by scripts")
    emission.begin()
    _make_folder(emission)
    emission.script.need("save_latents")
    stem = _stem(emission, ".latent")
    path = f'args.out / {"f" if "{" in stem else ""}"{stem}.latent"'
    raw = latents.variable
    if not is_raw(latents.scaled_for):
        raw = f"{raw} / {emission.loader.vae(latents.scaled_for)}.config.scaling_factor"
    emission.script.add("", call("save_latents", raw, path))


def _make_folder(emission: Emission) -> None:
    """Make the folder to write to, once."""
    if ("folder",) not in emission.script.written:
        emission.script.written["folder",] = True
        emission.script.add("args.out.mkdir(parents=True, exist_ok=True)")


def preview(emission: Emission) -> None:
    """Previews are for looking at while a workflow runs; a script leaves them out."""
    emission.has_no_effect()
    emission.script.say(f"{emission.node.id}: a preview is left out")


EMITTERS: dict[str, Emitter] = {
    "safety_filter": safety_filter,
    "save_image": save_image,
    "save_video": save_video,
    "preview": preview,
    "save_latent": save_latent,
}
