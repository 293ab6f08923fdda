"""CUDA's random numbers: known answers of the generator and of torch, and Brownian paths made from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchsde

from graphflow.sampling import brownian
from graphflow.sampling.noise import CpuGenerator, initial_noise, step_noise
from graphflow.sampling.philox import PhiloxGenerator, philox_4x32
from tests.closeness import assert_close, close


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_the_generator(
    counter: tuple[int, int, int, int], key: int, expected: tuple[int, int, int, int]
) -> None:
    """The vectors that its authors published with Random123."""
    a, b, c, d = (np.array([word], dtype=np.uint64) for word in counter)
    assert tuple(int(word[0]) for word in philox_4x32((a, b, c, d), key)) == expected


def test_normal_numbers_are_those_of_torch_on_a_cuda_device() -> None:
    known = [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, -1.0745, -0.3631]
    assert PhiloxGenerator(0).randn((10,)).tolist() == pytest.approx(known, abs=5e-5)


def test_a_second_draw_goes_on_and_elements_do_not_depend_on_the_shape() -> None:
    generator = PhiloxGenerator(7)
    first, second = generator.randn((2, 3)), generator.randn((2, 3))
    assert not close(first, second)
    assert_close(PhiloxGenerator(7).randn((9,))[:6], first.flatten())


def test_the_numbers_are_standard_normal() -> None:
    drawn = PhiloxGenerator(2**64 - 1).randn((100_000,))
    assert abs(float(drawn.mean())) < 0.02
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.02)
    assert float((drawn.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.01)


def test_noise_of_a_cuda_device_has_the_same_layouts() -> None:
    shape = (3, 4, 2, 2)
    per_sample = initial_noise(shape, 5, "per_sample", device="cuda")
    assert torch.equal(per_sample[:1], PhiloxGenerator(5).randn((1, 4, 2, 2)))
    assert torch.equal(initial_noise((1, 4, 2, 2), 5, "per_sample", [2], "cuda"), per_sample[2:])
    assert torch.equal(initial_noise(shape, 5, "batch", device="cuda"), PhiloxGenerator(5).randn(shape))


def test_step_noise_follows_the_device_and_brownian_noise_only_where_the_sampler_says_so() -> None:
    x, sigmas = torch.zeros(1, 4, 4, 4), torch.tensor([14.0, 3.0, 0.5, 0.0])

    def drawn(kind: str, device: str) -> torch.Tensor:
        return step_noise(kind, x, sigmas, 5, "batch", device)(sigmas[0], sigmas[1])  # type: ignore[arg-type]

    assert torch.equal(drawn("gaussian", "cuda"), PhiloxGenerator(5).randn(x.shape))
    assert torch.equal(drawn("brownian", "cuda"), drawn("brownian", "cpu"))
    assert torch.equal(drawn("brownian_device", "cpu"), drawn("brownian", "cpu"))
    assert not close(drawn("brownian_device", "cuda"), drawn("brownian", "cpu"))


def test_a_brownian_path_adds_up_and_has_the_right_spread() -> None:
    path = brownian.brownian_tree(0.03, 14.6, (1, 4, 32, 32), 3, "cuda")
    assert torch.allclose(path(1.0, 2.0) + path(2.0, 3.5), path(1.0, 3.5), atol=1e-5)
    assert float(path(2.0, 6.0).std()) == pytest.approx(2.0, abs=0.1)


def test_the_tree_is_torchsdes_own_where_the_numbers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brownian, "PhiloxGenerator", CpuGenerator)
    ours = brownian.brownian_tree(0.03, 14.6, (1, 4, 4, 4), 5, "cuda")
    theirs = torchsde.BrownianTree(0.03, torch.zeros(1, 4, 4, 4), 14.6, entropy=5)
    for start, end in ((1.0, 2.0), (0.5, 7.123456), (0.03, 0.2)):
        assert_close(ours(start, end), theirs(start, end))
