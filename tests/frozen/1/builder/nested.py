"""two levels."""

from graphflow import Workflow, nodes
from graphflow.refs import Link
from graphflow.workflow import NodeEntry


def make_draw() -> Workflow:
    g = Workflow("draw one")
    model = g.add(nodes.load_checkpoint, model="shapes", id="model")
    positive = g.add(
        nodes.encode_prompt,
        text="a red circle on a blue background",
        text_encoder=model.text_encoder,
        id="positive",
    )
    negative = g.add(
        nodes.encode_prompt,
        text="",
        text_encoder=model.text_encoder,
        id="negative",
    )
    latent = g.add(nodes.empty_latent, width=64, height=64, id="latent")
    sample = g.add(
        nodes.sample,
        seed=3,
        steps=4,
        model=model,
        positive=positive,
        negative=negative,
        latent=latent,
        id="sample",
    )
    decode = g.add(nodes.vae_decode, vae=model.vae, latent=sample, id="decode")
    g.expose("text", "positive.text", default="a green star on a black background")
    g.expose("seed", "sample.seed", default=5)
    g.expose("latent", "sample.latent")
    g.output("image", decode)
    g.output("latent", sample)
    return g


def make_pair_draw() -> Workflow:
    g = Workflow("draw one")
    model = g.add(nodes.load_checkpoint, model="shapes", id="model")
    positive = g.add(
        nodes.encode_prompt,
        text="a red circle on a blue background",
        text_encoder=model.text_encoder,
        id="positive",
    )
    negative = g.add(
        nodes.encode_prompt,
        text="",
        text_encoder=model.text_encoder,
        id="negative",
    )
    latent = g.add(nodes.empty_latent, width=64, height=64, id="latent")
    sample = g.add(
        nodes.sample,
        seed=3,
        steps=4,
        model=model,
        positive=positive,
        negative=negative,
        latent=latent,
        id="sample",
    )
    decode = g.add(nodes.vae_decode, vae=model.vae, latent=sample, id="decode")
    g.expose("text", "positive.text", default="a green star on a black background")
    g.expose("seed", "sample.seed", default=5)
    g.expose("latent", "sample.latent")
    g.output("image", decode)
    g.output("latent", sample)
    return g


def make_pair() -> Workflow:
    g = Workflow("draw and flip")
    g.embed("draw", make_pair_draw())
    g.document.nodes["a"] = NodeEntry(
        type="workflow:draw",
        params={"text": "a yellow square on a gray background"},
    )
    flip = g.add(nodes.flip_image, images=Link("a.image"), id="flip")
    g.expose("text", "a.text", default="a blue heart on a white background")
    g.output("image", flip)
    g.output("latent", Link("a.latent"))
    return g


g = Workflow("two levels")
g.embed("draw", make_draw())
g.embed("pair", make_pair())
g.document.nodes["one"] = NodeEntry(type="workflow:pair")
g.document.nodes["two"] = NodeEntry(
    type="workflow:draw",
    params={"seed": 9},
    links={"latent": "one.latent"},
)
save_one = g.add(
    nodes.save_image,
    filename_prefix="one",
    images=Link("one.image"),
    id="save_one",
)
save_two = g.add(
    nodes.save_image,
    filename_prefix="two",
    images=Link("two.image"),
    id="save_two",
)
g.expose("text", "one.text", default="a red star on a gray background")
