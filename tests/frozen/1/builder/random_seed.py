"""random seeds."""

from graphflow import Workflow, nodes

g = Workflow("random seeds")
checkpoint = g.add(nodes.load_checkpoint, model="shapes", id="checkpoint")
positive = g.add(
    nodes.encode_prompt,
    text="a red circle on a blue background",
    text_encoder=checkpoint.text_encoder,
    id="positive",
)
latent = g.add(nodes.empty_latent, width=64, height=64, id="latent")
one = g.add(
    nodes.sample,
    seed="random",
    steps=2,
    guidance_scale=1.0,
    model=checkpoint,
    positive=positive,
    latent=latent,
    id="one",
)
two = g.add(
    nodes.sample,
    seed=4,
    steps=2,
    strength=0.5,
    guidance_scale=1.0,
    model=checkpoint,
    positive=positive,
    latent=one,
    id="two",
)
decode = g.add(nodes.vae_decode, vae=checkpoint.vae, latent=two, id="decode")
save = g.add(nodes.save_image, filename_prefix="random", images=decode, id="save")
g.expose("seed", "two.seed", description="drawn for each run", default="random")
