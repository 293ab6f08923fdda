"""Hypernetworks: small networks before the keys and values of every attention (as A1111 and NovelAI have them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from graphflow.errors import InvalidInputError, ModelFormatError

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "mish": nn.Mish,
}
KEYS, VALUES = 0, 1


class HypernetworkModule(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The weights of a hypernetwork.

    Args:
        chains: Shapes of weights by number, for each "WIDTH.0" (before the keys) and "WIDTH.1" (before the values).
        activation: Name of the function between layers.
        activate_output: Whether it comes behind the last one, too.

    Raises:
        ModelFormatError: The function is not known.
    """

    def __init__(
        self,
        *,
        chains: Mapping[str, Mapping[str, list[int]]],
        activation: str = "linear",
        activate_output: bool = False,
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ModelFormatError(
                f"the activation {activation!r} is not known", advice=f"known are {', '.join(_ACTIVATIONS)}"
            )
        self.activation = _ACTIVATIONS[activation]()
        self.activate_output = activate_output
        self.chains = nn.ModuleDict(
            {
                name.replace(".", "_"): nn.ModuleDict(
                    {
                        number: nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.LayerNorm(shape[0])
                        for number, shape in sorted(layers.items(), key=lambda item: int(item[0]))
                    }
                )
                for name, layers in chains.items()
            }
        )

    def forward(self, inputs: Tensor, which: int) -> Tensor | None:
        """What is added to the inputs (..., W) of keys or values; None where it has nothing for their width."""
        name = f"{inputs.shape[-1]}_{which}"
        if name not in self.chains:
            return None
        layers = list(self.chains[name].values())
        made = inputs
        for number, layer in enumerate(layers):
            made = layer(made)
            # A norm counts as a layer, so behind the last of these the function is left out only where none follows.
            if isinstance(layer, nn.Linear) and (self.activate_output or number < len(layers) - 1):
                made = self.activation(made)
        return made


@contextmanager
def changing_attention(unet: Any, module: HypernetworkModule, strength: float) -> Iterator[None]:
    """Have a UNet's attentions read changed inputs until the block ends.

    Raises:
        InvalidInputError: It has nothing for the UNet's text.
    """
    wanted = unet.config.cross_attention_dim
    if f"{wanted}_{KEYS}" not in module.chains:
        raise InvalidInputError(
            f"the hypernetwork has no layers for text of width {wanted}, which this model reads",
            where="hypernetwork",
            advice="use one that was made for the checkpoint's family",
        )

    def change(which: int) -> Any:
        def before(layer: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            inputs, *others = arguments
            added = module(inputs, which)
            return None if added is None else (inputs + strength * added, *others)

        return before

    with ExitStack() as hooks:
        for name, layer in unet.named_modules():
            if name.endswith(("attn1", "attn2")):
                for part, which in ((layer.to_k, KEYS), (layer.to_v, VALUES)):
                    hooks.callback(part.register_forward_pre_hook(change(which)).remove)
        yield
