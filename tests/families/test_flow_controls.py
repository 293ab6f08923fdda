"""ControlNets of transformers on a flow, of random weights, against the same modules called as Diffusers' pipelines do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from graphflow import nodes
from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.loading.manager import ModelManager
from graphflow.values import Conditioning, ConditioningEntry, ControlNet, Image, Mask
from tests.families.controls import random, seeded
from tests.families.lab import lab
from tests.families.recorded_flows import arrays, cases, make_session, write_models
from tests.families.recorded_models import write_model
from tests.models.tiny_manager import error, make_manager, running

pytestmark = pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning")  # of Diffusers' own class
PIXELS = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(7))
HOLE = torch.zeros(1, 64, 96)
HOLE[:, 16:40, 8:32] = 1
X, TIME = random(2, 16, 8, 12), torch.tensor([0.6, 0.6])
TEXT, POOLED = random(1, 5, 24), random(1, 12, seed=8)
SIZES = {"attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": 24}
FLUX = {**SIZES, "pooled_projection_dim": 12, "guidance_embeds": True, "axes_dims_rope": [4, 14, 14]}
BOUND = 1e-5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("ae_tiny", "wan_vae"):
        write_model(name, folder)
    return folder


@pytest.fixture
def manager(root: Path) -> Iterator[ModelManager]:
    made = make_manager(root)
    with running(made):
        yield made


def flux() -> Any:
    from diffusers import FluxTransformer2DModel

    return seeded(FluxTransformer2DModel(**FLUX, in_channels=64, num_layers=3, num_single_layers=2))


def flux_control(**config: Any) -> Any:
    from diffusers import FluxControlNetModel

    return seeded(FluxControlNetModel(**{**FLUX, "num_layers": 2, "num_single_layers": 1} | config), 9)


SD3 = {"attention_head_dim": 64, "num_attention_heads": 1, "pooled_projection_dim": 12, "caption_projection_dim": 64}


def sd3() -> Any:
    from diffusers import SD3Transformer2DModel

    return seeded(SD3Transformer2DModel(**SD3, joint_attention_dim=24, num_layers=5, pos_embed_max_size=16))


def sd3_control(**config: Any) -> Any:
    from diffusers import SD3ControlNetModel

    told = {**SD3, "joint_attention_dim": 24, "num_layers": 3, "pos_embed_max_size": 16, **config}
    return seeded(SD3ControlNetModel(**told), 9)


def stability(folder: Path, name: str) -> Any:
    """A ControlNet as Stability AI publishes them, under a name."""
    made = sd3_control(joint_attention_dim=None, use_pos_embed=False, force_zeros_for_pooled_projection=False)
    weights = made.state_dict()
    for key in [key for key in weights if ".attn.to_q." in key]:
        parts = [weights.pop(key.replace("to_q", f"to_{letter}")) for letter in "qkv"]
        weights[key.replace("to_q", "qkv")] = torch.cat(parts)
    old = {
        "attn.to_out.0": "attn.proj",
        "ff.net.0.proj": "mlp.fc1",
        "ff.net.2": "mlp.fc2",
        "norm1.linear": "adaLN_modulation.1",
    }
    for new, published in old.items():
        weights = {key.replace(f".{new}.", f".{published}."): tensor for key, tensor in weights.items()}
    save_file(weights, folder / f"{name}.safetensors")
    return made


QWEN = {**SIZES, "axes_dims_rope": (4, 14, 14)}


def qwen() -> Any:
    from diffusers import QwenImageTransformer2DModel

    return seeded(QwenImageTransformer2DModel(**QWEN, num_layers=3))


def saved(module: Any, path: Path) -> Any:
    """A module that lies there, in a folder or, without its config, in a file."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        save_file(module.state_dict(), path)
    elif not path.exists():
        module.save_pretrained(path)
    return module


def steered(control: str, *, type: str = "auto", mask: bool = False, **more: Any) -> Conditioning:
    net = nodes.load_control_net(control)
    told = Conditioning(entries=(ConditioningEntry(embedding=TEXT, pooled=POOLED),))
    more = {"strength": 0.7, "mask": Mask(values=HOLE) if mask else None, **more}
    if type != "auto":
        net = nodes.set_union_control_type(net, type)
    return nodes.apply_control_net(told, net, Image(pixels=PIXELS), **more).positive


