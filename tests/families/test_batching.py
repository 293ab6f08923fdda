"""The limit on a batch by memory."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.families.latent_diffusion.batching import evaluation_bytes
from graphflow.loading.devices import free_memory
from graphflow.sampling.batching import fitting_items

GIB = 2**30


def test_a_pair_of_large_pictures_is_split_where_memory_is_short() -> None:
    samples = 128 * 128
    roomy = fitting_items(evaluation_bytes(samples, 320, torch.float16), 8 * GIB)
    assert roomy is not None and roomy >= 2
    assert fitting_items(evaluation_bytes(samples, 320, torch.float32), GIB) == 1
    assert fitting_items(evaluation_bytes(samples, 320, torch.float32), None) is None


@given(st.integers(1, 2**20), st.integers(0, 2**40))
def test_less_memory_never_means_more_items(samples: int, free: int) -> None:
    more, less = (fitting_items(evaluation_bytes(samples, 320, torch.float16), bytes_) for bytes_ in (free, free // 2))
    assert more is not None and less is not None
    assert 1 <= less <= more


def test_the_machine_says_how_much_is_free() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
    assert free_memory(torch.device("meta")) is None
