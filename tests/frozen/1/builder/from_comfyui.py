"""graph."""

from graphflow import Workflow, nodes

g = Workflow("graph")
node_1 = g.add(nodes.load_checkpoint, model="shapes", id="1")
g.document.nodes["1"].meta = {
    "comfyui": {"ids": ["1"], "type": "CheckpointLoaderSimple"},
}
node_4 = g.add(
    nodes.empty_latent,
    channels=4,
    downscale=8,
    width=128,
    height=128,
    batch_size=1,
    id="4",
)
g.document.nodes["4"].meta = {"comfyui": {"ids": ["4"], "type": "EmptyLatentImage"}}
node_2 = g.add(
    nodes.encode_prompt,
    text="a yellow star on a blue background",
    text_encoder=node_1.text_encoder,
    id="2",
)
g.document.nodes["2"].meta = {"comfyui": {"ids": ["2"], "type": "CLIPTextEncode"}}
node_3 = g.add(nodes.encode_prompt, text="", text_encoder=node_1.text_encoder, id="3")
g.document.nodes["3"].meta = {"comfyui": {"ids": ["3"], "type": "CLIPTextEncode"}}
node_5 = g.add(
    nodes.sample,
    noise_layout="batch",
    seed=5,
    steps=20,
    guidance_scale=4.0,
    sampler="dpmpp_2m",
    schedule="karras",
    strength=1.0,
    model=node_1,
    positive=node_2,
    negative=node_3,
    latent=node_4,
    id="5",
)
g.document.nodes["5"].meta = {"comfyui": {"ids": ["5"], "type": "KSampler"}}
node_6 = g.add(nodes.vae_decode, latent=node_5, vae=node_1.vae, id="6")
g.document.nodes["6"].meta = {"comfyui": {"ids": ["6"], "type": "VAEDecode"}}
node_7 = g.add(
    nodes.save_image,
    rounding="truncate",
    filename_prefix="txt2img",
    images=node_6,
    id="7",
)
g.document.nodes["7"].meta = {"comfyui": {"ids": ["7"], "type": "SaveImage"}}
for entry in g.document.nodes.values():
    entry.version = None
g.expose("prompt", "2.text")
g.expose("negative_prompt", "3.text")
g.expose("width", "4.width")
g.expose("height", "4.height")
g.expose("seed", "5.seed")
g.document.meta = {
    "comfyui": {
        "prompt": {
            "1": {
                "class_type": "CheckpointLoaderSimple",
                "inputs": {"ckpt_name": "shapes"},
                "_meta": {"title": "CheckpointLoaderSimple"},
            },
            "4": {
                "class_type": "EmptyLatentImage",
                "inputs": {"width": 128, "height": 128, "batch_size": 1},
                "_meta": {"title": "EmptyLatentImage"},
            },
            "2": {
                "class_type": "CLIPTextEncode",
                "inputs": {
                    "text": "a yellow star on a blue background",
                    "clip": ["1", 1],
                },
                "_meta": {"title": "CLIPTextEncode"},
            },
            "3": {
                "class_type": "CLIPTextEncode",
                "inputs": {"text": "", "clip": ["1", 1]},
                "_meta": {"title": "CLIPTextEncode"},
            },
            "5": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": 5,
                    "steps": 20,
                    "cfg": 4.0,
                    "sampler_name": "dpmpp_2m",
                    "scheduler": "karras",
                    "denoise": 1.0,
                    "model": ["1", 0],
                    "positive": ["2", 0],
                    "negative": ["3", 0],
                    "latent_image": ["4", 0],
                },
                "_meta": {"title": "KSampler"},
            },
            "6": {
                "class_type": "VAEDecode",
                "inputs": {"samples": ["5", 0], "vae": ["1", 2]},
                "_meta": {"title": "VAEDecode"},
            },
            "7": {
                "class_type": "SaveImage",
                "inputs": {"filename_prefix": "txt2img", "images": ["6", 0]},
                "_meta": {"title": "SaveImage"},
            },
        },
        "values": {
            "1.model": ["1", "ckpt_name"],
            "4.width": ["4", "width"],
            "4.height": ["4", "height"],
            "4.batch_size": ["4", "batch_size"],
            "2.text": ["2", "text"],
            "3.text": ["3", "text"],
            "5.seed": ["5", "seed"],
            "5.steps": ["5", "steps"],
            "5.guidance_scale": ["5", "cfg"],
            "5.sampler": ["5", "sampler_name"],
            "5.schedule": ["5", "scheduler"],
            "5.strength": ["5", "denoise"],
        },
        "rest": "7ea0bb8b52ed3e83c7d41159e42598da35c4dbb0c2653e8af18cd9bc55fdc6a9",
    },
}
