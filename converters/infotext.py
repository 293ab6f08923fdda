"""Workflows from infotext: the generation parameters that AUTOMATIC1111's web interface and its kin write.

What it means there is described in public at https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from graphflow.document.document import Document, parse
from graphflow.document.infotext import LORAS, Infotext, Network

_SAMPLERS = {
    "euler": "euler", "euler a": "euler_ancestral", "lms": "lms", "heun": "heun", "dpm2": "dpm_2", "dpm2 a": "dpm_2_ancestral",
    "dpm++ 2s a": "dpmpp_2s_ancestral", "dpm++ 2m": "dpmpp_2m", "dpm++ sde": "dpmpp_sde", "dpm++ 2m sde": "dpmpp_2m_sde",
    "dpm++ 2m sde heun": "dpmpp_2m_sde_heun", "dpm++ 3m sde": "dpmpp_3m_sde", "dpm fast": "dpm_fast",
    "dpm adaptive": "dpm_adaptive", "ddim": "ddim", "unipc": "uni_pc", "lcm": "lcm", "ddpm": "ddpm",
}  # fmt: skip
_SCHEDULES = {
    "karras": "karras", "exponential": "exponential", "polyexponential": "exponential", "sgm uniform": "sgm_uniform",
    "simple": "simple", "normal": "normal", "uniform": "normal", "ddim": "ddim_uniform", "beta": "beta",
    "kl optimal": "kl_optimal",
}  # fmt: skip
_KARRAS = frozenset({"dpmpp_2s_ancestral", "dpmpp_2m", "dpmpp_sde"})
"""Samplers whose schedule is Karras's where it says ``Automatic``; others of the DPM++ SDE kind have the exponential one."""
_EXPONENTIAL = frozenset({"dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"})
_SAID = frozenset({
    "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Model hash", "VAE", "VAE hash", "Clip skip",
    "Denoising strength", "Hires upscale", "Hires upscaler", "Hires steps", "Hires resize", "Lora hashes", "TI hashes", "RNG",
    "Version", "Batch size", "Batch pos",
})  # fmt: skip
"""Settings that the workflow has, or that say nothing of the picture."""
_BRACKETS = re.compile(r"(?<!\\)\[([^\[\]:|]*)\]")
_PROMPT_EDITING = re.compile(r"(?<!\\)\[[^\[\]]*[:|][^\[\]]*\]|\bAND\b|\bBREAK\b")


def to_document(info: Infotext, name: str) -> Document:
    """Return a workflow that does what an infotext says; its notices tell what it says otherwise.

    Args:
        info: The infotext.
        name: What to call the workflow.

    Raises:
        WorkflowError: A value is out of the range that a workflow may have.
    """
    building = _Building(info)
    nodes = building.nodes()
    inputs = {
        "prompt": ["positive.text"],
        "negative_prompt": ["negative.text"],
        "model": ["checkpoint.model"],
        "image": ["load.file"],
        "width": ["latent.width"],
        "height": ["latent.height"],
    }
    inputs |= {
        part: [f"{node}.{part}" for node in ("sample", "detail")] for part in ("seed", "steps", "guidance_scale")
    }
    there = {name: [target for target in to if target.partition(".")[0] in nodes] for name, to in inputs.items()}
    data = {
        "graphflow": 2,
        "name": name,
        "inputs": {name: {"to": to} for name, to in there.items() if to},
        "nodes": nodes,
    }
    return parse(data, source=name).with_notices(building.remarks)


