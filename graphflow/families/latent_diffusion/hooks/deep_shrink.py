"""Deep layers on a smaller picture, after Kohya's "deep shrink" (kohya-ss 2023, Gradual Latent / Deep Shrink, Apache-2.0)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.hooks.modules import removing

if TYPE_CHECKING:
    from graphflow.values.network_hooks import DeepShrink, ShrinkMethod

_NEVER_EVEN = 64
"""How often no edge can be halved."""

_RESIDUALS = ("down_block_additional_residuals", "down_intrablock_additional_residuals")


@contextmanager
def deep_shrink(unet: Any, hook: DeepShrink, *, active: bool) -> Iterator[None]:
    """Shrink what flows behind an input block, and grow it where the decoder meets a larger skip connection.

    Args:
        unet: The network.
        hook: What to do.
        active: Whether to do it in this block.

    Raises:
        InvalidInputError: The network has no such block.
    """
    if not active:
        yield
        return
    blocks = list(_input_blocks(unet))
    if not 1 <= hook.block < len(blocks):
        raise InvalidInputError(
            f"the model's input blocks have the numbers 1 to {len(blocks) - 1}, and none is {hook.block}", where="block"
        )
    with ExitStack() as stack:
        stack.enter_context(removing(unet.register_forward_pre_hook(_refuse_controls, with_kwargs=True)))
        stack.enter_context(removing(_shrinking(unet, blocks, hook)))
        for block in unet.up_blocks:
            stack.enter_context(removing(*_growing(block, hook.upscale_method)))
        stack.enter_context(_exact_upsampling(unet))
        yield


def _input_blocks(unet: Any) -> Iterator[tuple[nn.Module, nn.Module]]:
    """First and last module of each input block, numbered as in the original UNet."""
    yield unet.conv_in, unet.conv_in
    for block in unet.down_blocks:
        attentions = getattr(block, "attentions", None) or block.resnets
        yield from zip(block.resnets, attentions, strict=True)
        for downsampler in block.downsamplers or ():
            yield downsampler, downsampler


def _refuse_controls(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if any(kwargs.get(name) is not None for name in _RESIDUALS):
        raise InvalidInputError(
            "deep_shrink changes the sizes inside the model, so no ControlNet or T2I-Adapter fits it at the same time",
            advice="let the other start where deep_shrink ends",
        )


def _shrinking(unet: Any, blocks: list[tuple[nn.Module, nn.Module]], hook: DeepShrink) -> RemovableHandle:
    def smaller(x: Tensor) -> Tensor:
        size = [max(1, round(edge / hook.factor)) for edge in x.shape[-2:]]
        return resized(x, (size[0], size[1]), hook.downscale_method)

    if hook.after_skip:
        following: nn.Module = blocks[hook.block + 1][0] if hook.block + 1 < len(blocks) else unet.mid_block

        def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (smaller(args[0]), *args[1:])

        return following.register_forward_pre_hook(before)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return (smaller(output[0]), *output[1:]) if isinstance(output, tuple) else smaller(output)

    return blocks[hook.block][1].register_forward_hook(after)


@contextmanager
def _exact_upsampling(unet: Any) -> Iterator[None]:
    """Have each block of the decoder double to the size of the next skip connection, though its edges may be odd.

    Diffusers does so for inputs that cannot be halved as often as it has upsamplers, and knows of no other odd edges.
    """
    count = unet.num_upsamplers
    unet.num_upsamplers = _NEVER_EVEN
    try:
        yield
    finally:
        unet.num_upsamplers = count


def _growing(block: Any, method: ShrinkMethod) -> Iterator[RemovableHandle]:
    """Before each residual block of the decoder, bring what it gets to the size of its skip connection."""
    sizes: list[tuple[int, int]] = []

    def enter(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        sizes[:] = [(skip.shape[-2], skip.shape[-1]) for skip in reversed(kwargs["res_hidden_states_tuple"])]
        return args, kwargs | {"hidden_states": resized(kwargs["hidden_states"], sizes[0], method)}

    yield block.register_forward_pre_hook(enter, with_kwargs=True)
    before_each = list(getattr(block, "attentions", None) or block.resnets)[:-1]
    for number, module in enumerate(before_each, start=1):
        yield module.register_forward_hook(_grow_to(sizes, number, method))


def _grow_to(sizes: list[tuple[int, int]], number: int, method: ShrinkMethod) -> Any:
    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (resized(output[0], sizes[number], method), *output[1:])
        return resized(output, sizes[number], method)

    return after


def resized(x: Tensor, size: tuple[int, int], method: ShrinkMethod) -> Tensor:
    """(B, C, h, w) in another size; itself where it has that size."""
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size=size, mode="nearest-exact" if method == "nearest" else method)
