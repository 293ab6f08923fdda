"""graphflow's own node pack: the node functions of its modules, by topic. Importing it imports no torch.

A new node is a function with ``@node`` in the module of its topic, named in that module's ``__all__``.
"""

# ruff: noqa: F403

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.spec.decorator import is_node

from .conditioning.boxes import *
from .conditioning.extras import *
from .conditioning.image_prompts import *
from .conditioning.prompts import *
from .conditioning.regions import *
from .conditioning.sdxl import *
from .conditioning.weights import *
from .images.alpha import *
from .images.basic import *
from .images.batch import *
from .images.color import *
from .images.files import *
from .images.filter import *
from .images.mix import *
from .images.preprocessing import *
from .images.shape import *
from .images.upscaling import *
from .latents.batch import *
from .latents.cascade import *
from .latents.empty import *
from .latents.enlarging import *
from .latents.files import *
from .latents.inpainting import *
from .latents.masked_content import *
from .latents.mix import *
from .latents.shape import *
from .latents.vae import *
from .latents.video import *
from .masks.edit import *
from .masks.make import *
from .models.control import *
from .models.hooks import *
from .models.hypernetwork import *
from .models.ip_adapter import *
from .models.loaders import *
from .models.lora import *
from .models.merging import *
from .models.motion import *
from .models.saving import *
from .models.style import *
from .output.safety import *
from .output.saving import *
from .output.showing import *
from .pipelines.nodes import *
from .plain.constants import *
from .plain.lists import *
from .plain.numbers import *
from .plain.regex import *
from .plain.sizes import *
from .plain.switches import *
from .plain.text import *
from .plain.writing import *
from .sampling.custom import *
from .sampling.flow_sigmas import *
from .sampling.guidance import *
from .sampling.parameterisation import *
from .sampling.sample import *
from .sampling.samplers import *
from .sampling.sigmas import *
from .segments.change import *
from .segments.find import *
from .segments.redraw import *
from .video.files import *
from .video.sound import *
from .video.svd import *
from .video.video import *
from .waiting.conditioning import *
from .waiting.loaders import *
from .waiting.ltxv import *
from .waiting.sound import *
from .waiting.video import *
from .waiting.views import *
from .waiting.wan import *

NODES: list[Callable[..., Any]] = [value for value in [*globals().values()] if is_node(value)]
"""The functions that the registry finds the pack's node types in."""
