"""ControlNet."""

from graphflow import Workflow, nodes
from graphflow.refs import Link

g = Workflow(
    "ControlNet",
    description="Draw what the prompt says along the outlines of a picture.",
)
load = g.add(nodes.load_image, file="pictures/red_circle.png", id="load")
resize = g.add(
    nodes.resize,
    method="lanczos",
    max_edge=128,
    images=Link("load.image"),
    id="resize",
)
size = g.add(nodes.image_size, images=resize, id="size")
edges = g.add(
    nodes.preprocess,
    method="canny",
    resolution=128,
    image=resize,
    id="edges",
)
thick = g.add(nodes.morphology, operation="dilate", size=2, images=edges, id="thick")
control_net = g.add(
    nodes.load_control_net,
    control_net="shapes-edges",
    id="control_net",
)
checkpoint = g.add(nodes.load_checkpoint, model="shapes", id="checkpoint")
positive = g.add(
    nodes.encode_prompt,
    text="a yellow circle on a blue background",
    text_encoder=checkpoint.text_encoder,
    id="positive",
)
negative = g.add(
    nodes.encode_prompt,
    text="",
    text_encoder=checkpoint.text_encoder,
    id="negative",
)
control = g.add(
    nodes.apply_control_net,
    strength=1.0,
    end=1.0,
    positive=positive,
    negative=negative,
    control_net=control_net,
    image=thick,
    id="control",
)
empty = g.add(
    nodes.empty_latent,
    width=Link("size.width"),
    height=size.height,
    id="empty",
)
sample = g.add(
    nodes.sample,
    seed=7,
    steps=20,
    guidance_scale=4.0,
    sampler="dpmpp_2m",
    schedule="karras",
    model=Link("checkpoint.model"),
    positive=Link("control.positive"),
    negative=control.negative,
    latent=empty,
    id="sample",
)
decode = g.add(nodes.vae_decode, vae=checkpoint.vae, latent=sample, id="decode")
save = g.add(nodes.save_image, filename_prefix="controlnet", images=decode, id="save")
for entry in g.document.nodes.values():
    entry.version = None
g.expose(
    "image",
    "load.file",
    description="the picture whose outlines are kept: a path, or a name in the workflow's or the input folder",
    default="pictures/red_circle.png",
)
g.expose(
    "prompt",
    "positive.text",
    description="what the picture shows",
    default="a yellow circle on a blue background",
)
g.expose(
    "negative_prompt",
    "negative.text",
    description="what the picture does not show",
    default="",
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
    description="how strongly to follow the prompt; 1 leaves the negative prompt out",
    default=4.0,
)
g.expose(
    "sampler",
    "sample.sampler",
    description="the solver, e.g. euler, dpmpp_2m, uni_pc",
    default="dpmpp_2m",
)
g.expose(
    "schedule",
    "sample.schedule",
    description="the noise levels that it visits, e.g. karras, normal, sgm_uniform",
    default="karras",
)
g.expose(
    "model",
    "checkpoint.model",
    description="the checkpoint: a name in a model folder, a Diffusers folder, a Hub id, or 'shapes', which comes with graphflow",
    default="shapes",
)
g.expose(
    "strength",
    "control.strength",
    description="how strongly the outlines are kept; 0 not at all",
    default=1.0,
)
g.expose(
    "end",
    "control.end",
    description="share of the sampling after which they are left alone",
    default=1.0,
)
g.expose(
    "max_edge",
    "resize.max_edge",
    description="longest edge in pixels that the picture is shrunk to; models have a size that they were made for",
    default=128,
)
g.expose(
    "method",
    "edges.method",
    description="how the outlines are drawn, as the ControlNet has learned them: canny, hed, lineart, openpose, depth_midas, …",
    default="canny",
)
g.expose(
    "resolution",
    "edges.resolution",
    description="pixels of the shorter edge at which outlines are looked for",
    default=128,
)
g.expose(
    "control_net",
    "control_net.control_net",
    description="the ControlNet, for such outlines and of the checkpoint's family",
    default="shapes-edges",
)
g.output("images", decode)
