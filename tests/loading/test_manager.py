"""The model manager: names, sharing, budgets, threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.loading.hooks import attach
from graphflow.loading.manager import ModelManager
from graphflow.loading.memory import Budget, Residents, Tier
from graphflow.settings import Settings
from graphflow.values import Conditioning, ConditioningEntry, LoraPatch, Model
from tests.closeness import assert_close, close
from tests.models.tiny import make_tiny_sd_file
from tests.models.tiny_manager import SD, SD_FILE, SDXL, make_manager, model, running, text_encoder, vae

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@dataclass(frozen=True)
class Doubled:
    pass


def entry() -> ConditioningEntry:
    return ConditioningEntry(embedding=torch.linspace(-1, 1, 77 * 32).reshape(1, 77, 32))


def predict(recipe: Model) -> Tensor:
    x = torch.linspace(-2, 2, 4 * 8 * 8).reshape(1, 4, 8, 8)
    with recipe.use() as loaded:
        found: Tensor = loaded.predict(x, torch.tensor([500]), [entry()], sigma=torch.tensor(1.0))
        return found.clone()


def lora(folder: Path, name: str, seed: int) -> None:
    (folder / "loras").mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    save_file(
        {
            f"unet.{QUERY}.lora_A.weight": torch.randn(2, 32, generator=generator),
            f"unet.{QUERY}.lora_B.weight": torch.randn(32, 2, generator=generator),
        },
        folder / "loras" / f"{name}.safetensors",
    )


def patched(manager: ModelManager, recipe: Model, name: str) -> Model:
    return recipe.patched(LoraPatch(file=manager.find(name, "lora", part=""), strength=1.0))


# ----------------------------------------------------------------------------------------------------- names


def test_a_name_becomes_a_recipes_file() -> None:
    manager = make_manager()
    file = manager.find(SD_FILE, "checkpoint", part="unet", options={"prediction_type": "v_prediction"})
    assert (file.name, file.part, file.family) == (SD_FILE, "unet", "sd")
    assert len(file.fingerprint) == 64
    assert set(manager.parts(SD, "checkpoint")) == {"unet", "vae", "text_encoder", "safety_checker"}
    with running(manager), Model(files=(file,)).use() as loaded:
        assert loaded.model_sampling.prediction == "v_prediction"
    with running(manager), model(manager, SD_FILE).use() as loaded:
        assert loaded.model_sampling.prediction == "epsilon"


def test_a_part_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ModelNotFoundError, match=r"has no safety_checker; it has .*unet"):
        make_manager().find(SD_FILE, "checkpoint", part="safety_checker")


def test_a_file_that_changed_since_planning_is_not_used(tmp_path: Path) -> None:
    path = make_tiny_sd_file(tmp_path / "checkpoints" / "model.safetensors")
    manager = make_manager(tmp_path)
    recipe = model(manager, "model")
    make_tiny_sd_file(path, seed=1)
    with running(manager), pytest.raises(ModelFormatError, match="changed since"), recipe.use():
        pass


def test_a_family_without_components_says_what_to_do_instead() -> None:
    manager = make_manager()
    recipe = Model(files=(replace(manager.find(SD, "checkpoint", part="unet"), family="wan"),))
    with running(manager), pytest.raises(ModelFormatError, match="run_pipeline"), recipe.use():
        pass
    assert [part for _, part, _ in manager.loaded()] == ["unet"]
    assert manager.free() == 1


def test_settings_decide_device_and_dtype() -> None:
    manager = make_manager()
    chosen = ModelManager.for_devices(manager.library, Settings(device="cpu", dtype="bfloat16"))[0]
    with running(chosen), model(chosen, SD).use() as loaded:
        assert loaded.dtype == torch.bfloat16
        assert loaded.module.conv_in.weight.dtype == torch.bfloat16
        assert loaded.predict(torch.zeros(1, 4, 8, 8), torch.tensor([1]), [entry()]).dtype == torch.float32


# --------------------------------------------------------------------------------------------------- sharing


def test_a_part_is_loaded_once() -> None:
    manager = make_manager()
    with running(manager):
        with model(manager, SD).use() as first:
            module = first.module
        with model(manager, SD).use() as second:
            assert second.module is module
    assert [part for _, part, _ in manager.loaded()] == ["unet"]


def test_two_variants_of_a_part_can_be_in_use_at_once(tmp_path: Path) -> None:
    lora(tmp_path, "a", 1)
    manager = make_manager(tmp_path)
    with running(manager):
        plain = model(manager, SD)
        changed = patched(manager, plain, "a")
        expected = predict(plain), predict(changed)
        assert not close(*expected)
        with plain.use() as outer, changed.use() as inner:
            assert inner.module is not outer.module
            assert_close(predict(plain), expected[0])
            assert_close(predict(changed), expected[1])


def test_hooks_act_until_the_block_ends() -> None:
    manager = make_manager()

    @attach.register
    @contextmanager
    def _(hook: Doubled, loaded: Any) -> Iterator[None]:
        handle = loaded.module.register_forward_hook(lambda m, i, o: (2 * o[0],))
        yield
        handle.remove()

    with running(manager):
        plain = model(manager, SD)
        before = predict(plain)
        assert torch.equal(predict(plain.hooked(Doubled())), 2 * before)
        assert torch.equal(predict(plain), before)


def test_weights_made_inside_a_node_can_be_moved_outside_of_it() -> None:
    manager = make_manager()
    with running(manager):
        with manager.inference():
            expected = predict(model(manager, SD))
        with model(manager, SD).use() as loaded:
            assert not any(tensor.is_inference() for tensor in loaded.module.state_dict().values())
            loaded.module.to(torch.float64).to(torch.float32)
        assert_close(predict(model(manager, SD)), expected)


@pytest.mark.parametrize("workers", [4])
def test_threads_get_the_same_numbers_as_one_after_another(tmp_path: Path, workers: int) -> None:
    for number in range(3):
        lora(tmp_path, f"lora{number}", number)
    manager = make_manager(tmp_path)
    with running(manager):
        plain = model(manager, SD)
        recipes = [plain, *(patched(manager, plain, f"lora{number}") for number in range(3))]
        expected = [predict(recipe) for recipe in recipes]
    start = threading.Barrier(workers)

    def work(worker: int) -> list[tuple[int, bool]]:
        start.wait()
        with running(manager):
            order = [(worker + step) % len(recipes) for step in range(6)]
            return [(index, close(predict(recipes[index]), expected[index])) for index in order]

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(work, range(workers)))
    assert all(same for result in results for _, same in result), results


def test_threads_that_hold_different_models_do_not_wait_for_each_other() -> None:
    manager = make_manager()
    with running(manager):
        first, second = model(manager, SD), vae(manager, SD)
    meet = threading.Barrier(2, timeout=60)

    def work(outer: object, inner: object) -> bool:
        with running(manager), outer.use():  # type: ignore[attr-defined]
            meet.wait()
            with inner.use():  # type: ignore[attr-defined]
                return True

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, (first, second), (second, first)))


# ---------------------------------------------------------------------------------------------------- budget


def test_the_least_recently_used_model_goes_when_the_budget_is_full() -> None:
    roomy = make_manager()
    with running(roomy):
        for recipe in (model(roomy, SD), vae(roomy, SD), text_encoder(roomy, SD)):
            with recipe.use():
                pass
    sizes = {part: size for _, part, size in roomy.loaded()}
    tight = make_manager(budget=Budget(main=sizes["unet"] + sizes["text_encoder"], device=10**12))
    with running(tight):
        for recipe in (model(tight, SD), text_encoder(tight, SD), model(tight, SD), vae(tight, SD)):
            with recipe.use():
                pass
    assert [part for _, part, _ in tight.loaded()] == ["unet", "vae"]


def test_a_model_above_the_budget_is_used_and_then_forgotten() -> None:
    manager = make_manager(budget=Budget(main=1, device=1))
    with running(manager):
        expected = predict(model(make_manager(), SD))
        assert_close(predict(model(manager, SD)), expected)
    assert manager.loaded() == ()


@dataclass(eq=False)
class Block:
    """Something with a size, for the property tests."""

    bytes: int
    tier: Tier
    in_use: bool = False
    dropped: bool = False


Action = tuple[str, int, str]


@given(
    main=st.integers(0, 30),
    device=st.integers(0, 30),
    actions=st.lists(
        st.tuples(
            st.sampled_from(["add", "use", "end", "touch"]), st.integers(0, 12), st.sampled_from(["main", "device"])
        ),
        max_size=40,
    ),
)
def test_the_budget_holds_and_nothing_in_use_moves(main: int, device: int, actions: list[Action]) -> None:
    def demote(block: Block) -> None:
        assert not block.in_use and block.tier == "device"
        block.tier = "main"

    def drop(block: Block) -> None:
        assert not block.in_use
        block.dropped = True

    residents: Residents[Block] = Residents(Budget(main, device), demote=demote, drop=drop)
    blocks: list[Block] = []
    for action, number, tier in actions:
        live = [block for block in blocks if not block.dropped]
        if action == "add":
            blocks.append(Block(number, tier))  # type: ignore[arg-type]
            residents.make_room(blocks[-1].tier, number)
            residents.touch(blocks[-1])
        elif live:
            block = live[number % len(live)]
            if action == "touch":
                residents.touch(block)
                assert list(residents)[-1] is block
            else:
                block.in_use = action == "use"
        residents.make_room("device", 0)
        residents.make_room("main", 0)
        kept = list(residents)
        assert {id(b) for b in kept} == {id(b) for b in blocks if not b.dropped}
        for name, limit in (("main", main), ("device", device)):
            held = [b for b in kept if b.tier == name]
            assert sum(b.bytes for b in held) <= limit or all(b.in_use for b in held if b.bytes)


def test_conditioning_of_the_wrong_width_is_refused() -> None:
    from graphflow.errors import InvalidInputError

    manager = make_manager()
    wide = Conditioning(entries=(ConditioningEntry(embedding=torch.zeros(1, 77, 64)),))
    with (
        running(manager),
        model(manager, SD).use() as loaded,
        pytest.raises(InvalidInputError, match="width 64, the diffusion model needs 32"),
    ):
        loaded.predict(torch.zeros(1, 4, 8, 8), torch.tensor([1]), wide.entries, sigma=torch.tensor(1.0))


def test_sdxl_without_pooled_text_is_refused() -> None:
    from graphflow.errors import InvalidInputError

    manager = make_manager()
    bare = ConditioningEntry(embedding=torch.zeros(1, 77, 64))
    with (
        running(manager),
        model(manager, SDXL).use() as loaded,
        pytest.raises(InvalidInputError, match="no pooled text embedding"),
    ):
        loaded.predict(torch.zeros(1, 4, 8, 8), torch.tensor([1]), [bare], sigma=torch.tensor(1.0))
