"""Running out of memory, by injected faults, and results that are no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.basics.finite import NonFiniteError
from graphflow.errors import InvalidInputError, OutOfMemoryError, is_out_of_memory
from graphflow.loading import offload
from graphflow.loading.devices import Placement
from graphflow.loading.ladder import Ladder, Rung
from graphflow.loading.manager import ModelManager
from graphflow.values import ConditioningEntry, Recipe
from tests.closeness import assert_close
from tests.models.tiny_manager import SD, error, make_manager, model, running, text_encoder, vae

SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"
    ),
    MemoryError(),
]


class PretendAccelerator(Placement):
    """The CPU, treated as if its memory were apart."""

    @property
    def offloads(self) -> bool:
        return True


@contextmanager
def failing(manager: ModelManager, recipe: Recipe, times: int, shortage: Exception) -> Iterator[list[int]]:
    """Let a recipe's module run out of memory as often as given; gives the number of attempts."""
    attempts = [0]

    def fault(*_: Any) -> None:
        attempts[0] += 1
        if attempts[0] <= times:
            raise shortage

    with recipe.use() as loaded:
        handle = loaded.module.register_forward_pre_hook(fault)
    yield attempts
    handle.remove()


def work(recipe: Recipe) -> Callable[[], Tensor]:
    def run() -> Tensor:
        entry = ConditioningEntry(embedding=torch.ones(1, 77, 32))
        with recipe.use() as loaded:
            found: Tensor = loaded.predict(torch.ones(1, 4, 8, 8), torch.tensor([9]), [entry], sigma=torch.tensor(1.0))
            return found

    return run


def test_rungs_are_climbed_in_order_and_said() -> None:
    taken: list[str] = []

    def rung(name: str, helps: bool = True) -> Rung:
        return Rung(name, lambda: bool(taken.append(name) is None and helps))

    def always() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    ladder = Ladder([rung("free"), rung("slice"), rung("useless", helps=False), rung("offload")])
    manager = make_manager()
    with running(manager) as told, pytest.raises(OutOfMemoryError, match="no measure is left") as caught:
        ladder.run(always)
    # Freeing is tried again between the others: what they moved may be unused now.
    assert [name for name in taken if name != "free"] == ["slice", "useless", "offload", "useless"]
    assert taken[0] == "free"
    assert ladder.taken == ("free", "slice", "offload")
    assert all(any(name in notice for notice in told.notices) for name in ("free", "slice", "offload"))
    assert not any("useless" in notice for notice in told.notices)
    assert caught.value.advice and "smaller" in caught.value.advice


def test_other_errors_pass() -> None:
    def broken() -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    manager = make_manager()
    with running(manager) as told, pytest.raises(RuntimeError, match="mat1"):
        manager.retrying(broken)
    assert not told.notices


@pytest.mark.parametrize("shortage", SHORTAGES, ids=lambda shortage: type(shortage).__name__)
def test_shortages_are_recognised(shortage: Exception) -> None:
    assert is_out_of_memory(shortage)


def test_a_node_runs_again_and_gives_the_same_numbers() -> None:
    manager = make_manager()
    with running(manager) as told:
        recipe = model(manager, SD)
        expected = work(recipe)()
        with text_encoder(manager, SD).use():
            pass
        with failing(manager, recipe, 1, SHORTAGES[0]) as attempts:
            found = manager.retrying(work(recipe))
        # The first measure forgot all unused modules, the faulty one with them.
        assert attempts[0] == 1
        assert [part for _, part, _ in manager.loaded()] == ["unet"]
        assert len(told.notices) == 1 and "freed" in told.notices[0]
        assert not told.inexact
    assert_close(found, expected)


def test_attention_is_sliced_when_freeing_does_not_help() -> None:
    manager = make_manager()
    count = 0

    with running(manager) as told:
        recipe = model(manager, SD)
        expected = work(recipe)()

        def twice() -> Tensor:
            nonlocal count
            count += 1
            if count < 3:
                raise SHORTAGES[1]
            return work(recipe)()

        found = manager.retrying(twice)
        assert manager.measures == {offload.SLICED_ATTENTION, offload.TILES}
        with recipe.use() as loaded:
            names = {type(processor).__name__ for processor in loaded.module.attn_processors.values()}
        assert names == {"SlicedAttnProcessor"}
        assert not told.inexact
    assert error(found, expected) < 1e-5


def test_the_last_measures_belong_to_an_accelerator() -> None:
    def never() -> None:
        raise SHORTAGES[0]

    for placement, measures in (
        (Placement(torch.device("cpu")), {offload.SLICED_ATTENTION, offload.TILES}),
        (PretendAccelerator(torch.device("cpu")), set(offload.MEASURES)),
    ):
        manager = make_manager(placement=placement)
        with running(manager), pytest.raises(OutOfMemoryError):
            manager.retrying(never)
        assert manager.measures == measures


def test_layers_that_come_one_by_one_give_the_same_numbers() -> None:
    plain = make_manager()
    with running(plain):
        expected = work(model(plain, SD))()
    manager = make_manager(placement=PretendAccelerator(torch.device("cpu")), measures=[offload.GROUPS])
    with running(manager):
        for _ in range(2):
            assert_close(work(model(manager, SD))(), expected)


def test_tiles_for_memory_are_marked_as_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.families.latent_diffusion.vae.MEMORY_TILE", 32)
    monkeypatch.setattr("graphflow.families.latent_diffusion.vae.OVERLAP", 8)
    manager = make_manager(measures=[offload.TILES])
    latents = torch.randn(1, 4, 24, 24, generator=torch.Generator().manual_seed(0))
    with running(manager) as told, vae(manager, SD).use() as loaded:
        loaded.decode(latents[..., :16, :16])
        assert not told.inexact
        loaded.decode(latents)
        assert len(told.inexact) == 1
        loaded.decode(latents, tile=16, overlap=4)
        assert len(told.inexact) == 1


def test_a_vae_that_overflows_goes_on_in_float32() -> None:
    reference = make_manager()
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with running(reference), vae(reference, SD).use() as loaded:
        expected = loaded.decode(latents)
    manager = make_manager(placement=Placement(torch.device("cpu"), torch.bfloat16))
    with running(manager) as told:
        with vae(manager, SD).use() as loaded:
            poison_in(loaded.module, torch.bfloat16)
            found = loaded.decode(latents)
        assert len(told.notices) == 1 and "float32" in told.notices[0]
        with vae(manager, SD).use() as loaded:
            assert loaded.dtype == torch.float32
            assert_close(loaded.decode(latents), expected)
        assert len(told.notices) == 1
    assert_close(found, expected)


def test_nan_is_an_error_and_no_black_picture() -> None:
    manager = make_manager()
    with running(manager), vae(manager, SD).use() as loaded:
        poison_in(loaded.module, torch.float32)
        with pytest.raises(NonFiniteError, match="the picture has") as caught:
            loaded.decode(torch.zeros(1, 4, 8, 8))
        with pytest.raises(NonFiniteError, match="the latent has"):
            loaded.encode(torch.zeros(1, 3, 16, 16))
    assert caught.value.advice


def poison_in(module: Any, dtype: torch.dtype) -> None:
    """Let a VAE make NaN as long as it computes in this dtype."""

    def spoil(_: Any, inputs: Any, output: Tensor) -> Tensor:
        return output * float("nan") if output.dtype == dtype else output

    module.decoder.conv_out.register_forward_hook(spoil)
    module.encoder.conv_out.register_forward_hook(spoil)


def test_a_misspelt_measure_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"no measure 'tile' \(there are sliced_attention, tiles"):
        make_manager(measures=["tile"])
