"""LoRA stack.

Make a picture with two LoRAs on the model and its text encoder.

Fixed in this script: sampler, schedule, lora, second_lora.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

MODEL = "/opt/site/graphflow/assets/shapes"
LORA = Path("/opt/site/graphflow/assets/loras/shapes-outline.safetensors")
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
    option(
        "--strength",
        type=float,
        default=0.6,
        help="how much the first LoRA changes",
    )
    option(
        "--second-strength",
        type=float,
        default=0.4,
        help="how much the second LoRA changes",
    )
    option("--offload", action="store_true", help="keep idle parts in main memory")
    option("--out", type=Path, default=Path("out"), help="folder to write to")
    args = parser.parse_args()

    # positive, negative, latent, sample, decode, save~safety
    pipe = StableDiffusionPipeline.from_pretrained(args.model, dtype=DTYPE)
    if args.offload:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(DEVICE)
    pipe.load_lora_weights(LORA.parent, weight_name=LORA.name, adapter_name="lora_1")
    pipe.load_lora_weights(LORA.parent, weight_name=LORA.name, adapter_name="lora_2")
    pipe.set_adapters(["lora_1", "lora_2"], [args.strength, args.second_strength])
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
            picture.save(args.out / f"lora_stack-{number}.png")


if __name__ == "__main__":
    main()
