"""How hooks come onto a UNet or ControlNet in use. Importing this module registers them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.hooks.deep_shrink import deep_shrink
from graphflow.families.latent_diffusion.hooks.freeu import freeu
from graphflow.families.latent_diffusion.hooks.hypertile import hypertile
from graphflow.families.latent_diffusion.hooks.modules import transformers
from graphflow.families.latent_diffusion.hooks.motion import moving
from graphflow.families.latent_diffusion.hooks.self_attention import (
    AttentionMap,
    AwayFromBlurred,
    without_layers,
    without_middle_attention,
)
from graphflow.families.latent_diffusion.hooks.tokens import merge_tokens
from graphflow.families.latent_diffusion.hypernetwork import changing_attention
from graphflow.families.latent_diffusion.ip_adapter import PicturePrompt, PicturePrompts
from graphflow.families.latent_diffusion.unet import UNetModel
from graphflow.loading.hooks import attach
from graphflow.sampling.guidance import AwayFromVariation
from graphflow.sampling.prediction import ModelSampling
from graphflow.values.control_hooks import UnionType
from graphflow.values.image_prompts import ImagePrompt
from graphflow.values.network_hooks import (
    DeepShrink,
    FreeU,
    Hypernetwork,
    HyperTile,
    MergeTokens,
    MotionModules,
    PerturbedAttention,
    SelfAttentionGuidance,
    SkipLayers,
)


@attach.register
def _(hook: FreeU, loaded: UNetModel) -> AbstractContextManager[None]:
    return freeu(loaded.module, hook)


@attach.register
def _(hook: PerturbedAttention, loaded: UNetModel) -> AbstractContextManager[None]:
    loaded.variations["perturbed_attention"] = without_middle_attention
    loaded.guidance.append(AwayFromVariation(variation="perturbed_attention", scale=hook.scale))
    return nullcontext()


@attach.register
def _(hook: SkipLayers, loaded: UNetModel) -> AbstractContextManager[None]:
    list(transformers(loaded.module, hook.layers))  # says now what would be said after the first step
    name = f"without {', '.join(hook.layers)}"
    loaded.variations[name] = without_layers(hook.layers)
    loaded.guidance.append(
        AwayFromVariation(variation=name, scale=hook.scale, start=hook.start, end=hook.end, rescale=hook.rescale)
    )
    return nullcontext()


@attach.register
def _(hook: SelfAttentionGuidance, loaded: UNetModel) -> AbstractContextManager[None]:
    seen = AttentionMap()
    loaded.states.append(seen)
    loaded.variations["self_attention_map"] = seen.watching
    loaded.guidance.append(
        AwayFromBlurred(seen, variation="self_attention_map", scale=hook.scale, blur_sigma=hook.blur_sigma)
    )
    return nullcontext()


@attach.register
def _(hook: DeepShrink, loaded: UNetModel) -> AbstractContextManager[None]:
    sampling = loaded.model_sampling
    high, low = sampling.percent_to_sigma(hook.start), sampling.percent_to_sigma(hook.end)
    loaded.around.append(lambda sigma: deep_shrink(loaded.module, hook, active=low <= sigma <= high))
    return nullcontext()


@attach.register
def _(hook: HyperTile, loaded: UNetModel) -> AbstractContextManager[None]:
    return hypertile(loaded.module, hook, _draws(loaded))


@attach.register
def _(hook: MergeTokens, loaded: UNetModel) -> AbstractContextManager[None]:
    return merge_tokens(loaded.module, hook.ratio, _draws(loaded))


def _draws(loaded: UNetModel) -> torch.Generator:
    """Return a generator that every use of the network begins anew."""
    generator = torch.Generator().manual_seed(0)
    loaded.states.append(generator)
    return generator


@attach.register
@contextmanager
def _(hook: Hypernetwork, loaded: UNetModel) -> Iterator[None]:
    with hook.network.use() as network, changing_attention(loaded.module, network, hook.strength):
        yield


@attach.register
@contextmanager
def _(hook: MotionModules, loaded: UNetModel) -> Iterator[None]:
    if hook.linear:
        prediction = loaded.model_sampling.prediction
        distilled = prediction == "lcm"
        levels = ModelSampling.stable_diffusion("epsilon" if distilled else prediction, linear=True)
        loaded.model_sampling = levels.distilled() if distilled else levels
    with hook.network.use() as network, moving(loaded, network, hook):
        yield


@attach.register
def _(hook: UnionType, loaded: Any) -> AbstractContextManager[None]:
    kinds: Mapping[str, int] = getattr(loaded, "kinds", {})
    if not kinds:
        runtime.current().notice(f"the ControlNet takes no type; set_union_control_type ({hook.type}) changes nothing")
        return nullcontext()
    if hook.type not in kinds:
        raise InvalidInputError(
            f"the union ControlNet knows no pictures of the type {hook.type}",
            where="type",
            advice=f"it knows {', '.join(kinds)}",
        )
    loaded.union_type = kinds[hook.type]
    return nullcontext()


@attach.register
@contextmanager
def _(hook: ImagePrompt, loaded: UNetModel) -> Iterator[None]:
    with attending(hook, loaded, loaded.picture_prompts):
        yield


@contextmanager
def attending(hook: ImagePrompt, loaded: Any, prompts: PicturePrompts) -> Iterator[None]:
    """Have a network attend to a hook's pictures until the block ends.

    Args:
        hook: The hook.
        loaded: What `Model.use()` gives.
        prompts: All pictures that it attends to.

    Raises:
        InvalidInputError: The adapter is for another family, or the family's layers of style and layout are not known.
    """
    sampling = loaded.model_sampling
    with hook.adapter.use() as adapter:
        prompt = PicturePrompt(
            adapter=adapter,
            tokens=adapter.tokens(hook.features, hook.patches, hook.likeness),
            nothing=adapter.tokens(
                hook.nothing.expand_as(hook.features),
                None if hook.patches is None else torch.zeros_like(hook.patches),
                hook.likeness,
            ),
            masks=hook.masks,
            strength=hook.strength,
            high=sampling.percent_to_sigma(hook.start),
            low=sampling.percent_to_sigma(hook.end),
            part=hook.part,
        )
        with prompts.adding(prompt, loaded.module):
            yield
