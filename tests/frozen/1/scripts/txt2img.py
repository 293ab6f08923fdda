"""Text to image.

Make a picture from a prompt.

Fixed in this script: sampler, schedule.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

MODEL = "/opt/site/graphflow/assets/shapes"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = torch.float16 if DEVICE == "cuda" else torch.float32


def make_generators(seed, count):
    """One generator for each picture of a batch; the first has the seed itself."""
    texts = [f"graphflow noise {seed} {index}".encode() for index in range(1, count)]
    seeds = [int.from_bytes(sha256(text).digest()[:8], "little") for text in texts]
    return [torch.Generator("cpu").manual_seed(item) for item in [seed, *seeds]]


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option(
        "--prompt",
        default="a red circle on a blue background",
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
    option("--width", type=int, default=128, help="pixels, a multiple of 8")
    option("--height", type=int, default=128, help="pixels, a multiple of 8")
    option("--batch-size", type=int, default=1, help="how many pictures")
    option("--model", default=MODEL, help="the checkpoint")
    option("--offload", action="store_true", help="keep idle parts in main memory")
    option("--out", type=Path, default=Path("out"), help="folder to write to")
    args = parser.parse_args()

    # positive, negative, latent, sample, decode, save~safety
    pipe = StableDiffusionPipeline.from_pretrained(args.model, dtype=DTYPE)
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
        width=args.width,
        height=args.height,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance_scale,
        num_images_per_prompt=args.batch_size,
        generator=make_generators(args.seed, args.batch_size),
    )

    # save
    args.out.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(result.images):
        if result.nsfw_content_detected[number]:
            print(f"picture {number} is withheld: the safety checker flagged it")
        else:
            picture.save(args.out / f"txt2img-{number}.png")


if __name__ == "__main__":
    main()
