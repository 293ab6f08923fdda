"""Running a Diffusers pipeline: its call, what goes in, what comes out."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphflow import runtime
from graphflow.basics.eight_bits import to_pictures
from graphflow.basics.wording import shorten
from graphflow.errors import GraphflowError, InvalidInputError, MediaError, is_out_of_memory
from graphflow.values import Audio, Image, Mask, Video

from .call import arguments_of
from .table import Signature

if TYPE_CHECKING:
    import torch

Linked = Image | Mask | Video
Made = tuple[Image | None, Video | None, Audio | None]

_SAMPLE_RATE = 44100


def call_pipeline(
    pipe: Any, known: Signature, arguments: Mapping[str, Any], linked: Mapping[str, Linked], *, seed: int, fps: float
) -> Made:
    """Call a loaded pipeline and turn what comes out into values.

    Args:
        pipe: The pipeline.
        known: Its signature; what it does not take is not given.
        arguments: Literal arguments, checked before.
        linked: Values from links, by the link's name.
        seed: For the generator.
        fps: Frames a second of a video that comes out.

    Raises:
        CancelledError: The user stopped the run.
        NonFiniteError: The pipeline made NaN.
        InvalidInputError: The pipeline refuses what it is given.
        MediaError: The pipeline made something that is no picture, video or sound.
    """
    import torch

    call: dict[str, Any] = dict(arguments)
    targets = arguments_of(known)
    for name, value in linked.items():
        call[targets[name]] = _as_argument(value)
    if "generator" in known.arguments:
        call["generator"] = torch.Generator("cpu").manual_seed(seed)
    if "output_type" in known.arguments:
        call["output_type"] = "np"
    if "return_dict" in known.arguments:
        call["return_dict"] = True
    call |= _progress(known)
    _check_layers(pipe, arguments)
    try:
        result = pipe(**call)
    except GraphflowError:
        raise
    except Exception as error:  # whatever a pipeline does with values that it does not check itself
        if is_out_of_memory(error):
            raise
        blamed = _blamed(error, arguments)
        raise InvalidInputError(
            str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}",
            where=f"{known.pipeline}({', '.join(blamed)})",
            advice=f"change {' or '.join(blamed)}, or leave it out" if blamed else None,
        ) from error
    return _made(result, pipe, fps)


# ------------------------------------------------------------------------------------------------ in


def _as_argument(value: Linked) -> Any:
    """Turn a value into what pipelines take: one picture or a list of them."""
    pictures = to_pictures(
        value.values[:, None] if isinstance(value, Mask) else value.frames if isinstance(value, Video) else value.pixels
    )
    return pictures if isinstance(value, Video) or len(pictures) != 1 else pictures[0]


def _check_layers(pipe: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse to skip more layers than a text encoder has; pipelines index with the number."""
    skipped = arguments.get("clip_skip")
    encoders = (getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2"))
    layers = [getattr(getattr(encoder, "config", None), "num_hidden_layers", None) for encoder in encoders]
    most = min((count for count in layers if isinstance(count, int)), default=None)
    if isinstance(skipped, int) and most is not None and not 0 <= skipped <= most:
        raise InvalidInputError(
            f"must be from 0 to {most}, the layers of the model's text encoder, got {shorten(skipped)}",
            where="arguments.clip_skip",
        )


def _blamed(error: BaseException, arguments: Mapping[str, Any]) -> list[str]:
    """Return the arguments that the innermost line of code names which names any; else all."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if found := [name for name in arguments if re.search(rf"\b{re.escape(name)}\b", frame.line or "")]:
            return found
    return list(arguments)


def _progress(known: Signature) -> dict[str, Any]:
    """Return the callback that a pipeline's call takes, if any; it reports and stops between steps."""
    current = runtime.current()

    def on_step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        current.check_cancelled()
        current.report(step + 1, max(step + 1, int(getattr(pipe, "num_timesteps", 0) or 0)), None)
        return tensors

    def on_step(step: int, timestep: Any, latents: Any) -> None:
        current.check_cancelled()
        current.report(step + 1, step + 1, None)

    if "callback_on_step_end" in known.arguments:
        return {"callback_on_step_end": on_step_end}
    if "callback" in known.arguments:
        steps = {"callback_steps": 1} if "callback_steps" in known.arguments else {}
        return {"callback": on_step, **steps}
    return {}


# ----------------------------------------------------------------------------------------------- out


def _made(result: Any, pipe: Any, fps: float) -> Made:
    """Read pictures, a video and sound out of a pipeline's output object."""
    images = _first_attribute(result, ("images", "image"))
    frames = _first_attribute(result, ("frames", "video", "videos"))
    audio = _first_attribute(result, ("audios", "audio"))
    made: Made = (
        None if images is None else _to_image(images),
        None if frames is None else _to_video(frames, fps),
        None if audio is None else _to_audio(audio, pipe),
    )
    if made == (None, None, None):
        held = ", ".join(getattr(result, "keys", lambda: [type(result).__name__])())
        raise MediaError(f"{type(pipe).__name__} made neither pictures nor video nor sound, only {held}")
    return made


def _first_attribute(result: Any, names: Sequence[str]) -> Any:
    return next((value for name in names if (value := getattr(result, name, None)) is not None), None)


def _to_tensor(value: Any) -> torch.Tensor:
    """Stack pictures, arrays and tensors, nested as they come, into one float32 tensor; pictures are channels last."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().float().cpu()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value)).float()
    if isinstance(value, list | tuple):
        return torch.stack([_to_tensor(item) for item in value])
    if hasattr(value, "convert") and hasattr(value, "size"):
        return torch.from_numpy(np.asarray(value.convert("RGB"), dtype=np.float32) / 255.0)
    raise MediaError(f"a {type(value).__name__} is neither a picture nor a tensor")


def _require_finite(tensor: torch.Tensor, what: str) -> None:
    from graphflow.basics.finite import require_finite

    require_finite(tensor, what, "try --dtype float32 or bfloat16, or a lower guidance scale")


def _channels_first(pixels: torch.Tensor) -> torch.Tensor:
    """Bring (…, H, W, C) to (…, C, H, W); what has its channels first already stays."""
    if (pixels.shape[-1] in (1, 3, 4) and pixels.shape[-3] not in (1, 3, 4)) or (
        pixels.shape[-1] in (1, 3, 4) and pixels.shape[-1] <= pixels.shape[-3]
    ):
        pixels = pixels.movedim(-1, -3)
    return pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:]) if pixels.shape[-3] == 1 else pixels


def _to_image(value: Any) -> Image:
    pixels = _channels_first(_to_tensor(value))
    while pixels.ndim > 4:
        pixels = pixels.flatten(0, 1)
    _require_finite(pixels, "the picture")
    return Image(pixels=(pixels if pixels.ndim == 4 else pixels[None]).clamp(0, 1).contiguous())


def _to_video(value: Any, fps: float) -> Video:
    frames = _to_tensor(value)
    frames = frames[0] if frames.ndim == 5 else frames
    frames = _channels_first(frames)
    _require_finite(frames, "the video")
    return Video(frames=frames.clamp(0, 1).contiguous(), fps=fps)


def _to_audio(value: Any, pipe: Any) -> Audio:
    samples = _to_tensor(value)
    samples = samples[0] if samples.ndim == 3 else samples
    if samples.ndim == 1:
        samples = samples[None]
    elif samples.shape[0] > 8 and samples.shape[0] > samples.shape[1]:
        samples = samples.T
    _require_finite(samples, "the sound")
    return Audio(samples=samples.clamp(-1, 1).contiguous(), sample_rate=_sample_rate(pipe))


def _sample_rate(pipe: Any) -> int:
    """Ask the parts of a pipeline that may know at which rate its sound is."""
    places = (
        ("vae", "sampling_rate"),
        ("vocoder", "sampling_rate"),
        ("vocoder", "output_sampling_rate"),
        ("unet", "sample_rate"),
        ("audio_vae", "sample_rate"),
    )
    for part, name in places:
        module = getattr(pipe, part, None)
        for holder in (module, getattr(module, "config", None)):
            rate = getattr(holder, name, None)
            if isinstance(rate, int) and rate > 0:
                return rate
    return _SAMPLE_RATE