def latents(vae: str, pixels: Tensor = PIXELS) -> Tensor:
    """As Diffusers' pipelines encode hints."""
    with nodes.load_vae(vae).use() as autoencoder:
        config = autoencoder.module.config
        found = autoencoder.module.encode(pixels * 2 - 1).latent_dist.mode()
        return (found - config.shift_factor) * config.scaling_factor


def packed(latent: Tensor) -> Tensor:
    from diffusers import FluxPipeline

    return FluxPipeline._pack_latents(latent, len(latent), *latent.shape[1:])


def flux_told() -> dict[str, Any]:
    from diffusers import FluxPipeline

    return {
        "hidden_states": packed(X),
        "encoder_hidden_states": TEXT.expand(2, -1, -1),
        "pooled_projections": POOLED.expand(2, -1),
        "timestep": TIME,
        "guidance": torch.tensor([3.5, 3.5]),
        "img_ids": FluxPipeline._prepare_latent_image_ids(2, 4, 6, torch.device("cpu"), torch.float32),
        "txt_ids": torch.zeros(5, 3),
        "return_dict": False,
    }


def flux_wanted(*controls: tuple[Any, Tensor, dict[str, Any]], repeat: bool = False) -> Tensor:
    from diffusers import FluxPipeline

    total: list[Any] = [None, None]
    with torch.no_grad():
        for net, hint, more in controls:
            found = net(**flux_told(), controlnet_cond=hint.expand(2, *hint.shape[1:]), conditioning_scale=0.7, **more)
            total = [
                one if other is None else [a + b for a, b in zip(one, other, strict=True)] if one else one
                for one, other in zip(found, total, strict=True)
            ]
        output = flux()(
            **flux_told(),
            controlnet_block_samples=total[0],
            controlnet_single_block_samples=total[1],
            controlnet_blocks_repeat=repeat,
        )[0]
    return FluxPipeline._unpack_latents(output, 64, 96, 8)


def predicted(root: Path, transformer: Any, told: Conditioning, x: Tensor = X, time: Tensor = TIME) -> Tensor:
    saved(transformer, root / "diffusion_models" / type(transformer).__name__)
    model = nodes.load_diffusion_model(type(transformer).__name__)
    with model.use() as denoiser:
        return denoiser.predict(x, time, told.entries, sigma=TIME[0])


LAYOUTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "instantx": (flux_control, {}),
    "union": (lambda: flux_control(num_mode=7), {"type": "depth"}),
    "union_pro_2": (lambda: flux_control(num_single_layers=0), {}),
    "for_schnell": (lambda: flux_control(guidance_embeds=False), {}),
    "xlabs": (lambda: flux_control(num_single_layers=0, patch_size=2, conditioning_embedding_channels=16), {}),
    "inpainting": (lambda: with_mask(flux_control()), {"mask": True}),
}


def with_mask(control: Any) -> Any:
    """As alimama's ControlNets are, whose channel for the mask Diffusers' class has not."""
    control.controlnet_x_embedder = seeded(torch.nn.Linear(68, 64), 3)
    return control


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_flux_controlnet_steers_as_in_diffusers(layout: str, root: Path, manager: ModelManager) -> None:
    make, told = LAYOUTS[layout]
    name = layout if layout == "for_schnell" else f"{layout}.safetensors"
    net = saved(make(), root / "controlnet" / name)
    xlabs = layout == "xlabs"
    hint = PIXELS * 2 - 1 if xlabs else packed(latents("ae_tiny"))
    more = {"controlnet_mode": torch.full((2, 1), 2)} if "type" in told else {}
    if not net.config.guidance_embeds:
        more["guidance"] = None
    if "mask" in told:
        known = (1 - HOLE)[:, None]
        hint = packed(torch.cat([latents("ae_tiny", PIXELS * known), known[..., ::8, ::8]], dim=1))
    wanted = flux_wanted((_Without(net, more), hint, {}), repeat=xlabs)
    vae = None if xlabs else nodes.load_vae("ae_tiny")
    found = predicted(root, flux(), steered(name, vae=vae, **told))
    assert error(found, wanted) <= BOUND
    assert error(found, flux_wanted()) > 1e-3


class _Without:
    """A network that is called with other arguments than all are."""

    def __init__(self, net: Any, more: dict[str, Any]) -> None:
        self.net, self.more = net, more

    def __call__(self, **told: Any) -> Any:
        return self.net(**told | self.more)


