"""Parts of a Diffusers UNet that hooks work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from graphflow import runtime
from graphflow.errors import InvalidInputError


@contextmanager
def removing(*handles: RemovableHandle) -> Iterator[None]:
    """Take PyTorch hooks away when the block ends."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def computing(modules: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Have modules compute a function in place of their own until the block ends."""
    before = [module.__dict__.get("forward") for module in modules]
    try:
        for module in modules:
            module.forward = forward
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            if own is None:
                del module.forward
            else:
                module.forward = own


def self_attentions(unet: Any) -> Iterator[nn.Module]:
    """The self-attention layers of all transformer blocks, in the order of the module."""
    for name, module in unet.named_modules():
        if name.endswith(".attn1"):
            yield module


def middle_self_attentions(unet: Any) -> tuple[nn.Module, ...]:
    """The self-attention layers of the middle; empty where it has none."""
    if unet.mid_block is None:
        return ()
    return tuple(module for name, module in unet.mid_block.named_modules() if name.endswith(".attn1"))


def transformers(unet: Any, names: Sequence[str]) -> Iterator[Any]:
    """The transformers of a UNet whose names begin with one of some names.

    Raises:
        InvalidInputError: No transformer's name begins with one of them.
    """
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    there = {name: module for name, module in unet.named_modules() if isinstance(module, Transformer2DModel)}
    for wanted in names:
        if not any(f"{name}.".startswith(f"{wanted}.") for name in there):
            raise InvalidInputError(
                f"the model has no transformer {wanted!r}",
                where="layers",
                advice=f"it has {', '.join(there) or 'none at all'}",
            )
    for name, module in there.items():
        if any(f"{name}.".startswith(f"{wanted}.") for wanted in names):
            yield module


def tell_if_idle(unet: Any, deepest: int, what: str) -> None:
    """Tell the user where a hook finds no self-attention in the levels that it is for."""
    if not any(getattr(block, "attentions", None) for block in unet.down_blocks[: deepest + 1]):
        runtime.current().notice(
            f"{what} does nothing here: the model has no self-attention in its {deepest + 1} outermost levels"
        )


class LatentSize:
    """Remembers the size of the latent that the UNet computes on, for layers that see tokens only."""

    def __init__(self) -> None:
        self.height = 0
        self.width = 0

    def watch(self, unet: nn.Module) -> RemovableHandle:
        """Note the size whenever the UNet starts."""

        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            sample: Tensor = args[0] if args else kwargs["sample"]
            self.height, self.width = sample.shape[-2:]

        return unet.register_forward_pre_hook(note, with_kwargs=True)

    def level(self, tokens: int, deepest: int) -> tuple[int, int, int] | None:
        """The level of the UNet that has this many tokens: (number, height, width); None beyond the deepest asked for."""
        height, width = self.height, self.width
        for number in range(deepest + 1):
            if height * width == tokens:
                return number, height, width
            height, width = -(-height // 2), -(-width // 2)
        return None


def around_self_attention(
    attention: nn.Module, enter: Callable[[Tensor], tuple[Tensor, Callable[[Tensor], Tensor]] | None]
) -> tuple[RemovableHandle, RemovableHandle]:
    """Change the tokens that a self-attention layer sees, and change what it makes back.

    Args:
        attention: The layer.
        enter: From tokens (B, T, C) to changed ones and the way back; None leaves this call as it is.
    """
    back: list[Callable[[Tensor], Tensor] | None] = []

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        found = None if kwargs.get("encoder_hidden_states") is not None else enter(args[0])
        back.append(None if found is None else found[1])
        return None if found is None else ((found[0], *args[1:]), kwargs)

    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        way = back.pop()
        return output if way is None else way(output)

    return (
        attention.register_forward_pre_hook(before, with_kwargs=True),
        attention.register_forward_hook(after),
    )
