"""prompt schedule."""

from graphflow import Workflow, nodes

g = Workflow(
    "prompt schedule",
    description="One prompt leads the first part of sampling, another the rest: the first sets the scene, the second what is in it.",
)
checkpoint = g.add(nodes.load_checkpoint, model="shapes", id="checkpoint")
first = g.add(
    nodes.encode_prompt,
    text="a red circle on a blue background",
    text_encoder=checkpoint.text_encoder,
    id="first",
)
first_part = g.add(
    nodes.set_conditioning_range,
    start=0.0,
    end=0.1,
    conditioning=first,
    id="first_part",
)
second = g.add(
    nodes.encode_prompt,
    text="a yellow circle on a blue background",
    text_encoder=checkpoint.text_encoder,
    id="second",
)
second_part = g.add(
    nodes.set_conditioning_range,
    start=0.1,
    end=1.0,
    conditioning=second,
    id="second_part",
)
positive = g.add(
    nodes.combine_conditioning,
    conditioning=[first_part, second_part],
    id="positive",
)
negative = g.add(
    nodes.encode_prompt,
    text="",
    text_encoder=checkpoint.text_encoder,
    id="negative",
)
latent = g.add(nodes.empty_latent, width=128, height=128, id="latent")
sample = g.add(
    nodes.sample,
    seed=7,
    steps=20,
    guidance_scale=4.0,
    sampler="dpmpp_2m",
    schedule="karras",
    model=checkpoint,
    positive=positive,
    negative=negative,
    latent=latent,
    id="sample",
)
decode = g.add(nodes.vae_decode, vae=checkpoint.vae, latent=sample, id="decode")
save = g.add(
    nodes.save_image,
    filename_prefix="prompt_schedule",
    images=decode,
    id="save",
)
g.expose(
    "first_prompt",
    "first.text",
    description="what the first part of sampling follows",
    default="a red circle on a blue background",
)
g.expose(
    "second_prompt",
    "second.text",
    description="what the rest follows",
    default="a yellow circle on a blue background",
)
g.expose(
    "switch_at",
    "first_part.end",
    "second_part.start",
    description="share of sampling after which the second prompt takes over",
    default=0.1,
)
g.expose(
    "seed",
    "sample.seed",
    description='what the noise is drawn from: a number, or "random"',
    default=7,
)
g.expose("steps", "sample.steps", description="sampling steps", default=20)
g.expose(
    "guidance_scale",
    "sample.guidance_scale",
    description="how strongly to follow the prompts",
    default=4.0,
)
g.expose("width", "latent.width", description="pixels, a multiple of 8", default=128)
g.expose("height", "latent.height", description="pixels, a multiple of 8", default=128)
g.expose(
    "model",
    "checkpoint.model",
    description="the checkpoint: a name in a model folder, a Diffusers folder, a Hub id, or 'shapes', which comes with graphflow",
    default="shapes",
)
g.output("images", decode)
