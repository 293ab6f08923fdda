"""built in Python."""

from graphflow import Workflow, nodes

g = Workflow(
    "built in Python",
    description="Inputs with a default of their own, or none.",
)
checkpoint = g.add(
    nodes.load_checkpoint,
    model="shapes",
    id="checkpoint",
    title="Modell «Formen»",
    note="comes with graphflow",
)
negative = g.add(
    nodes.encode_prompt,
    text="",
    text_encoder=checkpoint.text_encoder,
    id="negative",
)
positive = g.add(
    nodes.encode_prompt,
    text="written in the node",
    text_encoder=checkpoint.text_encoder,
    id="positive",
)
latent = g.add(nodes.empty_latent, width=64, height=64, id="latent")
sample = g.add(
    nodes.sample,
    seed=1,
    steps=3,
    guidance_scale=2.5,
    model=checkpoint,
    positive=positive,
    negative=negative,
    latent=latent,
    id="sample",
)
decode = g.add(nodes.vae_decode, vae=checkpoint.vae, latent=sample, id="decode")
save = g.add(nodes.save_image, filename_prefix="built", images=decode, id="save")
g.expose(
    "prompt",
    "positive.text",
    description="what the picture shows",
    default="a red circle on a blue background",
)
g.expose("seed", "sample.seed", default=11)
g.expose("steps", "sample.steps", description="left to the node")
g.expose("edge", "latent.width", "latent.height", default=128)
g.expose("guidance", "sample.guidance_scale")
g.expose("prefix", "save.filename_prefix", default="out of the default")
g.output("picture", decode)
