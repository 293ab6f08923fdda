"""Nodes that have pictures show a given person: FaceID and InstantID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import (
    Conditioning,
    ConditioningEntry,
    Faces,
    Image,
    ImageEncoder,
    IPAdapter,
    Mask,
    Model,
    VisionModel,
)
from graphflow.values.image_prompts import ImagePrompt

from ..choices import Pictures, Share
from .control import never_acts
from .ip_adapter import masks_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from graphflow.vision.networks import VisionNetwork

__all__ = ["apply_face_adapter", "draw_face_points", "encode_faces", "find_faces"]

_KIND = "face_network"
FacesLink = Annotated[Faces, Field(description="the faces, one a picture")]
FaceAdapter = Annotated[IPAdapter, Field(description="an IP-Adapter that reads faces: FaceID's kinds, or InstantID's")]


@node("find_faces", lane="device")
def find_faces(
    image: Pictures,
    detector: Annotated[
        str, ModelName(_KIND), Field(min_length=1, description="an ONNX file of SCRFD with points, e.g. det_10g.onnx")
    ],
    recogniser: Annotated[
        str,
        ModelName(_KIND),
        Field(min_length=1, description="an ONNX file of ArcFace, the one that the adapter reads"),
    ],
    threshold: Annotated[Share, Field(description="how sure the detector has to be")] = 0.5,
) -> Faces:
    """Find the largest face of each picture, and tell whose it is.

    No such file comes with graphflow: InsightFace's own (buffalo_l, antelopev2) are free for research alone.

    Raises:
        ModelNotFoundError: There is no such file, or onnxruntime is not installed.
        ModelFormatError: It is none of these networks.
        InvalidInputError: A picture shows no face.
    """
    import torch

    from graphflow.vision import faces

    pixels = image.pixels[:, :3]
    with _used(detector) as network:
        points = [faces.find_faces(network, picture, threshold).largest() for picture in pixels]
    known = [one for one in points if one is not None]
    if len(known) < len(points):
        raise InvalidInputError(
            f"picture {points.index(None) + 1} of {len(points)} shows no face that the detector is sure enough of",
            where="image",
            advice="take a picture that shows the face from the front, or lower the threshold",
        )
    with _used(recogniser) as network:
        seen = [faces.recognise(network, picture, one) for picture, one in zip(pixels, known, strict=True)]
    crops = [faces.upright(picture, one, faces.CROP_EDGE) for picture, one in zip(pixels, known, strict=True)]
    height, width = pixels.shape[-2:]
    return Faces(
        width=width,
        height=height,
        embeddings=torch.stack(seen),
        points=torch.stack(known),
        crops=torch.stack(crops).clamp(0, 1),
    )


@node("draw_face_points")
def draw_face_points(faces: FacesLink) -> Image:
    """Draw eyes, nose and mouth of each face, (n, 3, height, width), as InstantID's ControlNet reads them.

    Wang et al. 2024, arXiv:2401.07519.
    """
    import torch

    from graphflow.pixels.face_points import drawn_points

    return Image(pixels=torch.stack([drawn_points(one, faces.width, faces.height) for one in faces.points]))


class Told(NamedTuple):
    """Faces in place of a text."""

    positive: Annotated[Conditioning, Field(description="the faces")]
    negative: Annotated[Conditioning, Field(description="nobody's face")]


@node("encode_faces", lane="device")
def encode_faces(ip_adapter: FaceAdapter, faces: FacesLink) -> Told:
    """Make tokens of faces, (1, n * T, C), as `set_control_prompt` gives them to InstantID's ControlNet.

    Raises:
        InvalidInputError: The adapter reads no faces, those of another recogniser, or pictures beside them.
    """
    import torch

    features = _features(ip_adapter, faces)
    with ip_adapter.use() as adapter:
        if adapter.network.patch_width:
            raise InvalidInputError(
                f"the IP-Adapter {adapter.name!r} makes tokens of a face and of its looks together",
                where="ip_adapter",
                advice="apply_face_adapter takes it",
            )
        sides = [adapter.tokens(read).flatten(0, 1)[None] for read in (features, torch.zeros_like(features))]
    positive, negative = (Conditioning(entries=(ConditioningEntry(embedding=side),)) for side in sides)
    return Told(positive, negative)


@node("apply_face_adapter", lane="device")
def apply_face_adapter(
    model: Annotated[Model, Field(description="the denoising model")],
    ip_adapter: FaceAdapter,
    faces: FacesLink,
    image_encoder: Annotated[
        ImageEncoder | None, Field(description="CLIP ViT-H, for FaceID Plus, which sees the faces' looks, too")
    ] = None,
    mask: Annotated[
        Mask | None, Field(description="where in the result each face acts; one mask serves all faces")
    ] = None,
    strength: Annotated[float, Field(ge=-1, le=5, description="how strongly; 0 not at all, 1 as trained")] = 1.0,
    start: Annotated[Share, Field(description="share of the sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of the sampling at which it ends")] = 1.0,
    likeness: Annotated[
        float, Field(ge=-1, le=5, description="of FaceID Plus v2: how far the looks count beside the identity")
    ] = 1.0,
) -> Model:
    """Have the model draw a person whose face it is shown, beside the text; several faces act side by side.

    FaceID of Ye et al. 2023, arXiv:2308.06721, and InstantID of Wang et al. 2024, arXiv:2401.07519. A LoRA that belongs to
    the adapter is applied by `apply_lora`.

    Raises:
        InvalidInputError: The adapter reads no faces, those of another recogniser, or needs an image encoder of another
            width; the number of masks fits no faces. When the model is used: the adapter is for another family.
    """
    import torch

    if strength == 0.0 or never_acts(start, end):
        return model
    features = _features(ip_adapter, faces)
    prompt = ImagePrompt(
        adapter=ip_adapter,
        features=features,
        nothing=torch.zeros_like(features[:1]),
        masks=None if mask is None else masks_of(mask.values, len(features)),
        strength=strength,
        start=start,
        end=end,
        patches=_looks(ip_adapter, faces, image_encoder),
        likeness=likeness,
    )
    return model.hooked(prompt)


def _features(ip_adapter: IPAdapter, faces: Faces) -> Tensor:
    """The recogniser's vectors as the adapter reads them."""
    with ip_adapter.use() as adapter:
        network = adapter.network
        if network.reads != "faces":
            raise InvalidInputError(
                f"the IP-Adapter {adapter.name!r} reads pictures, not faces",
                where="ip_adapter",
                advice="apply_ip_adapter takes it",
            )
        found = faces.embeddings
        if found.shape[-1] != network.image_width:
            raise InvalidInputError(
                f"the recogniser makes vectors of width {found.shape[-1]}, the IP-Adapter reads {network.image_width}",
                where="faces",
                advice="FaceID goes with buffalo_l's w600k_r50.onnx, InstantID with antelopev2's glintr100.onnx",
            )
        found = found / found.norm(dim=-1, keepdim=True).clamp(min=1e-12) if network.unit else found
        return found[:, None] if network.takes_rows else found


def _looks(ip_adapter: IPAdapter, faces: Faces, image_encoder: ImageEncoder | None) -> Tensor | None:
    """What an image encoder sees of the faces (n, P, D), for adapters that read it."""
    with ip_adapter.use() as adapter:
        wanted = adapter.network.patch_width
    if not wanted:
        return None
    if image_encoder is None:
        raise InvalidInputError(
            "the IP-Adapter sees the looks of faces, too, and there is no image encoder",
            where="image_encoder",
            advice="link CLIP ViT-H (load_image_encoder)",
        )
    with image_encoder.use() as encoder:
        found: Tensor = encoder.patches(encoder.prepared(faces.crops))
    if found.shape[-1] != wanted:
        raise InvalidInputError(
            f"the image encoder makes vectors of width {found.shape[-1]}, the IP-Adapter reads {wanted}",
            where="image_encoder",
            advice="FaceID Plus goes with CLIP ViT-H",
        )
    return found


def _used(name: str) -> AbstractContextManager[VisionNetwork]:
    models = runtime.current().models
    return VisionModel(files=(models.find(name, _KIND, part=_KIND),)).use()
