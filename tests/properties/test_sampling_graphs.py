"""Random graphs of sampling nodes: valid ones run on the packaged model, broken ones are refused place by place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow import Workflow, nodes
from graphflow.building.refs import Ref
from graphflow.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec import registry

Draw = Callable[..., Any]

EXAMPLES = 200 if "GRAPHFLOW_TEST_SOAK" in os.environ else 12

CHANGES: dict[Any, dict[str, Any]] = {
    nodes.rescale_guidance: {"multiplier": 0.5},
    nodes.adaptive_projected_guidance: {"eta": 0.5, "momentum": -0.5},
    nodes.cfg_zero_star: {},
    nodes.tangential_guidance: {},
    nodes.limit_guidance_norm: {},
    nodes.renormalize_guidance: {"max_norm": 1.5},
    nodes.dynamic_thresholding: {"mimic_scale": 3.0, "percentile": 0.9},
    nodes.guidance_interval: {"start": 0.2, "end": 0.8},
    nodes.scale_epsilon: {"factor": 1.01},
    nodes.differential_diffusion: {},
    nodes.set_prediction: {"prediction": "v_prediction", "zero_snr": True},
    nodes.set_continuous_sampling: {"prediction": "edm"},
    nodes.set_flow_shift: {"shift": 2.0},
}
TELLING: dict[Any, dict[str, Any]] = {
    nodes.set_conditioning_area: {"width": 0.5, "height": 0.75, "x": 0.25},
    nodes.set_conditioning_range: {"start": 0.1, "end": 0.9},
    nodes.set_conditioning_strength: {"strength": 0.5},
    nodes.zero_out_conditioning: {},
}
SAMPLER_NODES = (
    nodes.sampler_euler_ancestral, nodes.sampler_dpmpp_sde, nodes.sampler_dpmpp_3m_sde, nodes.sampler_lms,
    nodes.sampler_er_sde, nodes.sampler_sa_solver,
)  # fmt: skip
GUIDERS = ("basic", "cfg", "dual", "perp_neg")
BREAKS = {"multiplier": 7.0, "eta": "much", "percentile": 0.0, "start": -1.0, "strength": 99.0, "factor": 3.0}


class Drawn:
    """One random graph."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.graph = Workflow()
        self.checkpoint: Ref[Any] = self.graph.add(nodes.load_checkpoint, model="shapes")
        self.sampled = self._sample()

    def some(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def told(self) -> Ref[Any]:
        text = self.some(("a red circle on a blue background", "a green square", ""))
        told = self.graph.add(nodes.encode_prompt, text_encoder=self.checkpoint.text_encoder, text=text)
        for function in self.draw(st.lists(st.sampled_from(list(TELLING)), max_size=2)):
            told = self.graph.add(function, conditioning=told, **TELLING[function])
        if self.draw(st.booleans()):
            other = self.graph.add(nodes.encode_prompt, text_encoder=self.checkpoint.text_encoder, text="a star")
            mix = self.some((nodes.combine_conditioning, nodes.concat_conditioning, nodes.average_conditioning))
            if mix is nodes.combine_conditioning:
                return self.graph.add(mix, conditioning=[told, other])
            return self.graph.add(mix, conditioning=told, other=other)
        return told

    def latent(self) -> Ref[Any]:
        latent = self.graph.add(
            nodes.empty_latent,
            width=self.some((32, 40, 64)),
            height=self.some((32, 48)),
            batch_size=self.some((1, 2)),
        )
        if self.draw(st.booleans()):
            mask = self.graph.add(nodes.rectangle_mask, width=32, height=32)
            latent = self.graph.add(nodes.set_noise_mask, latent=latent, mask=mask)
        return latent

    def _sample(self) -> Ref[Any]:
        model = self.checkpoint.model
        for function in self.draw(st.lists(st.sampled_from(list(CHANGES)), max_size=3, unique=True)):
            model = self.graph.add(function, model=model, **CHANGES[function])
        steps, schedule = self.draw(st.integers(1, 3)), self.some(SCHEDULE_NAMES)
        noise = {"seed": self.draw(st.integers(0, 9)), "layout": self.some(("per_sample", "batch"))}
        noise["step_noise"] = self.some(("seed", "seed + 1"))
        device = self.some(("cpu", "cuda"))
        if self.draw(st.booleans()):
            return self.graph.add(
                nodes.sample, model=model, positive=self.told(), negative=self.told(), latent=self.latent(),
                steps=steps, schedule=schedule, sampler=self.some(SAMPLER_NAMES), seed=noise["seed"],
                guidance_scale=self.some((0.0, 1.0, 5.0)), strength=self.some((0.5, 1.0)),
                noise_layout=noise["layout"], step_noise=noise["step_noise"], noise_device=device,
            )  # fmt: skip
        sampler = (
            self.graph.add(self.some(SAMPLER_NODES))
            if self.draw(st.booleans())
            else self.graph.add(nodes.select_sampler, sampler=self.some(SAMPLER_NAMES))
        )
        return self.graph.add(
            nodes.sample_custom,
            guider=self._guider(model),
            noise=self.graph.add(nodes.random_noise, **noise, device=device, step_device=device),
            sampler=sampler,
            sigmas=self.graph.add(nodes.make_sigmas, model=model, schedule=schedule, steps=steps),
            latent=self.latent(),
        )

    def _guider(self, model: Ref[Any]) -> Ref[Any]:
        match self.some(GUIDERS):
            case "basic":
                return self.graph.add(nodes.basic_guider, model=model, conditioning=self.told())
            case "cfg":
                return self.graph.add(nodes.cfg_guider, model=model, positive=self.told(), negative=self.told())
            case "dual":
                return self.graph.add(
                    nodes.dual_cfg_guider, model=model, positive=self.told(), middle=self.told(), negative=self.told(),
                    nested=self.draw(st.booleans()),
                )  # fmt: skip
            case _:
                return self.graph.add(
                    nodes.perp_neg_guider, model=model, positive=self.told(), negative=self.told(), empty=self.told()
                )


@st.composite
def graphs(draw: Draw) -> Drawn:
    return Drawn(draw)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder: Path = tmp_path_factory.mktemp("graphs")
    given_settings = {"models": (), "cache_dir": folder, "cache_bytes": 0, "device": "cpu", "offline": True}
    return Session(Settings.model_validate(given_settings), known=registry.installed())


@given(drawn=graphs())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_valid_graph_gives_finite_latents_of_the_shape_it_got(session: Session, drawn: Drawn) -> None:
    drawn.graph.output("latent", drawn.sampled)
    samples = session.run(drawn.graph).outputs["latent"].samples
    sizes = next(entry.params for entry in drawn.graph.document.nodes.values() if entry.type == "empty_latent")
    assert samples.shape == (sizes["batch_size"], 4, sizes["height"] // 8, sizes["width"] // 8)
    assert bool(torch.isfinite(samples).all())


@given(drawn=graphs(), data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_every_broken_place_of_a_graph_is_named(session: Session, drawn: Drawn, data: st.DataObject) -> None:
    document = drawn.graph.document
    places = [(name, key) for name, entry in document.nodes.items() for key in entry.params if key in BREAKS]
    broken = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3, unique=True)) if places else []
    for name, key in broken:
        document.nodes[name].params[key] = BREAKS[key]
    text = next(name for name, entry in document.nodes.items() if entry.type == "encode_prompt")
    document.nodes[text].links["text_encoder"] = "load_checkpoint.vae"
    problems = [str(problem) for problem in session.validate(drawn.graph).problems]
    assert any(text in problem and "text_encoder" in problem for problem in problems)
    for name, key in broken:
        assert any(f"{name}.params.{key}" in problem or f"{name}.{key}" in problem for problem in problems), problems