def test_two_flux_controlnets_add_up_and_a_reference_is_left_alone(root: Path, manager: ModelManager) -> None:
    nets = [saved(LAYOUTS[name][0](), root / "controlnet" / name) for name in ("instantx", "union")]
    vae, hint = nodes.load_vae("ae_tiny"), packed(latents("ae_tiny"))
    wanted = flux_wanted((nets[0], hint, {}), (nets[1], hint, {"controlnet_mode": torch.full((2, 1), 0)}))
    one, other = steered("instantx", vae=vae), steered("union", vae=vae, type="hard_edges")
    both = ConditioningEntry(
        embedding=TEXT, pooled=POOLED, controls=(*one.entries[0].controls, *other.entries[0].controls)
    )
    assert error(predicted(root, flux(), Conditioning(entries=(both,))), wanted) <= BOUND
    seen = nodes.add_reference_latent(
        Conditioning(entries=(both,)), nodes.empty_latent(width=32, height=16, channels=16)
    )
    assert error(predicted(root, flux(), seen), wanted) > 1e-3


def test_a_mask_of_another_size_is_fitted_to_the_picture() -> None:
    told = Conditioning(entries=(ConditioningEntry(embedding=TEXT),))
    net: Any = ControlNet(files=())
    whole, small = (
        nodes.apply_control_net(told, net, Image(pixels=PIXELS), mask=Mask(values=values))
        .positive.entries[0]
        .controls[0]
        for values in (HOLE, HOLE[:, ::2, ::2])
    )
    assert torch.equal(whole.hint, small.hint)


