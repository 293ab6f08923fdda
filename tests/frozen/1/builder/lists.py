"""lists."""

from graphflow import Workflow, nodes

g = Workflow("lists")
lines = g.add(
    nodes.text_lines,
    text="a red circle on a blue background\na green star on a black background",
    id="lines",
)
checkpoint = g.add(nodes.load_checkpoint, model="shapes", id="checkpoint")
each = g.add(
    nodes.encode_prompt,
    text_encoder=checkpoint.text_encoder,
    text=lines,
    id="each",
)
negative = g.add(
    nodes.encode_prompt,
    text="",
    text_encoder=checkpoint.text_encoder,
    id="negative",
)
latent = g.add(nodes.empty_latent, width=64, height=64, id="latent")
sample = g.add(
    nodes.sample,
    seed=2,
    steps=4,
    model=checkpoint,
    positive=each,
    negative=negative,
    latent=latent,
    id="sample",
)
decode = g.add(nodes.vae_decode, vae=checkpoint.vae, latent=sample, id="decode")
second = g.add(nodes.image_item, index=1, images=decode, id="second")
together = g.add(nodes.image_list, images=[decode, second], id="together")
save = g.add(nodes.save_image, filename_prefix="lists", images=together, id="save")
length = g.add(nodes.list_length, items=together, id="length")
count = g.add(nodes.show, value=length, id="count")
g.output("texts", lines)
g.output("pictures", together)
