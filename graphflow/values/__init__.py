"""What travels on links. Importing this module registers every value type of the engine.

Values are frozen: a node never writes to what it receives. Tensors are float32 on the CPU unless a field says
otherwise. Weight patches and runtime hooks are values too, since recipes hold them.
"""

from __future__ import annotations

# Imported for what they register.
from graphflow.values import control_hooks as _control_hooks  # noqa: F401
from graphflow.values import image_prompts as _image_prompts  # noqa: F401
from graphflow.values import network_hooks as _network_hooks  # noqa: F401
from graphflow.values import patches as _weight_patches  # noqa: F401
from graphflow.values import sampling_hooks as _sampling_hooks  # noqa: F401
from graphflow.values.conditioning import Area, Conditioning, ConditioningEntry, Control, ScheduledWeights
from graphflow.values.files import EncodedFile, Files
from graphflow.values.media import Audio, Faces, Image, Latent, Mask, Segment, Segments, Video
from graphflow.values.models import (
    ControlNet,
    EmbeddingPatch,
    ImageEncoder,
    IPAdapter,
    LoraPatch,
    Model,
    ModelFile,
    NetworkExtension,
    Recipe,
    SafetyChecker,
    StyleModel,
    TextEncoder,
    UpscaleModel,
    Vae,
    VisionModel,
)
from graphflow.values.sampling import Guider, Noise, Sampler, Sigmas

__all__ = [
    "Area",
    "Audio",
    "Conditioning",
    "ConditioningEntry",
    "Control",
    "ControlNet",
    "EmbeddingPatch",
    "EncodedFile",
    "Faces",
    "Files",
    "Guider",
    "IPAdapter",
    "Image",
    "ImageEncoder",
    "Latent",
    "LoraPatch",
    "Mask",
    "Model",
    "ModelFile",
    "NetworkExtension",
    "Noise",
    "Recipe",
    "SafetyChecker",
    "Sampler",
    "ScheduledWeights",
    "Segment",
    "Segments",
    "Sigmas",
    "StyleModel",
    "TextEncoder",
    "UpscaleModel",
    "Vae",
    "Video",
    "VisionModel",
]
