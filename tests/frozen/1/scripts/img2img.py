"""Image to image.

Change a picture towards a prompt; strength says how much of it may change.

Fixed in this script: sampler, schedule.
"""

import argparse
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image, ImageOps

IMAGE = "/opt/run/1/documents/packaged/pictures/red_circle.png"
MODEL = "/opt/site/graphflow/assets/shapes"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = torch.float16 if DEVICE == "cuda" else torch.float32


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


def encode_image(vae, images):
    """Encode pictures to latents, each at the mode of its distribution."""
    edges = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = images.shape[-2:]
    top, left = height % edges // 2, width % edges // 2
    bottom, right = top + height // edges * edges, left + width // edges * edges
    images = images[:, :3, top:bottom, left:right] * 2 - 1
    images = images.to(vae.device, vae.dtype)
    latents = [vae.encode(image).latent_dist.mode() for image in images.split(1)]
    return torch.cat(latents).float() * vae.config.scaling_factor


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


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option("--image", default=IMAGE, help="the picture to change")
    option(
        "--prompt",
        default="a green circle on a blue background",
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
    option("--strength", type=float, default=0.7, help="how much to change")
    option(
        "--max-edge",
        type=int,
        default=128,
        help="longest edge in pixels that the picture is shrunk to",
    )
    option("--model", default=MODEL, help="the checkpoint")
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

    # encode
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(args.model, dtype=DTYPE)
    if args.offload:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(DEVICE)
    latents = encode_image(pipe.vae, resize)

    # positive, negative, sample, decode, save~safety
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config,
        use_karras_sigmas=True,
    )
    total_steps = int(args.steps / args.strength)
    result = pipe(
        prompt=args.prompt,
        negative_prompt=args.negative_prompt,
        image=latents,
        num_inference_steps=total_steps,
        strength=min((args.steps + 0.5) / total_steps, 1.0),
        guidance_scale=args.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(args.seed),
    )

    # save
    args.out.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(result.images):
        if result.nsfw_content_detected[number]:
            print(f"picture {number} is withheld: the safety checker flagged it")
        else:
            picture.save(args.out / f"img2img-{number}.png")


if __name__ == "__main__":
    main()
