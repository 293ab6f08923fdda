"""Every detector of controlnet-aux that reads weights, loaded from files and run on random ones."""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphflow import nodes
from graphflow.values import Image
from graphflow.vision.annotators import ANNOTATORS, PreprocessorName, _module, quiet
from tests.models.tiny_manager import make_manager, running

POOL = torch.randn(20_000, generator=torch.Generator().manual_seed(0))


def thin(module: nn.Module) -> dict[str, Tensor]:
    """Random weights of a module's shapes that share one small storage, so that files of large networks stay small."""
    state: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = tensor.clone()
        elif name.endswith("running_var"):
            state[name] = torch.as_strided(POOL.abs() + 0.5, tensor.shape, (1,) * tensor.ndim)
        else:
            state[name] = torch.as_strided(POOL * 0.05, tensor.shape, (1,) * tensor.ndim)
    return state


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def without_block(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as the files of the pose networks have them: without the name of the block in front."""
    return {name.partition(".")[2]: tensor for name, tensor in state.items()}


def pidi() -> dict[str, Any]:
    return {"table5_pidinet.pth": {"state_dict": under("module.", thin(_module("pidi").pidinet()))}}


def teed() -> dict[str, Any]:
    return {"5_model.pth": thin(_module("teed").TED())}


def lineart() -> dict[str, Any]:
    weights = thin(_module("lineart").Generator(3, 1, 3))
    return {"sk_model.pth": weights, "sk_model2.pth": weights}


def lineart_anime() -> dict[str, Any]:
    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    net = _module("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    return {"netG.pth": thin(net)}


def mlsd() -> dict[str, Any]:
    return {"mlsd_large_512_fp32.pth": thin(_module("mlsd").MobileV2_MLSD_Large())}


def openpose() -> dict[str, Any]:
    _module("open_pose")
    package = "controlnet_aux.open_pose"
    return {
        "body_pose_model.pth": without_block(thin(sys.modules[f"{package}.body"].bodypose_model())),
        "hand_pose_model.pth": without_block(thin(sys.modules[f"{package}.hand"].handpose_model())),
        "facenet.pth": thin(sys.modules[f"{package}.face"].FaceNet()),
    }


def midas() -> dict[str, Any]:
    _module("midas")
    api = sys.modules["controlnet_aux.midas.api"]
    return {
        "dpt_hybrid-midas-501f0c75.pt": thin(api.DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True))
    }


def normal_bae() -> dict[str, Any]:
    given = types.SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    return {"scannet.pt": {"model": under("module.", thin(_module("normalbae").NNET(given)))}}


def leres() -> dict[str, Any]:
    module = _module("leres")
    options = module.TestOptions().parse()
    options.gpu_ids = []
    merging = module.Pix2Pix4DepthModel(options).netG
    return {
        "res101.pth": {"depth_model": under("module.", thin(module.RelDepthModel(backbone="resnext101")))},
        "latest_net_G.pth": thin(getattr(merging, "module", merging)),
    }


def zoe() -> dict[str, Any]:
    module = _module("zoe")
    return {"ZoeD_M12_N.pt": {"model": thin(module.ZoeDepth.build_from_config(module.get_config("zoedepth", "infer")))}}


SMALL: dict[Callable[[], dict[str, Any]], tuple[PreprocessorName, ...]] = {
    pidi: ("pidi", "pidi_safe", "scribble_pidi"),
    teed: ("teed",),
    lineart: ("lineart", "lineart_coarse"),
    mlsd: ("mlsd",),
}
LARGE: dict[Callable[[], dict[str, Any]], tuple[PreprocessorName, ...]] = {
    lineart_anime: ("lineart_anime",),
    openpose: ("openpose", "openpose_full"),
    midas: ("depth_midas", "normal_midas"),
    normal_bae: ("normal_bae",),
    leres: ("depth_leres",),
    zoe: ("depth_zoe",),
}
"""Networks with 40 to 350 million weights: minutes on a busy machine."""

soak = pytest.mark.skipif(
    "GRAPHFLOW_TEST_SOAK" not in os.environ, reason="takes minutes; GRAPHFLOW_TEST_SOAK=1 runs it"
)


@pytest.mark.parametrize("make", [*SMALL, *(pytest.param(make, marks=soak) for make in LARGE)])
def test_a_detector_loads_its_files_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], dict[str, Any]]
) -> None:
    # Some detectors look at the command line, which is graphflow's and none of their business.
    monkeypatch.setattr(sys, "argv", ["graphflow", "run", "workflow.json", "-i", "prompt=a cat"])
    folder = tmp_path / "annotators"
    folder.mkdir()
    with quiet():
        files = make()
    for name, weights in files.items():
        torch.save(weights, folder / name)
    coarse = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    pixels = nn.functional.interpolate(coarse, size=(50, 60), mode="bicubic").clamp(0, 1)
    for method in {**SMALL, **LARGE}[make]:
        assert set(ANNOTATORS[method].files) == set(files)
        with running(make_manager(tmp_path)):
            drawn = nodes.preprocess(Image(pixels=pixels), method, resolution=64).pixels
        assert drawn.shape == (1, 3, 50, 60)
        assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1


def test_every_detector_with_weights_is_among_them() -> None:
    here = {method for methods in (*SMALL.values(), *LARGE.values()) for method in methods}
    assert here == {name for name, method in ANNOTATORS.items() if method.files and method.module != "hed"}
