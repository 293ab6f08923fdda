"""What sampling nodes put on a model: changes of guidance, noise levels and masks. Knows nothing of torch.

A hook is a value in ``Model.hooks``; what each does is in :mod:`graphflow.loading.hooks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from graphflow.values.conditioning import Conditioning
from graphflow.values.types import value_type


@value_type("guidance_hook")
@dataclass(frozen=True, kw_only=True)
class GuidanceHook:
    """A change of guidance.

    Attributes:
        method: A name in ``graphflow.sampling.modifiers.MODIFIERS``.
        options: Its options.
    """

    method: str
    options: Mapping[str, float | str] = field(default_factory=dict)


@value_type("perp_neg_hook")
@dataclass(frozen=True, kw_only=True)
class PerpNegHook:
    """Perp-Neg in place of a sampler's own guidance.

    Attributes:
        empty: The empty prompt.
        negative_scale: Weight of the negative direction.
    """

    empty: Conditioning
    negative_scale: float


@value_type("prediction_hook")
@dataclass(frozen=True, kw_only=True)
class PredictionHook:
    """Another meaning of the network's output, on the noise levels of Stable Diffusion.

    Attributes:
        prediction: See ``graphflow.sampling.prediction.Prediction``.
        zero_snr: Rescale the levels to a zero terminal signal-to-noise ratio.
    """

    prediction: Literal["epsilon", "v_prediction", "sample", "img_to_img", "lcm"]
    zero_snr: bool = False


@value_type("continuous_hook")
@dataclass(frozen=True, kw_only=True)
class ContinuousHook:
    """Noise levels of a model trained on a whole range of them.

    Attributes:
        prediction: See ``graphflow.sampling.prediction.Prediction``; Playground v2.5 is EDM with latents of its own.
        sigma_min: Lowest level.
        sigma_max: Highest level.
        time: How the network is told the level, see ``graphflow.sampling.prediction.Time``.
    """

    prediction: Literal["epsilon", "v_prediction", "edm", "edm_playground_v2.5", "cosmos_rflow"]
    sigma_min: float
    sigma_max: float
    time: Literal["log", "angle"] = "log"


@value_type("cosine_hook")
@dataclass(frozen=True, kw_only=True)
class CosineHook:
    """The noise levels of a cosine schedule, shifted.

    Attributes:
        shift: Factor on them.
    """

    shift: float


@value_type("flow_hook")
@dataclass(frozen=True, kw_only=True)
class FlowHook:
    """Rectified flow with a time shift.

    Attributes:
        shift: The shift; 1 is none.
        levels: Noise levels of the table from which the simple schedules choose.
        timestep_scale: The network's timestep at t = 1; None leaves it as the model has it, or 1000.
    """

    shift: float
    levels: int = 1000
    timestep_scale: float | None = None


@value_type("differential_hook")
@dataclass(frozen=True, kw_only=True)
class DifferentialHook:
    """Differential diffusion: grey values of a noise mask say from which share of sampling on a place may change.

    Attributes:
        strength: Share of it against the plain mask.
    """

    strength: float = 1.0
