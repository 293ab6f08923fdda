"""ControlNet.

Draw what the prompt says along the outlines of a picture.

Fixed in this script: sampler, schedule, method.
"""

import argparse
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as functional
from controlnet_aux import CannyDetector
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionControlNetPipeline,
)
from PIL import Image, ImageOps

IMAGE = "/opt/run/1/documents/packaged/pictures/red_circle.png"
CONTROL_NET = "/opt/site/graphflow/assets/controlnet/shapes-edges"
MODEL = "/opt/site/graphflow/assets/shapes"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = torch.float16 if DEVICE == "cuda" else torch.float32
ZERO_SNR_ALPHA_BAR = 4.8973451890853435e-08


def fit_hint(image, size):
    """The picture of a ControlNet at a size (height, width), cut to its proportions."""
    height, width = image.shape[-2:]
    left = max(0, round((width - height * size[1] / size[0]) / 2))
    top = max(0, round((height - width * size[0] / size[1]) / 2))
    image = image[:, :3, top : height - top, left : width - left]
    return torch.nn.functional.interpolate(image, size=size, mode="nearest-exact")


def training_sigmas(config):
    """Noise levels of the training timesteps, ascending, in double precision."""
    steps, low, high = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.trained_betas is not None:
        betas = torch.tensor(config.trained_betas, dtype=torch.float64)
    elif config.beta_schedule == "scaled_linear":
        betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2
    else:
        betas = torch.linspace(low, high, steps, dtype=torch.float64)
    alphas = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr"):
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        alphas[-1] = ZERO_SNR_ALPHA_BAR
    return ((1 - alphas) / alphas).sqrt()


def share_of_steps(scheduler, total, steps, share):
    """The share of the last steps of a schedule that lie in a share of the training time."""
    if share in (0, 1):
        return float(share)
    scheduler.set_timesteps(total)
    levels = training_sigmas(scheduler.config).log()
    sigmas = scheduler.sigmas[total - steps : -1].log()
    times = np.interp(sigmas, levels, range(len(levels)))
    return float((times > (1 - share) * (len(levels) - 1)).mean())


