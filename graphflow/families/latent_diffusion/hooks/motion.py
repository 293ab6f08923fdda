"""Motion modules: attention over time between the layers of a UNet (AnimateDiff, Guo et al. 2023, arXiv:2307.04725)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.unet import UNetModel
from graphflow.values import ConditioningEntry, Control
from graphflow.values.network_hooks import MotionModules

Windows = tuple[slice, ...]


@contextmanager
def moving(loaded: UNetModel, network: Any, hook: MotionModules) -> Iterator[None]:
    """Have a batch of latents be the frames of one video until the block ends.

    Args:
        loaded: What `Model.use()` gives.
        network: A Diffusers `MotionAdapter`.
        hook: How.

    Raises:
        InvalidInputError: The motion modules are for another UNet.
    """
    frames = _Frames(loaded, hook, int(network.config.motion_max_seq_length))
    handles = [layer.register_forward_hook(frames.behind(motion)) for layer, motion in _places(loaded.module, network)]
    loaded.predict, loaded.spans_batch = frames.predict, True  # type: ignore[method-assign]  # of this object alone
    try:
        yield
    finally:
        del loaded.predict, loaded.spans_batch
        for handle in handles:
            handle.remove()


def _places(unet: Any, network: Any) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The layers of a UNet, each with the motion module behind it."""
    pairs = [*zip(unet.down_blocks, network.down_blocks, strict=False)]
    pairs += zip(unet.up_blocks, network.up_blocks, strict=False)
    if network.mid_block is not None:
        pairs.append((unet.mid_block, network.mid_block))
    widths = list(unet.config.block_out_channels)
    fits = widths == list(network.config.block_out_channels)
    for block, beside in pairs:
        layers = getattr(block, "attentions", None) or block.resnets
        if not fits or len(layers) != len(beside.motion_modules):
            raise InvalidInputError(
                f"the motion modules are for a UNet of the widths {list(network.config.block_out_channels)}, the model's"
                f" are {widths}",
                where="motion_module",
                advice="use motion modules that were made for the checkpoint's family",
            )
        yield from zip(layers, beside.motion_modules, strict=True)


@dataclass(eq=False)
class _Frames:
    """Evaluates videos, long ones in windows that overlap."""

    loaded: UNetModel
    hook: MotionModules
    most: int
    _count: int = 1
    _cut: dict[tuple[int, int], tuple[Control, Control]] = field(default_factory=dict)

    def behind(self, motion: nn.Module) -> Any:
        """A forward hook that runs a motion module on what a layer gives."""

        def run(layer: nn.Module, given: Any, output: Any) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            moved = motion(states, num_frames=self._count)
            moved = moved if self.hook.strength == 1.0 else states + self.hook.strength * (moved - states)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return run

    @inference
    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor | None = None,
        variation: str | None = None,
    ) -> Tensor:
        """The UNet's output for the frames of n entries; see :class:`graphflow.sampling.network.Denoiser`.

        Raises:
            InvalidInputError: There are more frames than the motion modules know positions for.
        """
        count = len(x) // len(entries)
        windows = _windows(count, self.hook.window, self.hook.overlap)
        longest = max(window.stop - window.start for window in windows)
        if longest > self.most:
            raise InvalidInputError(
                f"there are {longest} frames at once, and the motion modules were trained with at most {self.most}",
                where="window",
                advice=f"make fewer frames, or set window to 16 of {count}",
            )
        video, times = (tensor.unflatten(0, (len(entries), count)) for tensor in (x, timestep))
        total = torch.zeros_like(video)
        seen = torch.zeros(count, device=x.device)
        for window in windows:
            self._count = window.stop - window.start
            told = entries if len(windows) == 1 else [self._told(entry, window, count) for entry in entries]
            found = UNetModel.predict(
                self.loaded,
                video[:, window].flatten(0, 1),
                times[:, window].flatten(0, 1),
                told,
                sigma=sigma,
                variation=variation,
            )
            weight = _pyramid(self._count, x.device)
            total[:, window] += found.unflatten(0, (len(entries), self._count)) * weight[:, None, None, None]
            seen[window] += weight
        return (total / seen[:, None, None, None]).flatten(0, 1)

    def _told(self, entry: ConditioningEntry, window: slice, count: int) -> ConditioningEntry:
        """An entry for some frames: what it says frame by frame is cut."""

        def cut(value: Any) -> Any:
            return value[window] if isinstance(value, Tensor) and len(value) == count else value

        def control(whole: Control) -> Control:
            known = self._cut.get((id(whole), window.start))
            if known is None:  # the same object each time: what networks read is kept by it
                known = self._cut[id(whole), window.start] = (whole, replace(whole, hint=cut(whole.hint)))
            return known[1]

        return replace(
            entry,
            embedding=cut(entry.embedding),
            pooled=cut(entry.pooled),
            controls=tuple(map(control, entry.controls)),
            extras={name: cut(value) for name, value in entry.extras.items()},
        )


def _windows(count: int, length: int, overlap: int) -> Windows:
    """Windows of a length at even distances, the last one moved back so that it ends with the frames."""
    if not length or count <= length:
        return (slice(0, count),)
    step = max(1, length - overlap)
    starts = [*range(0, count - length, step), count - length]
    return tuple(slice(start, start + length) for start in starts)


def _pyramid(length: int, device: torch.device) -> Tensor:
    """Weights of a window's frames, least at its ends (after FreeNoise, Qiu et al. 2023, arXiv:2310.15169)."""
    rising = torch.arange(1, length + 1, device=device, dtype=torch.float32)
    return torch.minimum(rising, rising.flip(0))