def as_xlabs_published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a FLUX.1 ControlNet without single blocks as x-labs calls and joins them."""
    renamed: dict[str, Tensor] = {}
    joined = {"attn.to_": "img_attn.qkv", "attn.add_": "txt_attn.qkv"}
    for name, tensor in weights.items():
        for new, old in XLABS:
            name = re.sub(new, old, name)
        for new, old in joined.items():
            if match := re.match(rf"(double_blocks.\d.){new}[qkv](?:_proj)?(.weight|.bias)", name):
                key = match[1] + old + match[2]
                renamed[key] = torch.cat([renamed[key], tensor]) if key in renamed else tensor
                break
        else:
            renamed[name] = tensor
    return renamed


XLABS = (
    ("^transformer_blocks", "double_blocks"),
    (r"norm1\.linear", "img_mod.lin"),
    (r"norm1_context\.linear", "txt_mod.lin"),
    (r"attn\.to_out\.0", "img_attn.proj"),
    (r"attn\.to_add_out", "txt_attn.proj"),
    (r"attn\.norm_(.)\.weight", r"img_attn.norm.\1_.scale"),
    (r"attn\.norm_added_(.)\.weight", r"txt_attn.norm.\1_.scale"),
    (r"norm\.q_", "norm.query_norm"),
    (r"norm\.k_", "norm.key_norm"),
    (r"ff\.net\.0\.proj", "img_mlp.0"),
    (r"ff\.net\.2", "img_mlp.2"),
    (r"ff_context\.net\.0\.proj", "txt_mlp.0"),
    (r"ff_context\.net\.2", "txt_mlp.2"),
    ("^controlnet_x_embedder", "pos_embed_input"),
    ("^x_embedder", "img_in"),
    ("^context_embedder", "txt_in"),
    (r"^time_text_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
    (r"^time_text_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
    (r"^time_text_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
    (r"^time_text_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
    (r"^time_text_embed\.text_embedder\.linear_1", "vector_in.in_layer"),
    (r"^time_text_embed\.text_embedder\.linear_2", "vector_in.out_layer"),
    (r"^input_hint_block\.conv_in", "input_hint_block.0"),
    (r"^input_hint_block\.conv_out", "input_hint_block.14"),
    *((rf"^input_hint_block\.blocks\.{block}\.", f"input_hint_block.{2 * block + 2}.") for block in range(6)),
)


def test_a_flux_controlnet_in_the_layout_of_xlabs_is_the_same(root: Path, manager: ModelManager) -> None:
    net = saved(LAYOUTS["xlabs"][0](), root / "controlnet" / "xlabs")
    save_file(as_xlabs_published(net.state_dict()), root / "controlnet" / "published.safetensors")
    published, renamed = steered("published.safetensors"), steered("xlabs")
    found, wanted = (predicted(root, flux(), told) for told in (published, renamed))
    plain = predicted(root, flux(), Conditioning(entries=(ConditioningEntry(embedding=TEXT, pooled=POOLED),)))
    assert error(found, wanted) <= BOUND < error(plain, wanted)


@pytest.mark.parametrize("layout", ["instantx", "inpainting", "depth", "canny"])
def test_an_sd3_controlnet_steers_as_in_diffusers(layout: str, root: Path, manager: ModelManager) -> None:
    name, mask = f"sd3_{layout}.safetensors", layout == "inpainting"
    told = {"encoder_hidden_states": TEXT.expand(2, -1, -1), "timestep": TIME * 1000, "return_dict": False}
    pooled, transformer = POOLED.expand(2, -1), sd3()
    own = {"hidden_states": X, "pooled_projections": torch.zeros_like(pooled)}
    with nodes.load_vae("ae_tiny").use() as loaded:
        vae, shift, scale = loaded.module, 0.0609, 1.5305  # as in the config of the family's autoencoder
        if layout in ("depth", "canny"):
            net = stability(root / "controlnet", name.removesuffix(".safetensors"))
            pixels = PIXELS * 2 - 1 if layout == "depth" else PIXELS * 255 * 0.5 + 0.5
            hint = (vae.encode(pixels).latent_dist.mode() - shift) * scale
            own = {
                "hidden_states": transformer.pos_embed(X),
                "pooled_projections": pooled,
                "encoder_hidden_states": None,
            }
        elif mask:
            net = saved(sd3_control(extra_conditioning_channels=1), root / "controlnet" / name)
            known = (1 - HOLE)[:, None]
            hint = vae.encode((PIXELS * 2 - 1).where(known > 0.5, -1)).latent_dist.mode()
            hint = torch.cat([(hint - shift) * scale, known[..., ::8, ::8]], dim=1)
        else:
            net = saved(sd3_control(), root / "controlnet" / name)
            hint = vae.encode(PIXELS * 2 - 1).latent_dist.mode() * scale
    with torch.no_grad():
        samples = net(**told | own, controlnet_cond=hint.expand(2, -1, -1, -1), conditioning_scale=0.7)[0]
        whole = told | {"hidden_states": X, "pooled_projections": pooled}
        wanted, without = (transformer(**whole, block_controlnet_hidden_states=found)[0] for found in (samples, None))
    found = predicted(root, transformer, steered(name, mask=mask, vae=nodes.load_vae("ae_tiny")), time=TIME * 1000)
    assert error(found, wanted) <= BOUND
    assert error(found, without) > 1e-3


def qwen_hint(*, mask: bool) -> Tensor:
    """As Diffusers' pipelines pack latents of pictures, with a channel of what is known."""
    from diffusers import QwenImagePipeline

    known = (1 - HOLE)[:, None] if mask else torch.ones(1, 1, 64, 96)
    with nodes.load_vae("wan_2.1_vae_tiny").use() as loaded:
        vae, config = loaded.module, loaded.module.config
        mean, deviation = (
            torch.tensor(found).view(1, -1, 1, 1, 1) for found in (config.latents_mean, config.latents_std)
        )
        hint = vae.encode((PIXELS * 2 - 1).where(known > 0.5, -1)[:, :, None]).latent_dist.mode()
    hint = (hint - mean) / deviation
    if mask:
        hint = torch.cat([hint, known[:, :, None, ::8, ::8]], dim=1)
    return QwenImagePipeline._pack_latents(hint.transpose(1, 2), 1, hint.shape[1], 8, 12).expand(2, -1, -1)


def qwen_told() -> dict[str, Any]:
    from diffusers import QwenImagePipeline

    return {
        "hidden_states": QwenImagePipeline._pack_latents(X[:, None], 2, 16, 8, 12),
        "encoder_hidden_states": TEXT.expand(2, -1, -1),
        "timestep": TIME,
        "img_shapes": [[(1, 4, 6)]] * 2,
        "return_dict": False,
    }


def qwen_output(output: Tensor) -> Tensor:
    from diffusers import QwenImagePipeline

    return QwenImagePipeline._unpack_latents(output, 64, 96, 8)


