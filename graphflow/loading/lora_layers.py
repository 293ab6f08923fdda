"""What one layer of a LoRA file or of one of its relatives does to a weight.

Low-rank adaptation: Hu et al. 2021, arXiv:2106.09685. LoHa (Hadamard product): Hyeon-Woo et al. 2021,
arXiv:2108.06098. LoKr (Kronecker product): Edalati et al. 2022, arXiv:2212.10650. Both as LyCORIS writes them, Yeh et
al. 2023, arXiv:2309.14859. DoRA (weight decomposition): Liu et al. 2024, arXiv:2402.09353.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import changed
from graphflow.modelfiles.family import Change

Delta = Callable[[Mapping[str, Tensor], float | None], Tensor]
"""From the tensors of a layer, float32, and its alpha to the update at strength 1."""

ADVICE = "use a LoRA of the model's own family"


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """The update of one weight.

    Attributes:
        name: As in the file.
        method: How the tensors make the update; a key of `METHODS`.
        tensors: By role, as in the file.
        alpha: Scale as in the file; None where it has none.
        magnitude: DoRA's length of each row (out, …) or column (1, in, …) of the changed weight, or None.
        leaf: Which tensor of the module it changes: `weight` or `bias`.
        taken: What of the update is for this module, in a file that has several modules in one.
    """

    name: str
    method: str
    tensors: Mapping[str, Tensor]
    alpha: float | None = None
    magnitude: Tensor | None = None
    leaf: str = "weight"
    taken: Change = ""

    def taking(self, change: Change) -> Layer:
        """The same layer, of whose update this is taken."""
        return replace(self, taken=change) if change else self

    def delta(self, device: torch.device) -> Tensor:
        """The update at strength 1, float32; its shape is the weight's up to trailing ones and flattening."""
        here = {role: tensor.to(device, torch.float32) for role, tensor in self.tensors.items()}
        return changed(METHODS[self.method](here, self.alpha), self.taken)

    def apply(self, weight: Tensor, strength: float, where: str) -> Tensor:
        """The changed weight.

        Args:
            weight: float32.
            strength: 0 changes nothing, 1 is what was trained.
            where: The file, for errors.

        Raises:
            ModelFormatError: The layer is for a weight of another shape.
        """
        if (product := self._plain_product(weight)) is not None:
            up, down, scale = product
            # Not addmm, which sums in another order: the rounding of a text encoder's half weights would show it.
            return torch.mm(up, down).mul_(strength * scale).reshape(weight.shape).add_(weight)
        try:
            delta = self.delta(weight.device)
        except RuntimeError as error:
            raise ModelFormatError(
                f"the matrices of its layer {self.name} do not fit each other: {error}", where=where
            ) from error
        if delta.numel() != weight.numel():
            raise ModelFormatError(
                f"its layer {self.name} has the shape {list(delta.shape)}, the model's {list(weight.shape)}",
                where=where,
                advice=ADVICE,
            )
        delta = delta.reshape(weight.shape)
        if self.magnitude is None:
            return weight + strength * delta
        return weight + strength * (self._decomposed(weight + delta, self.magnitude, where) - weight)

    def _plain_product(self, weight: Tensor) -> tuple[Tensor, Tensor, float] | None:
        """Two matrices and a factor whose product is the whole update; None where it is more, or does not fit."""
        if self.method != "LoRA" or "mid" in self.tensors or self.magnitude is not None or weight.ndim < 2:
            return None
        up, down = (self.tensors[role].flatten(1).to(weight.device, torch.float32) for role in ("up", "down"))
        up = changed(up, self.taken)
        fits = up.shape[1] == down.shape[0] and (up.shape[0], down.shape[1]) == weight.flatten(1).shape
        return (up, down, _scale(self.alpha, len(down))) if fits else None

    def _decomposed(self, weight: Tensor, magnitude: Tensor, where: str) -> Tensor:
        """The weight with the lengths that DoRA learned, of its rows (out, 1, …) or of its columns (1, in, …)."""
        lengths = magnitude.to(weight.device, torch.float32)
        if self.taken and lengths.ndim > 1 and len(lengths) == 1:
            raise ModelFormatError(
                f"its layer {self.name} holds lengths of columns (DoRA) for several layers of the model at once",
                where=where,
                advice="use a file in the layout of Diffusers, which has a layer for each",
            )
        lengths = changed(lengths, self.taken)
        shown = weight.flatten(2) if weight.ndim > 2 else weight[..., None]
        if len(lengths) == len(weight):
            norm = torch.linalg.vector_norm(shown, dim=(1, 2))[:, None]
        elif lengths.ndim > 1 and lengths.shape[1] == weight.shape[1]:
            norm = torch.linalg.vector_norm(shown, dim=(0, 2))[None]
        else:
            raise ModelFormatError(
                f"its layer {self.name} has lengths of the shape {list(lengths.shape)}, the model's weight"
                f" {list(weight.shape)}",
                where=where,
                advice=ADVICE,
            )
        factor = lengths.reshape(norm.shape) / norm
        return weight * factor.reshape(*norm.shape, *(1,) * (weight.ndim - 2))


def _lora(tensors: Mapping[str, Tensor], alpha: float | None) -> Tensor:
    down, up = tensors["down"], tensors["up"]
    scale = _scale(alpha, len(down))
    if "mid" in tensors:
        return scale * torch.einsum("or,rskl,si->oikl", up.flatten(1), tensors["mid"], down.flatten(1))
    product = up.flatten(1) @ down.flatten(1)
    return scale * product.reshape(len(up), *down.shape[1:])


def _loha(tensors: Mapping[str, Tensor], alpha: float | None) -> Tensor:
    halves = [_product(tensors[f"w{n}_a"], tensors[f"w{n}_b"], tensors.get(f"t{n}")) for n in (1, 2)]
    return _scale(alpha, len(tensors["w1_b"])) * halves[0] * halves[1]


def _lokr(tensors: Mapping[str, Tensor], alpha: float | None) -> Tensor:
    factors, rank = [], None
    for n in (1, 2):
        if f"w{n}" in tensors:
            factors.append(tensors[f"w{n}"])
        else:
            rank = len(tensors[f"w{n}_b"])
            factors.append(_product(tensors[f"w{n}_a"], tensors[f"w{n}_b"], tensors.get(f"t{n}")))
    first, second = factors
    first = first.reshape(*first.shape, *(1,) * (second.ndim - first.ndim))
    # Where neither factor is a product there is no rank, and alpha says nothing.
    return torch.kron(first, second) * (1.0 if rank is None else _scale(alpha, rank))


def _difference(tensors: Mapping[str, Tensor], alpha: float | None) -> Tensor:
    return tensors["difference"]


def _product(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    """A matrix product, or for a convolution with a Tucker core t: sum over i, j of a[i, o] t[i, j, k, l] b[j, c]."""
    return a @ b if core is None else torch.einsum("ijkl,io,jc->ockl", core, a, b)


def _scale(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


METHODS: Mapping[str, Delta] = {"LoRA": _lora, "LoHa": _loha, "LoKr": _lokr, "full difference": _difference}
"""The methods whose updates can be merged."""
