"""LoRA files: layouts, arithmetic, and what is said where they do not fit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.lora import read_lora
from graphflow.loading.manager import ModelManager
from graphflow.values import LoraPatch, Model, TextEncoder
from tests.closeness import UNITS, assert_close, close
from tests.models.lora_files import pair, write
from tests.models.tiny_manager import SD, SD_FILE, SDXL, make_manager, model, running, text_encoder
from tests.scratch import process_folder

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
TEXT = "encoder.layers.1.mlp.fc1"


def patch(manager: ModelManager, name: str, strength: float = 1.0) -> LoraPatch:
    return LoraPatch(file=manager.find(name, "lora", part=""), strength=strength)


def weight(recipe: Model | TextEncoder, name: str) -> Tensor:
    with recipe.use() as loaded:
        module = loaded.module if isinstance(recipe, Model) else loaded.encoders[0].module
        tensor: Tensor = module.state_dict()[name].clone()
        return tensor


@pytest.mark.parametrize(
    ("down_key", "up_key"),
    [
        (
            f"lora_unet_{QUERY.replace('.', '_')}.lora_down.weight",
            f"lora_unet_{QUERY.replace('.', '_')}.lora_up.weight",
        ),
        (f"unet.{QUERY}.lora_A.weight", f"unet.{QUERY}.lora_B.weight"),
        (f"base_model.model.{QUERY}.lora_A.weight", f"base_model.model.{QUERY}.lora_B.weight"),
        (f"unet.{QUERY}.lora.down.weight", f"unet.{QUERY}.lora.up.weight"),
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
        ),
        (
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lora_up.weight",
        ),
        (
            f"lycoris_{QUERY.replace('.', '_')}.lora_down.weight",
            f"lycoris_{QUERY.replace('.', '_')}.lora_up.weight",
        ),
        (
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight::lora::1",
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight::lora::0",
        ),
    ],
)
def test_every_layout_changes_the_same_weight(tmp_path: Path, down_key: str, up_key: str) -> None:
    down, up = pair(32, 32)
    write(tmp_path, "lora", {down_key: down, up_key: up})
    manager = make_manager(tmp_path)
    with running(manager) as told:
        plain = model(manager, SD)
        before = weight(plain, f"{QUERY}.weight")
        after = weight(plain.patched(patch(manager, "lora", 0.5)), f"{QUERY}.weight")
    assert_close(after, before + 0.5 * up @ down)
    assert not told.notices


def test_files_of_lycoris_are_merged(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    w1, w2, a1, b1, a2, b2 = (
        torch.randn(shape, generator=generator) for shape in ((2, 2), (16, 16), (32, 2), (2, 32), (32, 2), (2, 32))
    )
    flat, norm = f"lycoris_{QUERY.replace('.', '_')}", "lycoris_down_blocks_0_resnets_0_norm1"
    write(tmp_path, "lokr", {f"{flat}.lokr_w1": w1, f"{flat}.lokr_w2": w2, f"{flat}.alpha": torch.tensor(1e10)})
    factors = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(1.0)}
    write(tmp_path, "loha", {f"{flat}.{role}": tensor for role, tensor in factors.items()})
    write(tmp_path, "norm", {f"{norm}.w_norm": a1[:, 0], f"{norm}.b_norm": a1[:, 1]})
    text, (down, up) = f"lycoris_text_model_{TEXT.replace('.', '_')}", pair(37, 32)
    write(tmp_path, "text", {f"{text}.lora_down.weight": down, f"{text}.lora_up.weight": up})
    manager = make_manager(tmp_path)
    with running(manager) as told:
        plain = model(manager, SD)
        for name, changed, delta in (
            ("lokr", f"{QUERY}.weight", torch.kron(w1, w2)),
            ("loha", f"{QUERY}.weight", 0.5 * (a1 @ b1) * (a2 @ b2)),
            ("norm", "down_blocks.0.resnets.0.norm1.weight", a1[:, 0]),
            ("norm", "down_blocks.0.resnets.0.norm1.bias", a1[:, 1]),
        ):
            before = weight(plain, changed)
            assert_close(weight(plain.patched(patch(manager, name)), changed), before + delta)
        encoder = text_encoder(manager, SD)
        before = weight(encoder, f"{TEXT}.weight")
        assert_close(weight(encoder.patched(patch(manager, "text")), f"{TEXT}.weight"), before + up @ down)
    assert not told.notices


def test_it_is_said_how_dora_measures_rows(tmp_path: Path) -> None:
    down, up = pair(32, 32)
    tensors = {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up}
    write(tmp_path, "rows", {**tensors, f"unet.{QUERY}.lora_magnitude_vector": torch.ones(32)})
    write(tmp_path, "columns", {**tensors, f"unet.{QUERY}.dora_scale": torch.ones(1, 32)})
    manager = make_manager(tmp_path)
    with running(manager) as told:
        changed = weight(model(manager, SD).patched(patch(manager, "rows")), f"{QUERY}.weight")
        assert_close(changed.norm(dim=1), torch.ones(32))
        (notice,) = told.notices
        assert "rows in 1 layers of the unet" in notice and "measured with the update" in notice
        weight(model(manager, SD).patched(patch(manager, "columns")), f"{QUERY}.weight")
    assert len(told.notices) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_named_with_their_tensor(tmp_path: Path, bad: float) -> None:
    down, up = pair(32, 32)
    up[3, 1] = bad
    write(tmp_path, "bad", {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up.half()})
    manager = make_manager(tmp_path)
    with (
        running(manager),
        pytest.raises(ModelFormatError, match=rf"bad: its tensor unet\.{QUERY}\.lora_B\.weight holds NaN or infinite"),
        model(manager, SD).patched(patch(manager, "bad")).use(),
    ):
        pass


def test_alpha_scales_and_convolutions_are_merged(tmp_path: Path) -> None:
    down, up = pair(32, 32, rank=4, kernel=3)
    flat = f"lora_unet_{CONV.replace('.', '_')}"
    tensors = {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(1.0)}
    write(tmp_path, "lora", tensors)
    manager = make_manager(tmp_path)
    with running(manager):
        plain = model(manager, SD_FILE)
        before = weight(plain, f"{CONV}.weight")
        after = weight(plain.patched(patch(manager, "lora", 2.0)), f"{CONV}.weight")
    expected = torch.nn.functional.conv2d(down.permute(1, 0, 2, 3), up).permute(1, 0, 2, 3)
    assert_close(after, before + 2.0 * 0.25 * expected)


def test_a_decomposed_convolution_is_the_product_of_three() -> None:
    generator = torch.Generator().manual_seed(1)
    down, mid, up = (torch.randn(shape, generator=generator) for shape in ((2, 5, 1, 1), (2, 2, 3, 3), (7, 2, 1, 1)))
    (layer,) = read_lora({"x.lora_down.weight": down, "x.lora_mid.weight": mid, "x.lora_up.weight": up}, "x").layers[
        "x"
    ]
    picture = torch.randn(1, 5, 6, 6, generator=generator)
    steps = torch.nn.functional.conv2d(picture, down)
    steps = torch.nn.functional.conv2d(torch.nn.functional.conv2d(steps, mid), up)
    assert_close(torch.nn.functional.conv2d(picture, layer.delta(torch.device("cpu"))), steps)


def test_a_patched_text_encoder_is_rounded_to_its_files_dtype(tmp_path: Path) -> None:
    from tests.models.tiny import make_tiny_sd_file

    make_tiny_sd_file(tmp_path / "checkpoints" / "half.safetensors", dtype=torch.float16)
    down, up = pair(37, 32)
    flat = f"lora_te_text_model_{TEXT.replace('.', '_')}"
    write(tmp_path, "lora", {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up})
    manager = make_manager(tmp_path)
    with running(manager):
        encoder = text_encoder(manager, "half")
        before = weight(encoder, f"{TEXT}.weight")
        after = weight(encoder.patched(patch(manager, "lora")), f"{TEXT}.weight")
    assert after.dtype == torch.float32
    exact = before + up @ down
    # A sum that lies just between two halves may be rounded to either.
    spare = UNITS * torch.finfo(torch.float32).eps * exact.abs().max()
    assert (((exact - spare).half() <= after) & (after <= (exact + spare).half())).all()
    assert torch.equal(after, after.half().float())
    assert not close(after, exact)


def test_sdxl_text_encoders_take_their_own_layers(tmp_path: Path) -> None:
    (down, up), (down_2, up_2) = pair(37, 32), pair(37, 32, seed=1)
    flat = f"text_model_{TEXT.replace('.', '_')}"
    write(
        tmp_path,
        "lora",
        {
            f"lora_te1_{flat}.lora_down.weight": down,
            f"lora_te1_{flat}.lora_up.weight": up,
            f"lora_te2_{flat}.lora_down.weight": down_2,
            f"lora_te2_{flat}.lora_up.weight": up_2,
        },
    )
    manager = make_manager(tmp_path)
    with running(manager) as told:
        plain = text_encoder(manager, SDXL)
        with plain.use() as loaded:
            before = [dict(encoder.module.named_parameters()) for encoder in loaded.encoders]
            before = [{key: tensor.clone() for key, tensor in found.items()} for found in before]
        with plain.patched(patch(manager, "lora")).use() as loaded:
            after = [dict(encoder.module.named_parameters()) for encoder in loaded.encoders]
    assert not told.notices
    for old, new, delta in zip(before, after, (up @ down, up_2 @ down_2), strict=True):
        key = next(key for key in new if key.endswith(f"{TEXT}.weight"))
        assert_close(new[key], old[key] + delta)
        assert all(torch.equal(old[other], new[other]) for other in new if other != key)


def test_layers_that_fit_nothing_are_named(tmp_path: Path) -> None:
    down, up = pair(32, 32)
    write(
        tmp_path,
        "lora",
        {
            f"unet.{QUERY}.lora_A.weight": down,
            f"unet.{QUERY}.lora_B.weight": up,
            "unet.down_blocks.9.conv.lora_A.weight": down,
            "unet.down_blocks.9.conv.lora_B.weight": up,
        },
    )
    manager = make_manager(tmp_path)
    with running(manager) as told, model(manager, SD).patched(patch(manager, "lora")).use():
        pass
    assert len(told.notices) == 1
    assert "1 of 2 layers" in told.notices[0] and "unet.down_blocks.9.conv" in told.notices[0]


def test_a_lora_of_another_model_is_refused(tmp_path: Path) -> None:
    down, up = pair(32, 32)
    other = "lora_unet_single_blocks_0_linear1"
    write(tmp_path, "other", {f"{other}.lora_down.weight": down, f"{other}.lora_up.weight": up})
    small, _ = pair(48, 48)
    write(tmp_path, "narrow", {f"unet.{QUERY}.lora_A.weight": small, f"unet.{QUERY}.lora_B.weight": torch.ones(48, 2)})
    manager = make_manager(tmp_path)
    with running(manager):
        plain = model(manager, SD)
        before = weight(plain, f"{QUERY}.weight")
        for name, words in (("other", "none of its 1 layers"), ("narrow", r"\[48, 48\], the model's \[32, 32\]")):
            with pytest.raises(ModelFormatError, match=words), plain.patched(patch(manager, name)).use():
                pass
        assert torch.equal(weight(plain, f"{QUERY}.weight"), before)


@pytest.mark.parametrize(("key", "method"), [("x.oft_blocks", "OFT"), ("x.a1.weight", "GLoRA"), ("x.on_input", "IA3")])
def test_methods_that_cannot_be_merged_are_refused_by_name(key: str, method: str) -> None:
    with pytest.raises(ModelFormatError, match=method):
        read_lora({key: torch.zeros(2)}, "x.safetensors")


@cache
def shared_manager() -> ModelManager:
    """A manager with three LoRAs that overlap."""
    folder = process_folder("loras")
    for number, names in enumerate(((QUERY,), (QUERY, OUT), (OUT,))):
        tensors: dict[str, Tensor] = {}
        for name in names:
            tensors[f"unet.{name}.lora_A.weight"], tensors[f"unet.{name}.lora_B.weight"] = pair(32, 32, seed=number)
        write(folder, f"lora{number}", tensors)
    return make_manager(folder)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from([-1.0, 0.0, 0.3, 1.0])), max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_was_merged_before_leaves_no_trace(history: list[list[tuple[int, float]]]) -> None:
    manager = shared_manager()
    with running(manager):
        plain = model(manager, SD)
        original = {name: weight(plain, f"{name}.weight") for name in (QUERY, OUT)}
        for patches in history:
            recipe = plain.patched(*(patch(manager, f"lora{number}", strength) for number, strength in patches))
            found = {name: weight(recipe, f"{name}.weight") for name in (QUERY, OUT)}
        expected = dict(original)
        for number, strength in patches:
            for name in ((QUERY,), (QUERY, OUT), (OUT,))[number]:
                # The same generator draws the pairs of a file in turn; each name has the seed of its file.
                down, up = pair(32, 32, seed=number)
                expected[name] = expected[name] + strength * (up @ down)
        for name, tensor in found.items():
            assert_close(tensor, expected[name])
        again = {name: weight(plain, f"{name}.weight") for name in (QUERY, OUT)}
    assert all(torch.equal(tensor, original[name]) for name, tensor in again.items())


def test_exchanging_a_lora_reads_only_the_weights_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphflow.loading.mapped import MappedTensors

    for number, name in enumerate((QUERY, OUT)):
        down, up = pair(32, 32, seed=number)
        write(tmp_path, f"lora{number}", {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up})
    manager = make_manager(tmp_path)
    read: list[str] = []
    original = MappedTensors.packed

    def noting(self: MappedTensors, name: str) -> object:
        read.append(name)
        return original(self, name)

    with running(manager):
        plain = model(manager, SD)
        one, two = (plain.patched(patch(manager, f"lora{number}")) for number in (0, 1))
        with plain.use() as loaded:
            kept = {name: tensor.data_ptr() for name, tensor in loaded.module.state_dict().items()}
        monkeypatch.setattr(MappedTensors, "packed", noting)
        for recipe, names in ((one, {QUERY}), (one, set()), (two, {QUERY, OUT}), (plain, {OUT})):
            read.clear()
            with recipe.use() as loaded:
                assert set(read) == {f"{name}.weight" for name in names}
                assert len(read) == len(names)
                now = {name: tensor.data_ptr() for name, tensor in loaded.module.state_dict().items()}
            changed = {name for name in kept if kept[name] != now[name]}
            assert changed <= {f"{QUERY}.weight", f"{OUT}.weight"}