@pytest.mark.parametrize("mask", [False, True])
def test_a_qwen_image_controlnet_steers_as_in_diffusers(*, mask: bool, root: Path, manager: ModelManager) -> None:
    from diffusers import QwenImageControlNetModel

    name = f"qwen_{mask}.safetensors"
    net = seeded(QwenImageControlNetModel(**QWEN, num_layers=2, extra_condition_channels=4 if mask else 0), 9)
    saved(net, root / "controlnet" / name)
    with torch.no_grad():
        samples = net(**qwen_told(), controlnet_cond=qwen_hint(mask=mask), conditioning_scale=0.7)
        wanted, without = (
            qwen_output(qwen()(**qwen_told(), controlnet_block_samples=found)[0]) for found in (samples, None)
        )
    found = predicted(root, qwen(), steered(name, mask=mask, vae=nodes.load_vae("wan_2.1_vae_tiny")), X[:, :, None])
    assert error(found, wanted) <= BOUND
    assert error(found, without) > 1e-3


@pytest.mark.parametrize("mask", [False, True])
def test_a_blockwise_controlnet_adds_behind_each_block(*, mask: bool, root: Path, manager: ModelManager) -> None:
    from diffusers.models.normalization import RMSNorm

    blocks = [
        torch.nn.ModuleDict(
            {
                "x_rms": RMSNorm(64, 1e-6),
                "y_rms": RMSNorm(64, 1e-6),
                "input_proj": torch.nn.Linear(64, 64),
                "output_proj": torch.nn.Linear(64, 64),
            }
        )
        for _ in range(3)
    ]
    net = seeded(
        torch.nn.ModuleDict(
            {"img_in": torch.nn.Linear(68 if mask else 64, 64), "controlnet_blocks": torch.nn.ModuleList(blocks)}
        ),
        9,
    )
    name, transformer, (vae,) = f"blockwise_{mask}.safetensors", qwen(), (nodes.load_vae("wan_2.1_vae_tiny"),)
    saved(net, root / "model_patches" / name)
    picture = net["img_in"](qwen_hint(mask=mask))

    def added(block: Any, strength: float) -> Callable[..., Any]:
        def hook(_module: Any, _inputs: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            inner = block["input_proj"](block["x_rms"](output[1]) + block["y_rms"](picture))
            return output[0], output[1] + strength * block["output_proj"](functional.gelu(inner))

        return hook

    for block, steering in zip(transformer.transformer_blocks, blocks, strict=True):
        block.register_forward_hook(added(steering, 0.7))
    with torch.no_grad():
        wanted = qwen_output(transformer(**qwen_told())[0])
    saved(qwen(), root / "diffusion_models" / "QwenImageTransformer2DModel")
    base, patch = nodes.load_diffusion_model("QwenImageTransformer2DModel"), nodes.load_control_patch(name)
    hole = Mask(values=HOLE) if mask else None
    model = nodes.apply_control_patch(base, patch, Image(pixels=PIXELS), vae, hole, strength=0.7)
    reference = nodes.empty_latent(width=32, height=16, channels=16)
    told = Conditioning(entries=(ConditioningEntry(embedding=TEXT),))
    with model.use() as denoiser, base.use() as plain:
        found = denoiser.predict(X[:, :, None], TIME, told.entries, sigma=TIME[0])
        assert error(found, wanted) <= BOUND
        assert error(found, plain.predict(X[:, :, None], TIME, told.entries, sigma=TIME[0])) > 1e-3
        seen = nodes.add_reference_latent(told, reference)  # whose tokens get nothing
        assert denoiser.predict(X[:, :, None], TIME, seen.entries, sigma=TIME[0]).shape == found.shape


@pytest.mark.parametrize("fills", [False, True])
def test_a_fun_controlnet_of_qwen_image_steers_by_blocks_of_its_own(
    *, fills: bool, root: Path, manager: ModelManager
) -> None:
    from diffusers import QwenImagePipeline
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock

    def linear(reads: int = 64) -> Any:
        return torch.nn.Linear(reads, 64)

    blocks = torch.nn.ModuleList(QwenImageTransformerBlock(64, 2, 32) for _ in range(2))
    blocks[0].before_proj = linear()
    for block in blocks:
        block.after_proj = linear()
    net = seeded(torch.nn.ModuleDict({"control_img_in": linear(132), "control_blocks": blocks}), 9)
    name, transformer, vae = "fun.safetensors", qwen(), nodes.load_vae("wan_2.1_vae_tiny")
    saved(net, root / "controlnet" / name)
    (root / "controlnet" / "fun.json").write_text(json.dumps({"controlnet": {"places": [0, 2]}}), "utf-8")
    unpacked = QwenImagePipeline._unpack_latents
    hint = unpacked(qwen_hint(mask=False)[:1], 64, 96, 8)
    known = (1 - HOLE)[:, None, None]
    with vae.use() as loaded:
        config = loaded.module.config
        mean, deviation = (torch.tensor(it).view(1, -1, 1, 1, 1) for it in (config.latents_mean, config.latents_std))
        filled = loaded.module.encode((PIXELS.flip(-1)[:, :, None] * 2 - 1) * known).latent_dist.mode()
    parts = [hint, known[..., ::8, ::8], (filled - mean) / deviation]
    if not fills:
        parts[1:] = [torch.zeros_like(part) for part in parts[1:]]
    context = torch.cat(parts, dim=1).transpose(1, 2)
    told = qwen_told()
    with torch.no_grad():
        hidden, text = transformer.img_in(told["hidden_states"]), told["encoder_hidden_states"]
        shared = {
            "temb": transformer.time_text_embed(TIME, hidden),
            "image_rotary_emb": transformer.pos_embed(told["img_shapes"], max_txt_seq_len=5, device=hidden.device),
            "encoder_hidden_states_mask": None,
        }
        text, samples = transformer.txt_in(transformer.txt_norm(text)), []
        steering = net["control_img_in"](QwenImagePipeline._pack_latents(context, 1, 33, 8, 12).expand(2, -1, -1))
        steering = blocks[0].before_proj(steering) + hidden
        for block in blocks:
            text, steering = block(hidden_states=steering, encoder_hidden_states=text, **shared)
            samples.append(0.7 * block.after_proj(steering))
        samples.insert(1, torch.zeros_like(hidden))
        wanted, without = (qwen_output(transformer(**told, controlnet_block_samples=it)[0]) for it in (samples, None))
    saved(qwen(), root / "diffusion_models" / "QwenImageTransformer2DModel")
    base = nodes.load_diffusion_model("QwenImageTransformer2DModel")
    more = {"inpaint_image": Image(pixels=PIXELS.flip(-1)), "mask": Mask(values=HOLE)} if fills else {}
    model = nodes.apply_control_patch(
        base, nodes.load_control_net(name), Image(pixels=PIXELS), vae, strength=0.7, **more
    )
    with model.use() as denoiser:
        found = denoiser.predict(X[:, :, None], TIME, [ConditioningEntry(embedding=TEXT)], sigma=TIME[0])
    assert error(found, wanted) <= BOUND
    assert error(found, without) > 1e-3


Z_IMAGE = {"dim": 64, "n_heads": 2, "n_kv_heads": 2, "n_refiner_layers": 2}


def z_image() -> Any:
    from diffusers import ZImageTransformer2DModel

    made = ZImageTransformer2DModel(**Z_IMAGE, n_layers=6, cap_feat_dim=24, axes_dims=[8, 12, 12])
    return seeded(made)


Z_LAYOUTS: dict[str, dict[str, Any]] = {
    "1.0": {"control_in_dim": 16, "add_control_noise_refiner": None, "control_layers_places": [0, 5]},
    "2.0": {"control_in_dim": 33, "add_control_noise_refiner": "control_layers", "control_layers_places": [0, 2, 4]},
    "2.1": {
        "control_in_dim": 33,
        "add_control_noise_refiner": "control_noise_refiner",
        "control_layers_places": [0, 2, 4],
    },
}


@pytest.mark.parametrize(("version", "fills"), [("1.0", False), ("2.0", False), ("2.1", False), ("2.1", True)])
def test_a_z_image_controlnet_steers_as_in_diffusers(
    version: str,
    fills: bool,
    root: Path,
    manager: ModelManager,
) -> None:
    from diffusers import ZImageControlNetModel

    net, transformer = (
        seeded(ZImageControlNetModel(**Z_IMAGE, **Z_LAYOUTS[version], control_refiner_layers_places=[0, 1]), 9),
        z_image(),
    )
    folder, name = root / "model_patches", f"z_{version}.safetensors"
    folder.mkdir(exist_ok=True)
    weights, places = net.state_dict(), net.config.control_layers_places
    if version == "2.0":  # published with layers of zeros
        later = ZImageControlNetModel(**Z_IMAGE, **Z_LAYOUTS["2.1"], control_refiner_layers_places=[0, 1])
        weights |= {
            key: torch.zeros_like(tensor) for key, tensor in later.state_dict().items() if "control_noise" in key
        }
    save_file(weights, folder / name)
    (folder / name).with_suffix(".json").write_text(json.dumps({"controlnet": {"control_layers_places": places}}))
    vae = nodes.load_vae("ae_tiny")
    hint = latents("ae_tiny")[:, :, None]
    if fills:
        known = (1 - HOLE)[:, None]
        filled = latents("ae_tiny", (PIXELS.flip(-1)).where(known > 0.5, 0.5))[:, :, None]
        hint = torch.cat([hint, known[:, :, None, ::8, ::8], filled], dim=1)
    hint = functional.pad(hint, (0, 0) * 3 + (0, net.config.control_in_dim - hint.shape[1]))
    told = {"x": list(X[:, :, None]), "t": 1 - TIME, "cap_feats": [TEXT[0], TEXT[0]]}
    with torch.no_grad():
        samples = ZImageControlNetModel.from_transformer(net, transformer)(
            **told, control_context=[hint[0], hint[0]], conditioning_scale=0.7
        )
        wanted, without = (
            -torch.stack(transformer(**told, controlnet_block_samples=found, return_dict=False)[0])[:, :, 0]
            for found in (samples, None)
        )
    saved(z_image(), root / "diffusion_models" / "ZImageTransformer2DModel")
    patch, base = nodes.load_control_patch(name), nodes.load_diffusion_model("ZImageTransformer2DModel")
    more = {"inpaint_image": Image(pixels=PIXELS.flip(-1)), "mask": Mask(values=HOLE)} if fills else {}
    model = nodes.apply_control_patch(base, patch, Image(pixels=PIXELS), vae, strength=0.7, **more)
    entry = ConditioningEntry(embedding=TEXT)
    with model.use() as denoiser:
        found = denoiser.predict(X, TIME, [entry], sigma=TIME[0])
    assert error(found, wanted) <= BOUND
    assert error(found, without) > 1e-3


APPLY = "ControlNetApplyAdvanced"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def drawn(root: Path, scratch: Path, applied: Sequence[dict[str, Any]]) -> Tensor:
    """The latent of a recorded ComfyUI workflow with ControlNets put into it, one behind the other."""
    case = cases("flux")["ksampler/euler/cfg3.5"]
    prompt: dict[str, Any] = json.loads(json.dumps(case["prompt"]))
    prompt |= {
        "net": node("ControlNetLoader", control_net_name="recorded.safetensors"),
        "vae": node("VAELoader", vae_name="ae_tiny.safetensors"),
        "shown": node("PreviewAny", source=["5", 0]),
        "image": node("LabImage", name="steers", frames=1, height=64, width=64),
    }
    sides: Any = [["2", 0], ["3", 0]]
    for number, told in enumerate(applied):
        given = {"control_net": ["net", 0], "image": ["image", 0], "vae": ["vae", 0], **told}
        prompt[f"apply{number}"] = node(APPLY, positive=sides[0], negative=sides[1], **given)
        sides = [[f"apply{number}", 0], [f"apply{number}", 1]]
    prompt["5"]["inputs"] |= dict(zip(("positive", "negative"), sides, strict=True))
    write_models(prompt, root)
    with lab() as registry:
        session = make_session(registry, root, scratch)
        imported = to_native(to_prompt(prompt), registry=session.registry)
        assert not imported.report.unsupported
        address = imported.addresses["5", 0]
        document = imported.document.model_copy(update={"outputs": {"latent": address}})
        return session.run(document, targets=[address]).outputs["latent"].samples


def test_an_imported_workflow_is_steered_in_a_range_of_its_steps(root: Path, tmp_path: Path) -> None:
    sizes = {
        "attention_head_dim": 128,
        "num_attention_heads": 2,
        "joint_attention_dim": 192,
        "axes_dims_rope": [16, 56, 56],
    }
    saved(flux_control(**sizes, pooled_projection_dim=64), root / "controlnet" / "recorded.safetensors")
    scratch = tmp_path / "cache"
    recorded = arrays("flux")["ksampler/euler/cfg3.5/latent"]
    whole = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}
    assert error(drawn(root, scratch, [whole | {"strength": 0.0}]), recorded) <= 1e-4
    steered = drawn(root, scratch, [whole])
    assert error(steered, recorded) > 1e-2
    parts = drawn(root, scratch, [whole | {"end_percent": 0.43}, whole | {"start_percent": 0.43}])
    assert error(parts, steered) <= 1e-5
    assert error(drawn(root, scratch, [whole | {"end_percent": 0.43}]), steered) > 1e-3
