"""Pictures and latents."""
# mypy: ignore-errors

from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, ImageSequence
from safetensors.torch import load_file, save_file

from graphflow.pixels.alpha import appearances
from graphflow.pixels.resampling import (
    crop_to_shape,
    resize_bicubic,
    resize_bilinear,
)


def read_picture(path, keyed=False):
    """Read a picture as a tensor (1, 4, H, W) in [0, 1]; the last channel is alpha."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # of a cut file, what is there
    with Image.open(path) as file:
        return to_channels(file, keyed)


def read_frames(path):
    """Read all pictures of a file that have the first one's size."""
    with Image.open(path) as file:
        frames = [to_channels(frame) for frame in ImageSequence.Iterator(file)]
    return torch.cat([frame for frame in frames if frame.shape == frames[0].shape])


def to_channels(picture, keyed=False):
    """A picture upright; ``keyed``: a colour that it declares transparent is, without a palette, too."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode != "P" and not keyed:
        picture.info.pop("transparency", None)
    array = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()


def without_unused_alpha(path, picture):
    """A picture with alpha only where its file has it."""
    with Image.open(path) as file:
        has_alpha = "A" in file.getbands() or (
            file.mode == "P" and "transparency" in file.info
        )
    return picture if has_alpha else picture[:, :3]


def encode_image(vae, images):
    """Encode pictures to latents in the model's scale."""
    return encode_raw(vae, images) * vae.config.scaling_factor


def encode_raw(vae, images):
    """Encode pictures to latents, each at the mode of its distribution."""
    edge = 2 ** (len(vae.config.block_out_channels) - 1)
    images = whole_samples(images[:, :3], edge)
    images = images.to(vae.device, vae.dtype)
    latents = [vae.encode(image).latent_dist.mode() for image in images.split(1)]
    return torch.cat(latents).float()


def encode_frame(vae, images):
    """The same by an autoencoder for videos, of which each picture is one frame."""
    if 4 in (vae.config.get("input_channels"), vae.config.get("in_channels")):
        opaque = torch.ones_like(images[:, : 4 - images.shape[1]])
        images = torch.cat([images, opaque], dim=1)
    else:
        images = images[:, :3]
    images = whole_samples(images, 2 ** (len(vae.config.dim_mult) - 1))[:, :, None]
    images = images.to(vae.device, vae.dtype)
    latents = [vae.encode(image).latent_dist.mode() for image in images.split(1)]
    return torch.cat(latents).float()[:, :, 0]


def encode_patches(vae, images):
    """The same by FLUX.2's autoencoder, whose latents are patches, less their mean and deviation."""
    patch = vae.config.patch_size[0]
    edge = 2 ** (len(vae.config.block_out_channels) - 1) * patch
    images = whole_samples(images[:, :3], edge).to(vae.device, vae.dtype)
    latents = [vae.encode(image).latent_dist.mode() for image in images.split(1)]
    patches = torch.nn.functional.pixel_unshuffle(torch.cat(latents), patch).float()
    mean, deviation = patch_statistics(vae, patches)
    return (patches - mean) / deviation


def patch_statistics(vae, like):
    """Mean and deviation by channel."""
    mean, variance = vae.bn.running_mean, vae.bn.running_var
    shape = 1, -1, 1, 1
    deviation = (variance.to(like) + vae.bn.eps).sqrt()
    return mean.to(like).reshape(shape), deviation.reshape(shape)


def encode_stage_a(vae, images):
    """The same by Stable Cascade's stage A, in which pictures are in [0, 1], too."""
    images = cut_evenly(images[:, :3], 4).to(vae.device, vae.dtype)
    return torch.cat([vae.encode(image).latents for image in images.split(1)]).float()


def encode_stage_c(vae, images):
    """The same for Stable Cascade's stage C."""
    if vae.encoder is None:
        raise SystemExit("its file decodes latents for previews only")
    images = cut_evenly(images[:, :3], 32).to(vae.device, vae.dtype)
    return torch.cat([vae.encoder(image) for image in images.split(1)]).float()


