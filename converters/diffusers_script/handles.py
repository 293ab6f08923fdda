"""What travels between emitters of latents and pictures: not values, but how the script will get them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .conditionings import Conditioning
from .models import Hook, ModelPart


@dataclass(frozen=True)
class EmptyLatent:
    """Latents of zeros; sizes are expressions in pixels, ``mask`` and ``places`` are as in :class:`Latents`.

    ``frames`` is the expression of their number, for models of several; empty where there is no axis of them. ``edge`` is how
    many pixels a sample was said to stand for.
    """

    width: str
    height: str
    batch: str
    channels: str
    node: str
    mask: str = ""
    places: str = ""
    frames: str = ""
    edge: int = 8


@dataclass(frozen=True)
class Latents:
    """Latents in a variable, scaled as the model of ``base`` reads them.

    Attributes:
        variable: The variable.
        scaled_for: The part whose scale they have; None where they are as autoencoders make them.
        mask: Variable of a noise mask, or empty.
        carries: Class of the scheduler in whose scale leftover noise is in them; empty where there is none, or as in a loop.
        places: Expression of the place of each item in the batch whose noise it takes; empty where it is its own.
    """

    variable: str
    scaled_for: ModelPart | None = None
    mask: str = ""
    places: str = ""
    carries: str = ""


@dataclass(frozen=True)
class Noise:
    """Random numbers: seed, whether the latent gets some, whether a batch is one draw, and where steps start."""

    seed: str
    add: bool
    batch: bool
    steps: str


@dataclass(frozen=True)
class Solver:
    """A sampler: its function and the options that it gets."""

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Levels:
    """Noise levels in a variable."""

    variable: str


@dataclass(frozen=True)
class Sampling:
    """Sampling that is not written yet: whoever reads it decides whether it ends in latents or in pictures.

    Attributes:
        node: The node's id.
        model: The model.
        positive: What to follow.
        negative: What to avoid.
        latent: Where to start.
        values: The node's literals.
        shared: Whether several nodes read it.
        single: Whether it surely makes but one picture.
        channels: What an inpainting or editing UNet reads beside noisy latents, (B, 5 or 4, h, w): a variable, or where
            it is given no picture the expression of a blank; or empty.
        guider: The formula of guidance where it is not the usual one.
        others: The further conditionings that it compares with, by name.
    """

    node: str
    model: ModelPart
    positive: Conditioning
    negative: Conditioning | None
    latent: Any
    values: dict[str, Any] = field(hash=False)
    shared: bool = False
    single: bool = False
    channels: str = ""
    guider: Hook | None = None
    others: tuple[tuple[str, Conditioning], ...] = ()

    @property
    def sides(self) -> list[Conditioning]:
        """What to follow, what to avoid where there is something, and what guidance compares with beside."""
        return [self.positive, *([self.negative] if self.negative else []), *dict(self.others).values()]

    @property
    def nodes(self) -> list[str]:
        """The nodes that it stands for."""
        start = [self.latent.node] if isinstance(self.latent, EmptyLatent) else []
        return [*(entry.node for side in self.sides for entry in side.entries), *start, self.node]


@dataclass(frozen=True)
class Decoding:
    """Pictures of a sampling that is not written yet.

    Attributes:
        sampling: The sampling.
        vae: The autoencoder.
        node: The decoder's id.
        checked: The node that checks them, or empty.
        shared: Whether several nodes read them.
    """

    sampling: Sampling
    vae: ModelPart
    node: str
    checked: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Pixels:
    """Pictures in a variable: a tensor (B, C, H, W) in [0, 1]; ``flags`` names the checker's verdicts."""

    variable: str
    flags: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures of 8 bits, as a pipeline gives them.

    Attributes:
        expression: Their expression.
        flags: The expression of the checker's verdicts, or empty.
        checker: The checker that the pipeline has.
    """

    expression: str
    flags: str
    checker: ModelPart


@dataclass(frozen=True)
class Frames:
    """A video: pictures in a variable as in :class:`Pixels`, and the expression of how many are shown a second."""

    variable: str
    fps: str


@dataclass(frozen=True)
class Masks:
    """Masks in a variable: a tensor (B, H, W) in [0, 1]."""

    variable: str


@dataclass(frozen=True)
class Upscaler:
    """A network that makes pictures larger, in a variable."""

    variable: str


@dataclass(frozen=True)
class Scalar:
    """A number or text that the script computes."""

    expression: str


@dataclass(frozen=True)
class Sequence:
    """One handle for each element of a sequence."""

    items: tuple[Any, ...]
