"""ControlNets, union ControlNets and T2I-Adapters on tiny models, against Diffusers' own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow import nodes
from graphflow.errors import GraphflowError
from graphflow.families.latent_diffusion.nets import fit_hint
from graphflow.families.latent_diffusion.t2i_config import t2i_adapter_modules
from graphflow.loading.manager import ModelManager
from graphflow.values import ConditioningEntry, Control
from graphflow.values.control_hooks import UnionType
from tests.families.controls import SIGMA, adapter, controlnet, entry, net, random, seeded, union
from tests.models.tiny import sd_parts, sdxl_parts
from tests.models.tiny_manager import SD, SDXL, error, make_manager, model, running


def write_original(module: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {new: old for old, new in t2i_adapter_modules(module.config)}
    tensors = {}
    for name, tensor in module.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        tensors[f"{names[owner]}.{leaf}"] = tensor.contiguous()
    save_file(tensors, path)


@pytest.mark.parametrize("layout", ["folder", "original"])
@pytest.mark.parametrize("kind", ["full_adapter", "light_adapter"])
def test_a_t2i_adapter_steers_as_in_diffusers(tmp_path: Path, kind: str, layout: str) -> None:
    module = adapter(kind)
    if layout == "folder":
        module.save_pretrained(tmp_path / "controlnet" / "steer")
    else:
        write_original(module, tmp_path / "controlnet" / "steer.safetensors")
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    x, time = random(2, 4, 8, 8), torch.tensor([400, 400])
    features = module(hint)
    manager = make_manager(tmp_path)
    with running(manager):
        recipe = net(manager, "steer")
        assert recipe.family == "sd"
        with recipe.use() as loaded:
            for found, wanted in zip(loaded.encode(hint, 8, 8), features, strict=True):
                assert error(found, wanted) < 1e-5
        control = Control(net=recipe, hint=hint, strength=0.7)
        with torch.no_grad():
            wanted = sd_parts()["unet"](
                x,
                400,
                entry(None).embedding.expand(2, -1, -1),
                down_intrablock_additional_residuals=[(0.7 * f).expand(2, -1, -1, -1).clone() for f in features],
            ).sample
        with model(manager, SD).use() as unet:
            found = unet.predict(x, time, [entry(control)], sigma=SIGMA)
            assert error(found, wanted) < 1e-5
            assert error(found, unet.predict(x, time, [entry(None)], sigma=SIGMA)) > 1e-3
            assert torch.equal(found, unet.predict(x, time, [entry(control)], sigma=SIGMA))


def test_an_sdxl_t2i_adapter_steers_as_in_diffusers(tmp_path: Path) -> None:
    module = adapter("full_adapter_xl")
    write_original(module, tmp_path / "controlnet" / "steer.safetensors")
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    x, time = random(1, 4, 8, 8), torch.tensor([400])
    manager = make_manager(tmp_path)
    with running(manager), model(manager, SDXL).use() as unet:
        recipe = net(manager, "steer")
        assert recipe.family == "sdxl"
        told = unet.complete(_conditioning(entry(None, 64)), 64, 64, negative=False).entries[0]
        found = unet.predict(x, time, [replace(told, controls=(Control(net=recipe, hint=hint),))], sigma=SIGMA)
        with torch.no_grad():
            wanted = sdxl_parts()["unet"](
                x,
                400,
                told.embedding,
                added_cond_kwargs=unet.added([told], 1, 64, 64),
                down_intrablock_additional_residuals=list(module(hint)),
            ).sample
    assert error(found, wanted) < 1e-5


def _conditioning(one: ConditioningEntry) -> Any:
    from graphflow.values import Conditioning

    return Conditioning(entries=(one,))


@pytest.mark.parametrize("own", [False, True])
def test_an_sdxl_controlnet_steers_as_in_diffusers(tmp_path: Path, own: bool) -> None:
    """Under the prompt of the model, and under one of its own."""
    module = controlnet(sdxl_parts)
    module.save_pretrained(tmp_path / "controlnet" / "steer")
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    x, time = random(1, 4, 8, 8), torch.tensor([400])
    manager = make_manager(tmp_path)
    with running(manager), model(manager, SDXL).use() as unet:
        told = unet.complete(_conditioning(entry(None, 64)), 64, 64, negative=False).entries[0]
        control = Control(net=net(manager, "steer"), hint=hint, strength=0.8)
        other = replace(told, embedding=-told.embedding, pooled=2 * told.pooled)  # type: ignore[operator]
        read = other if own else told
        given = nodes.set_control_prompt(_conditioning(told), _conditioning(other)).entries[0] if own else told
        found = unet.predict(x, time, [replace(given, controls=(control,))], sigma=SIGMA)
        added, added_read = unet.added([told], 1, 64, 64), unet.added([read], 1, 64, 64)
        with torch.no_grad():
            down, middle = module(
                x, 400, read.embedding, hint, conditioning_scale=0.8, added_cond_kwargs=added_read, return_dict=False
            )
            wanted = sdxl_parts()["unet"](
                x,
                400,
                told.embedding,
                added_cond_kwargs=added,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
    assert error(found, wanted) < 1e-5


def test_a_t2i_adapter_of_one_channel_gets_the_mean(tmp_path: Path) -> None:
    from diffusers import T2IAdapter

    module = seeded(T2IAdapter(1, [32, 64], 2, 8))
    write_original(module, tmp_path / "t2i_adapter" / "grey.safetensors")
    grey = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(7))
    manager = make_manager(tmp_path)
    with running(manager), nodes.load_control_net("grey").use() as loaded:
        for found, wanted in zip(loaded.encode(grey.expand(-1, 3, -1, -1), 8, 8), module(grey), strict=True):
            assert error(found, wanted) < 1e-5


def test_a_controlnet_for_shuffled_content_adds_means(tmp_path: Path) -> None:
    (tmp_path / "controlnet").mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in controlnet().state_dict().items()}
    for name in ("plain", "control_shuffle"):
        save_file(tensors, tmp_path / "controlnet" / f"{name}.safetensors")
    manager, hint = make_manager(tmp_path), torch.rand(1, 3, 64, 64)
    found = []
    with running(manager):
        for name in ("plain", "control_shuffle"):
            with nodes.load_control_net(name).use() as loaded:
                encoded = loaded.encode(hint, 8, 8)
                found.append(
                    loaded.residuals(encoded, random(1, 4, 8, 8), torch.tensor([400]), entry(None).embedding, None)
                )
    assert error(found[1].middle, found[0].middle.mean(dim=(2, 3), keepdim=True)) < 1e-5


def test_a_hint_of_other_proportions_is_cut_in_the_middle() -> None:
    wide = torch.arange(24.0).view(1, 1, 1, 24).expand(1, 3, 8, 24)
    assert torch.equal(fit_hint(wide, 8, 8), wide[..., 8:16])
    assert torch.equal(fit_hint(wide.transpose(2, 3), 16, 16)[..., ::2, ::2], wide[..., 8:16].transpose(2, 3))
    assert fit_hint(wide, 8, 24) is wide


def test_a_union_controlnet_gets_its_type(tmp_path: Path) -> None:
    module = union()
    module.save_pretrained(tmp_path / "controlnet" / "union")
    hint = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    x, time = random(1, 4, 8, 8), torch.tensor([400])
    manager = make_manager(tmp_path)
    with running(manager):
        recipe = net(manager, "union")
        with model(manager, SD).use() as unet:
            with pytest.raises(GraphflowError, match="what kind of picture"):
                unet.predict(x, time, [entry(Control(net=recipe, hint=hint))], sigma=SIGMA)
            with pytest.raises(GraphflowError, match="knows 6 kinds"):
                tile = recipe.hooked(UnionType(type="tile"))
                unet.predict(x, time, [entry(Control(net=tile, hint=hint))], sigma=SIGMA)
            for number, name in enumerate(("openpose", "depth")):
                typed = recipe.hooked(UnionType(type=name))
                kinds = torch.zeros(1, 6)
                kinds[:, number] = 1
                with torch.no_grad():
                    down, middle = module(x, 400, entry(None).embedding, [hint], kinds, [number], return_dict=False)
                with typed.use() as loaded:
                    encoded = loaded.encode(hint, 8, 8)
                    found = loaded.residuals(encoded, x, time, entry(None).embedding, None)
                assert error(found.middle, middle) < 1e-5
                for one, wanted in zip(found.skips, down, strict=True):
                    assert error(one, wanted) < 1e-5


def test_a_plain_controlnet_takes_no_type(tmp_path: Path) -> None:
    controlnet().save_pretrained(tmp_path / "controlnet" / "plain")
    manager = make_manager(tmp_path)
    with running(manager) as told, net(manager, "plain").hooked(UnionType(type="depth")).use() as loaded:
        assert loaded.union_type is None
    assert any("takes no type" in notice for notice in told.notices)


def test_a_hint_is_encoded_once_and_spread_over_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    module = controlnet()
    module.save_pretrained(tmp_path / "controlnet" / "plain")
    hints = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    x, time, text = random(3, 4, 8, 8), torch.tensor([400] * 6), entry(None).embedding
    with torch.no_grad():
        down, middle = module(
            torch.cat([x, x]), 400, text.expand(6, -1, -1), hints[[0, 1, 0, 0, 1, 0]], return_dict=False
        )
        wanted = sd_parts()["unet"](
            torch.cat([x, x]),
            400,
            text.expand(6, -1, -1),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
    calls: list[int] = []
    forward = ControlNetConditioningEmbedding.forward

    def counting(self: Any, conditioning: Tensor) -> Tensor:
        calls.append(len(conditioning))
        return forward(self, conditioning)

    monkeypatch.setattr(ControlNetConditioningEmbedding, "forward", counting)
    manager = make_manager(tmp_path)
    with running(manager), model(manager, SD).use() as unet:
        one = entry(Control(net=net(manager, "plain"), hint=hints))
        for _ in range(3):
            found = unet.predict(torch.cat([x, x]), time, [one, one], sigma=SIGMA)
    assert calls == [2]
    assert error(found, wanted) < 1e-5
    with running(manager):
        assert all(count == 0 for count in _users(manager))


def _users(manager: ModelManager) -> list[int]:
    return [item.users for item in manager._pool._residents]


@pytest.mark.parametrize("kind", ["controlnet", "t2i"])
def test_nets_of_another_family_are_refused(tmp_path: Path, kind: str) -> None:
    if kind == "controlnet":
        controlnet(sdxl_parts).save_pretrained(tmp_path / "controlnet" / "other")
    else:
        from diffusers import T2IAdapter

        seeded(T2IAdapter(3, [16, 32], 1)).save_pretrained(tmp_path / "controlnet" / "other")
    manager = make_manager(tmp_path)
    with running(manager), model(manager, SD).use() as unet:
        control = Control(net=net(manager, "other"), hint=torch.rand(1, 3, 64, 64))
        with pytest.raises(GraphflowError, match=r"'other'.*different families") as caught:
            unet.predict(random(1, 4, 8, 8), torch.tensor([400]), [entry(control)], sigma=SIGMA)
    assert "made for the checkpoint's family" in (caught.value.advice or "")


def test_a_difference_gets_the_models_weights_back(tmp_path: Path) -> None:
    module, unet = controlnet(), sd_parts()["unet"].state_dict()
    module.save_pretrained(tmp_path / "controlnet" / "whole")
    state = {name: (tensor - unet[name] if name in unet else tensor) for name, tensor in module.state_dict().items()}
    save_file({**state, "difference": torch.zeros(1)}, tmp_path / "controlnet" / "part.safetensors")
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    manager = make_manager(tmp_path)
    with running(manager):
        base = model(manager, SD)
        added = nodes.load_difference_control_net("part", base)
        with added.use() as one, nodes.load_control_net("whole").use() as other:
            for name, tensor in one.module.state_dict().items():
                assert torch.allclose(tensor, other.module.state_dict()[name], atol=1e-6), name
        with base.use() as loaded:
            pair = [entry(Control(net=net, hint=hint)) for net in (added, nodes.load_control_net("whole"))]
            found = [loaded.predict(random(1, 4, 8, 8), torch.tensor([400]), [one], sigma=SIGMA) for one in pair]
            assert error(*found) < 1e-5
        with pytest.raises(GraphflowError, match="only the difference"):
            nodes.load_control_net("part")
        with pytest.raises(GraphflowError, match="a whole ControlNet"):
            nodes.load_difference_control_net("whole", base)
        wrong = nodes.load_difference_control_net("part", model(manager, SDXL))
        with pytest.raises(GraphflowError, match="other shapes than 'tiny-sdxl'"), wrong.use():
            pass


def test_damaged_adapters_are_refused(tmp_path: Path) -> None:
    module = adapter("full_adapter")
    folder = tmp_path / "controlnet"
    write_original(module, folder / "short.safetensors")
    state = {name: tensor for name, tensor in module.state_dict().items() if "resnets.1" not in name}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "holes.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "short.safetensors").read_bytes()[:-100])
    save_file({"adapter.body.0.x": torch.zeros(1)}, folder / "empty.safetensors")
    manager = make_manager(tmp_path)
    with running(manager):
        with net(manager, "short").use():
            pass
        for name in ("cut", "empty"):
            with pytest.raises(GraphflowError, match=name):
                net(manager, name)
        state["adapter.body.0.resnets.0.block1.weight"] = torch.zeros(1, 1, 3, 3)
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "odd.safetensors")
        with pytest.raises(GraphflowError, match="odd"), net(manager, "odd").use():
            pass
