"""graphflow's own node pack: the node functions of its modules, by topic. Importing it imports no torch.

A new node is a function with ``@node`` in the module of its topic, named in that module's ``__all__``.
"""

# ruff: noqa: F403

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.node import is_node

from .conditioning import *
from .conditioning_sdxl import *
from .constants import *
from .control import *
from .custom_sampling import *
from .family_conditioning import *
from .family_loaders import *
from .family_ltxv import *
from .family_sigmas import *
from .family_sound import *
from .family_video import *
from .family_wan import *
from .guidance import *
from .image_files import *
from .images import *
from .images_alpha import *
from .images_batch import *
from .images_color import *
from .images_filter import *
from .images_mix import *
from .images_shape import *
from .inpainting import *
from .ip_adapter import *
from .latent_files import *
from .latents import *
from .latents_batch import *
from .latents_mix import *
from .latents_shape import *
from .lists import *
from .loaders import *
from .lora import *
from .masked_content import *
from .masks import *
from .masks_edit import *
from .merging import *
from .model_hooks import *
from .model_sampling import *
from .model_saving import *
from .numbers import *
from .pipelines import *
from .preprocessing import *
from .safety import *
from .samplers import *
from .sampling import *
from .saving import *
from .showing import *
from .sigmas import *
from .sizes import *
from .sound import *
from .switches import *
from .text import *
from .text_regex import *
from .text_tools import *
from .upscaling import *
from .vae import *
from .video import *
from .video_files import *
from .video_latents import *

NODES: list[Callable[..., Any]] = [value for value in [*globals().values()] if is_node(value)]
"""The functions that the registry finds the pack's node types in."""