def load_image(path, keep_alpha=False):
    """Read a picture as a tensor (1, 3 or 4, H, W) in [0, 1], and its transparency."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    array = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    pixels = torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()
    keep = pixels if keep_alpha and has_alpha else pixels[:, :3]
    return keep, 1 - pixels[:, 3]


def load_pixels(path):
    """Read a picture as a tensor (1, 3, H, W) in [0, 1]."""
    return load_image(path)[0]


def wanted_size(size, width=0, height=0, scale=1.0, max_edge=0):
    """The size (height, width) that one edge, a factor or the longest edge asks for."""
    old_height, old_width = size
    if width or height:
        wide = width or old_width * height / old_height
        tall = height or old_height * width / old_width
    else:
        wide, tall = old_width * scale, old_height * scale
    if max_edge and max(wide, tall) > max_edge:
        longest = max(wide, tall)
        wide, tall = wide * max_edge / longest, tall * max_edge / longest
    return max(1, round(tall)), max(1, round(wide))


def crop_to_shape(tensor, size):
    """Cut (…, H, W) equally on two sides so that it has the shape of size (height, width)."""
    height, width = tensor.shape[-2:]
    wanted = size[1] / size[0]
    x = y = 0
    if width / height > wanted:
        x = min(round((width - height * wanted) / 2), (width - 1) // 2)
    else:
        y = min(round((height - width / wanted) / 2), (height - 1) // 2)
    return tensor[..., y : height - y, x : width - x]


def resampling_lanczos(tensor, size):
    """Resample with a Lanczos kernel of three lobes, channel by channel in float32."""
    planes = tensor.float().reshape(-1, *tensor.shape[-2:]).cpu().numpy()
    resized = [
        np.asarray(
            PIL.Image.fromarray(plane).resize(
                (size[1], size[0]), PIL.Image.Resampling.LANCZOS
            )
        )
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized)).reshape(*tensor.shape[:-2], *size)


def resize_to(images, size, method, crop=False, antialias=False):
    """Resample pictures or latents to a size (height, width)."""
    images = crop_to_shape(images, size) if crop else images
    if tuple(images.shape[-2:]) == size:
        return images
    if method == "lanczos":
        return resampling_lanczos(images, size)
    mode = "nearest-exact" if method == "nearest" else method
    return torch.nn.functional.interpolate(
        images, size=size, mode=mode, antialias=antialias
    )


def to_pil(images, truncate=False):
    """Pictures with 8 bits, as files have them."""
    pixels = images.float().clamp(0, 1) * 255
    pixels = (pixels if truncate else pixels.round()).to(torch.uint8)
    return [Image.fromarray(item.permute(1, 2, 0).cpu().numpy()) for item in pixels]


def annotate(detector, images, resolution, pick=None, **options):
    """Draw what a ControlNet reads, one picture after the other."""
    drawn = []
    for image in images[:, :3]:
        picture = np.asarray(to_pil(image[None])[0])
        options |= {"detect_resolution": resolution, "output_type": "np"}
        found = detector(np.ascontiguousarray(picture), **options)
        found = found if pick is None else found[pick]
        found = torch.from_numpy(np.ascontiguousarray(found)).float() / 255
        flat = found.ndim == 2
        found = found.expand(1, 3, -1, -1) if flat else found.permute(2, 0, 1)[None]
        size = image.shape[-2:]
        if found.shape[-2:] != size:
            interpolate = torch.nn.functional.interpolate
            found = interpolate(found, size=size, mode="bilinear", antialias=True)
        drawn.append(found[0, :3].clamp(0, 1))
    return torch.stack(drawn)


def image_size(images):
    """Tell how large pictures are, as numbers that other nodes take."""
    batch, _, height, width = images.shape
    return (width, height, batch)


def dilate(tensor, height, width):
    """The largest value within a window of (height, width) around each sample; what lies outside does not count."""
    if not tensor.shape[0]:
        return tensor
    top, left = (height // 2, width // 2)
    padded = functional.pad(
        tensor, (left, width - 1 - left, top, height - 1 - top), value=float("-inf")
    )
    return functional.max_pool2d(
        functional.max_pool2d(padded, (1, width), stride=1), (height, 1), stride=1
    )


def erode(tensor, height, width):
    """The smallest value within a window of (height, width) around each sample."""
    return -dilate(-tensor, height, width)


def morphology(images, operation="dilate", size=3):
    """Grey morphology of pictures with a square, channel by channel (Serra 1982)."""
    pixels = images
    match operation:
        case "erode":
            result = erode(pixels, size, size)
        case "dilate":
            result = dilate(pixels, size, size)
        case "open":
            result = dilate(erode(pixels, size, size), size, size)
        case "close":
            result = erode(dilate(pixels, size, size), size, size)
        case "gradient":
            result = dilate(pixels, size, size) - erode(pixels, size, size)
        case "top_hat":
            result = pixels - dilate(erode(pixels, size, size), size, size)
        case "bottom_hat":
            result = erode(dilate(pixels, size, size), size, size) - pixels
    return result.clamp(0, 1)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option("--image", default=IMAGE, help="the picture whose outlines are kept")
    option(
        "--prompt",
        default="a yellow circle on a blue background",
        help="what the picture shows",
    )
    option("--negative-prompt", default="", help="what the picture does not show")
    option("--seed", type=int, default=7, help="what the noise is drawn from")
    option("--steps", type=int, default=8, help="sampling steps")
    option(
        "--guidance-scale",
        type=float,
        default=4.0,
        help="how strongly to follow the prompt",
    )
    option("--model", default=MODEL, help="the checkpoint")
    option(
        "--strength",
        type=float,
        default=1.0,
        help="how strongly the outlines are kept",
    )
    option(
        "--end",
        type=float,
        default=1.0,
        help="share of the sampling after which they are left alone",
    )
    option(
        "--max-edge",
        type=int,
        default=128,
        help="longest edge in pixels that the picture is shrunk to",
    )
    option(
        "--resolution",
        type=int,
        default=128,
        help="pixels of the shorter edge at which outlines are looked for",
    )
    option(
        "--control-net",
        default=CONTROL_NET,
        help="the ControlNet, for such outlines and of the checkpoint's family",
    )
    option("--offload", action="store_true", help="keep idle parts in main memory")
    option("--out", type=Path, default=Path("out"), help="folder to write to")
    args = parser.parse_args()

    # load
    image = load_pixels(args.image)

    # resize
    resize = resize_to(
        image,
        wanted_size(image.shape[-2:], max_edge=args.max_edge),
        "lanczos",
    ).clamp(0, 1)

    # size
    width, height, batch_size = image_size(resize)

    # edges
    detector = CannyDetector()
    edges = annotate(
        detector,
        resize,
        args.resolution,
        image_resolution=args.resolution,
    )

    # thick
    thick = morphology(edges, size=2)

    # positive, negative, empty, sample, decode, save~safety
    control_net = ControlNetModel.from_pretrained(
        args.control_net,
        dtype=DTYPE,
    ).to(DEVICE)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(
        args.model,
        controlnet=control_net,
        dtype=DTYPE,
    )
    if args.offload:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(DEVICE)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config,
        use_karras_sigmas=True,
    )
    result = pipe(
        prompt=args.prompt,
        negative_prompt=args.negative_prompt,
        num_inference_steps=args.steps,
        image=fit_hint(thick, (height, width)),
        controlnet_conditioning_scale=args.strength,
        control_guidance_end=share_of_steps(
            pipe.scheduler,
            args.steps,
            args.steps,
            args.end,
        ),
        guidance_scale=args.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(args.seed),
    )

    # save
    args.out.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(result.images):
        if result.nsfw_content_detected[number]:
            print(f"picture {number} is withheld: the safety checker flagged it")
        else:
            picture.save(args.out / f"controlnet-{number}.png")


if __name__ == "__main__":
    main()