def encode_resized(vae, images, compression=42):
    """The same of pictures as large as its encoder wants them."""
    size = [edge // compression * 32 for edge in images.shape[-2:]]
    return encode_stage_c(vae, resize_bicubic(crop_to_shape(images[:, :3], size), size))


def whole_samples(images, edge):
    """Pictures in [-1, 1], cut evenly to whole latent samples."""
    return cut_evenly(images, edge) * 2 - 1


def cut_evenly(images, edge):
    """Pictures without what does not fill a whole latent sample."""
    height, width = images.shape[-2:]
    top, left = height % edge // 2, width % edge // 2
    bottom, right = top + height // edge * edge, left + width // edge * edge
    return images[..., top:bottom, left:right]


def decode_latents(vae, latents):
    """Decode latents in the model's scale to pictures (B, 3, H, W) in [0, 1]."""
    return decode_raw(vae, latents / vae.config.scaling_factor)


def decode_raw(vae, latents):
    """Decode latents as the autoencoder makes them to pictures in [0, 1]."""
    latents = latents.to(vae.device, vae.dtype)
    images = [vae.decode(item).sample for item in latents.split(1)]
    return (torch.cat(images).float().cpu() / 2 + 0.5).clamp(0, 1)


def decode_patches(vae, latents):
    """The same by FLUX.2's autoencoder."""
    latents = latents.to(vae.device).float()
    mean, deviation = patch_statistics(vae, latents)
    patch = vae.config.patch_size[0]
    patches = torch.nn.functional.pixel_shuffle(latents * deviation + mean, patch)
    return decode_raw(vae, patches)


def decode_frame(vae, latents):
    """The same by an autoencoder for videos, of which each picture is one frame."""
    latents = latents.to(vae.device, vae.dtype)[:, :, None]
    images = [vae.decode(item).sample[:, :, 0] for item in latents.split(1)]
    return (torch.cat(images).float().cpu() / 2 + 0.5).clamp(0, 1)


def decode_stage_a(vae, latents):
    """The same by Stable Cascade's stage A, which keeps to the range by itself."""
    latents = latents.to(vae.device, vae.dtype)
    images = [vae.decode(item).sample for item in latents.split(1)]
    return torch.cat(images).float().cpu()


def decode_stage_c(vae, latents):
    """Previews of stage C's latents."""
    if vae.previewer is None:
        raise SystemExit(
            "its file encodes pictures only: stage B draws stage C's latents"
        )
    latents = latents.to(vae.device, vae.dtype)
    images = [vae.previewer(item) for item in latents.split(1)]
    return torch.cat(images).float().cpu().clamp(0, 1)


def decode_together(vae, latents):
    """The same by an autoencoder that looks at all frames at once."""
    latents = latents.to(vae.device, vae.dtype)
    images = vae.decode(latents, num_frames=len(latents)).sample
    return (images.float().cpu() / 2 + 0.5).clamp(0, 1)


def save_frames(pictures, path, fps, **options):
    """Save pictures as a moving one; what each is shown adds up to its length."""
    ends = [round(1000 * number / fps) for number in range(len(pictures) + 1)]
    shown = [max(1, end - start) for start, end in pairwise(ends)]
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, duration=shown, **options)


def to_pil(images):
    """Pictures with 8 bits, as files have them."""
    pixels = (images.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(item.permute(1, 2, 0).cpu().numpy()) for item in pixels]


def to_pil_truncated(images):
    """The same, cut down instead of rounded."""
    pixels = (images.float().clamp(0, 1) * 255).to(torch.uint8)
    return [Image.fromarray(item.permute(1, 2, 0).cpu().numpy()) for item in pixels]


def to_tensor(images):
    """Pictures of 8 bits as a tensor (B, 3, H, W) in [0, 1]."""
    arrays = [np.asarray(image.convert("RGB"), dtype=np.float32) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255


def check_safety(pipe, images):
    """Whether the safety checker flags anything that each picture shows."""
    verdicts = []
    for seen in appearances(images):
        features = pipe.feature_extractor(to_pil(seen), return_tensors="pt").to(
            pipe.device
        )
        _, flags = pipe.safety_checker(
            images=np.zeros((len(seen), 1, 1, 3), dtype=np.float32),
            clip_input=features.pixel_values.to(pipe.dtype),
        )
        verdicts.append(flags)
    return [any(each) for each in zip(*verdicts, strict=True)]


def round_weights(module, dtype):
    """Round weights to what their file can hold, as if a LoRA had been merged there."""
    for weight in module.parameters():
        weight.data = weight.data.to(dtype).to(weight.dtype)


def annotate(detector, images, resolution, **options):
    """Draw what a ControlNet reads, one picture after the other."""
    options |= {"detect_resolution": resolution, "output_type": "np"}
    drawn = []
    for image in images[:, :3]:
        pixels = (image.permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8)
        found = detector(np.ascontiguousarray(pixels.cpu().numpy()), **options)
        found = torch.from_numpy(np.ascontiguousarray(found)).float() / 255
        found = found.reshape(*found.shape[:2], -1)[..., :3].permute(2, 0, 1)
        found = found.expand(1, 3, -1, -1)
        drawn.append(resize_bilinear(found, image.shape[-2:], antialias=True))
    return torch.cat(drawn).clamp(0, 1)


def load_latents(path):
    """Latents of a ``.latent`` file, as an autoencoder makes them."""
    tensors = load_file(path)
    scale = 1.0 if "latent_format_version_0" in tensors else 0.18215
    return tensors["latent_tensor"].float() / scale


def save_latents(latents, path):
    """Save latents as the autoencoder makes them, in the format of ``.latent`` files."""
    raw = latents.float().cpu().contiguous()
    tensors = {"latent_tensor": raw, "latent_format_version_0": torch.tensor([])}
    save_file(tensors, path)