class _Building:
    """Builds the nodes; takes note of what is otherwise."""

    def __init__(self, info: Infotext) -> None:
        self.info = info
        self.settings: Mapping[str, str] = info.settings
        self.remarks: list[str] = []
        self.made: dict[str, dict[str, Any]] = {}

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the nodes by id."""
        model, text_encoder, vae = self._models()
        skip = int(self._number("Clip skip", 0))
        for node, text in (("positive", self.info.plain_prompt()), ("negative", self.info.negative)):
            params: dict[str, Any] = {"text": self._text(text)}
            if skip > 1:
                params["clip_skip"] = skip
            self._add(node, "encode_prompt", params, text_encoder=text_encoder)
        latent, strength = self._start(vae)
        sampled = self._sample("sample", model, latent, strength)
        decoded = self._add("decode", "vae_decode", {}, vae=vae, latent=sampled)
        if "Hires upscale" in self.settings:
            decoded = self._enlarged(model, vae, sampled)
        self._add("save", "save_image", {}, images=decoded)
        rest = [f"{name}: {value}" for name, value in self.settings.items() if name not in _SAID]
        if rest:
            self.remarks.append(f"left out: {', '.join(rest)}")
        self.remarks.append("noise of steps and weights of words work otherwise there, so pixels differ a little")
        return self.made

    def _add(self, id: str, type: str, params: dict[str, Any], **links: str) -> str:
        self.made[id] = {"type": type, "params": params, "links": links}
        return id

    def _models(self) -> tuple[str, str, str]:
        name = self.settings.get("Model") or self.settings.get("Model hash") or "checkpoint"
        if "Model" not in self.settings:
            self.remarks.append("it names no model: -i model=NAME says which")
        self._add("checkpoint", "load_checkpoint", {"model": name})
        if digest := self.settings.get("Model hash"):
            self.made["checkpoint"]["note"] = f"SHA-256 begins with {digest}"
        model, text_encoder, vae = (f"checkpoint.{part}" for part in ("model", "text_encoder", "vae"))
        for network in self.info.networks():
            model, text_encoder = self._network(network, model, text_encoder)
        if (other := self.settings.get("VAE", "")) not in ("", "None", "Automatic"):
            vae = self._add("vae", "load_vae", {"model": other})
        return model, text_encoder, vae

    def _network(self, network: Network, model: str, text_encoder: str) -> tuple[str, str]:
        """Apply a network that the prompt names; return what carries model and text encoder then."""
        number = sum(id.startswith(("lora_", "hypernetwork_")) for id in self.made) + 1
        if network.kind in LORAS:
            for_text, for_model = self._strengths(network)
            params = {"lora": network.name, "strength": for_model, "text_encoder_strength": for_text}
            id = self._add(f"lora_{number}", "apply_lora", params, model=model, text_encoder=text_encoder)
            return f"{id}.model", f"{id}.text_encoder"
        if network.kind == "hypernet":
            params = {"hypernetwork": network.name, "strength": self._strengths(network)[1]}
            return self._add(f"hypernetwork_{number}", "apply_hypernetwork", params, model=model), text_encoder
        self._remark(f"{network} is left out: no network of the kind {network.kind!r} is known")
        return model, text_encoder

    def _strengths(self, network: Network) -> tuple[float, float]:
        """Return the strengths for the text encoder and the model: ``:te:unet``, or ``te=`` and ``unet=``; 1 where none is."""
        named = dict(value.split("=", 1) for value in network.values if "=" in value)
        plain = [value for value in network.values if "=" not in value]
        for_text = self._strength_of(network, named.pop("te", plain[0] if plain else "1"))
        told = named.pop("unet", plain[1] if len(plain) > 1 else None)
        for_model = for_text if told is None else self._strength_of(network, told)
        if named or len(plain) > 2:
            self._remark(f"of {network} name and strengths count alone")
        return for_text, for_model

    def _strength_of(self, network: Network, text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            self._remark(f"the strength {text!r} of {network} is no number: 1 in its place")
            return 1.0
        return found

    def _text(self, text: str) -> str:
        """Return a prompt in our syntax: ``[word]`` weighs less there, embeddings stand by their bare names."""
        if _PROMPT_EDITING.search(text):
            self.remarks.append("[from:to:when], [a|b], AND and BREAK are plain text here")
        text = _BRACKETS.sub(r"(\1:0.909)", text)
        for pair in self.settings.get("TI hashes", "").split(","):
            if name := pair.partition(":")[0].strip():
                text = re.sub(rf"(?<![\w:]){re.escape(name)}(?!\w)", f"embedding:{name}", text)
        return text

    def _start(self, vae: str) -> tuple[str, float | None]:
        """Return where sampling starts, and its strength where that is a picture."""
        width, height = self._size()
        if "Denoising strength" not in self.settings or "Hires upscale" in self.settings:
            return self._add("latent", "empty_latent", {"width": width, "height": height}), None
        self.remarks.append("it was made from a picture that it does not name: -i image=FILE says which")
        loaded = self._add("load", "load_image", {"file": "picture.png"})
        params = {"width": width, "height": height, "method": "lanczos"}
        resized = self._add("resize", "resize", params, images=f"{loaded}.image")
        return self._add("encode", "encode_image", {}, vae=vae, images=resized), self._strength()

    def _sample(self, id: str, model: str, latent: str, strength: float | None, steps: int | None = None) -> str:
        sampler, schedule = self._sampler()
        steps = steps or max(1, int(self._number("Steps", 20)))
        params: dict[str, Any] = {
            "seed": self._seed(),
            "steps": steps,
            "guidance_scale": self._number("CFG scale", 7.0),
            "sampler": sampler,
            "schedule": schedule,
        }
        if strength is not None:  # of N steps it makes the last int(strength * N) + 1
            params["start_step"] = max(0, steps - int(min(strength, 0.999) * steps) - 1)
        if self.settings.get("RNG", "GPU") in ("GPU", "NV"):
            params |= {"noise_device": "cuda", "step_noise_device": "cuda"}
        return self._add(id, "sample", params, model=model, positive="positive", negative="negative", latent=latent)

    def _enlarged(self, model: str, vae: str, sampled: str) -> str:
        scale = self._number("Hires upscale", 2.0)
        upscaler = self.settings.get("Hires upscaler", "Latent")
        steps = int(self._number("Hires steps", 0)) or None
        if upscaler.startswith("Latent"):
            method = "nearest" if "nearest" in upscaler else "bicubic" if "bicubic" in upscaler else "bilinear"
            enlarged = self._add("enlarge", "upscale_latent", {"scale": scale, "method": method}, latent=sampled)
        else:
            if upscaler not in ("Lanczos", "None"):
                self.remarks.append(
                    f"{upscaler} is Lanczos here: load_upscale_model and upscale_image_with_model do it"
                )
            params = {"scale": scale, "method": "lanczos"}
            images = self._add("enlarge", "resize", params, images="decode")
            enlarged = self._add("encode", "encode_image", {}, vae=vae, images=images)
        detail = self._sample("detail", model, enlarged, self._strength(), steps)
        return self._add("decode_detail", "vae_decode", {}, vae=vae, latent=detail)

    def _sampler(self) -> tuple[str, str]:
        """Return sampler and schedule; older versions put the schedule behind the sampler's name."""
        said = self.settings.get("Sampler", "Euler a")
        name, schedule = said.lower(), self.settings.get("Schedule type", "").lower()
        for known in ("karras", "exponential"):
            if name.endswith(f" {known}"):
                name, schedule = name.removesuffix(f" {known}"), schedule or known
        sampler = _SAMPLERS.get(name)
        if sampler is None:
            self._remark(f"the sampler {said!r} is unknown: euler_ancestral in its place")
            sampler = "euler_ancestral"
        if schedule in ("", "automatic"):
            automatic = bool(schedule)  # older ones name the schedule where it is not the plain one
            special = "karras" if sampler in _KARRAS else "exponential" if sampler in _EXPONENTIAL else "normal"
            return sampler, "ddim_uniform" if sampler == "ddim" else special if automatic else "normal"
        if schedule not in _SCHEDULES:
            self._remark(f"the schedule {schedule!r} is unknown: karras in its place")
        return sampler, _SCHEDULES.get(schedule, "karras")

    def _size(self) -> tuple[int, int]:
        width, _, height = self.settings.get("Size", "512x512").partition("x")
        try:
            return int(width), int(height)
        except ValueError:
            self._remark(f"the size {self.settings['Size']!r} is none: 512x512 in its place")
            return 512, 512

    def _seed(self) -> int:
        said = self.settings.get("Seed", "0")
        if not said.isdecimal():
            self._remark(f"the seed {said!r} is none: 0 in its place")
            return 0
        return int(said)

    def _strength(self) -> float:
        return self._number("Denoising strength", 0.75)

    def _number(self, name: str, default: float) -> float:
        try:
            found = float(self.settings.get(name, default))
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            self._remark(f"{name} {self.settings[name]!r} is no number: {default:g} in its place")
            return default
        return found

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)
