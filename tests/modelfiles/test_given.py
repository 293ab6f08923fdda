from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import ModelFormatError
from graphflow.library.library import Library
from tests.models.weight_shapes import checkpoint, clip, ldm_unet, prefixed, write_header

FIELD = "scheduler.prediction_type"
TINY: dict[str, Any] = {"widths": (32, 64), "depths": (1, 1), "layers": 1}


def put(root: Path, *, sidecar: Any = None, markers: dict[str, tuple[int, ...]] | None = None, **metadata: str) -> None:
    shapes = checkpoint("sdxl", widths=(32, 64), depths=(0, 2), mid_depth=2, layers=1) | (markers or {})
    write_header(root / "checkpoints/m.safetensors", shapes, metadata=metadata)
    if sidecar is not None:
        (root / "checkpoints/m.json").write_text(sidecar if isinstance(sidecar, str) else json.dumps(sidecar), "utf-8")


def test_the_order_of_the_sources(root: Path, library: Library) -> None:
    """Each source is taken away in turn, and the next one answers."""
    markers: dict[str, tuple[int, ...]] = {"v_pred": (0,), "ztsnr": (0,)}
    spec = {"modelspec.prediction_type": "epsilon"}
    config = {"graphflow.config": json.dumps({"scheduler": {"prediction_type": "v_prediction"}})}
    seen = []

    def settle(**overrides: Any) -> None:
        guess = library.describe("m", "checkpoint", overrides=overrides).guess(FIELD)
        assert guess is not None
        seen.append((guess.value, guess.source, guess.certain))

    put(root, sidecar={"prediction_type": "epsilon"}, markers=markers, **spec, **config)
    settle(prediction_type="sample")
    settle()
    (root / "checkpoints/m.json").unlink()
    settle()
    put(root, markers=markers, **spec)
    settle()
    put(root, markers=markers)
    settle()
    put(root)
    settle()
    assert seen == [
        ("sample", "parameter", True),
        ("epsilon", "sidecar", True),
        ("v_prediction", "metadata", True),
        ("epsilon", "modelspec", True),
        ("v_prediction", "marker", True),
        ("epsilon", "default", False),
    ]


def test_markers(root: Path, library: Library) -> None:
    put(root, markers={"v_pred": (0,), "ztsnr": (0,)})
    found = library.describe("m", "checkpoint")
    assert (found.scheduler["prediction_type"], found.scheduler["rescale_betas_zero_snr"]) == ("v_prediction", True)


@pytest.mark.parametrize("spelling", ["v", "v_prediction", "V", "v-prediction"])
def test_spellings_of_v(root: Path, library: Library, spelling: str) -> None:
    put(root, **{"modelspec.prediction_type": spelling})
    assert library.describe("m", "checkpoint").scheduler["prediction_type"] == "v_prediction"


def test_sections_and_short_names(root: Path, library: Library) -> None:
    put(root)
    overrides = {"attention_heads": [4, 8], "norm_groups": 16, "vae": {"scaling_factor": 0.5}, "zero_snr": True}
    found = library.describe("m", "checkpoint", overrides=overrides)
    assert found.parts["unet"].config["attention_head_dim"] == [4, 8]
    assert (found.parts["unet"].config["norm_num_groups"], found.parts["vae"].config["norm_num_groups"]) == (16, 16)
    assert (found.parts["vae"].config["scaling_factor"], found.scheduler["rescale_betas_zero_snr"]) == (0.5, True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"prediction_typ": "v"}, "no model parameter 'prediction_typ'.*did you mean 'prediction_type'"),
        ({"prediction_type": "w"}, "must be one of epsilon, flow_prediction, sample, v_prediction, got 'w'"),
        ({"zero_snr": 1}, "true or false"),
        ({"scaling_factor": 0}, "other than 0"),
        ({"scaling_factor": float("nan")}, "other than 0"),
        ({"attention_heads": 0}, "from 1"),
        ({"attention_heads": [8, True]}, "from 1"),
        ({"norm_groups": 2.5}, "from 1"),
        ({"unet": 3}, "must be an object"),
        ({"variant": "sd9"}, "variant must be one of"),
        ({"unet": {"cross_attention_dim": 77}}, "2048 by the shapes of the tensors, not 77"),
        ({"tokenizer": {"vocab": {"a": -1}, "merges": []}}, "no whole number"),
        ({"tokenizer": {"vocab": {"a": 1}, "merges": ["abc"]}}, "list of pairs"),
        ({"tokenizer": {"merges": ["a b"]}}, "must map tokens to ids"),
    ],
)
def test_wrong_parameters(root: Path, library: Library, overrides: dict[str, Any], message: str) -> None:
    put(root)
    with pytest.raises(ModelFormatError, match=message):
        library.describe("m", "checkpoint", overrides=overrides)


def test_shapes_win_over_metadata_with_a_warning(root: Path, library: Library) -> None:
    put(root, **{"graphflow.config": json.dumps({"unet": {"cross_attention_dim": 77, "attention_head_dim": 4}})})
    found = library.describe("m", "checkpoint")
    assert found.parts["unet"].config["cross_attention_dim"] == 2048
    assert found.parts["unet"].config["attention_head_dim"] == 4
    assert any("cross_attention_dim is 2048" in text for text in found.warnings)


def test_sidecars_of_other_tools_do_no_harm(root: Path, library: Library) -> None:
    put(root, sidecar={"description": "nice", "sd version": "SDXL", "variant": "fp16", "model": {"id": 3}})
    assert library.describe("m", "checkpoint").scheduler["prediction_type"] == "epsilon"


@pytest.mark.parametrize("sidecar", ["{", "[]", '{"prediction_type": "w"}', '{"unet": []}'])
def test_broken_sidecars_are_named(root: Path, library: Library, sidecar: str) -> None:
    put(root, sidecar=sidecar)
    with pytest.raises(ModelFormatError, match=r"m.json"):
        library.describe("m", "checkpoint")


@pytest.mark.parametrize("text", ["{", "[]", '{"scheduler": 3}'])
def test_broken_metadata_is_named(root: Path, library: Library, text: str) -> None:
    put(root, **{"graphflow.config": text})
    with pytest.raises(ModelFormatError, match=r"graphflow.config"):
        library.describe("m", "checkpoint")


def test_a_sidecar_changes_the_fingerprint(root: Path, library: Library) -> None:
    put(root)
    before = library.describe("m", "checkpoint").fingerprint
    put(root, sidecar={"prediction_type": "v"})
    assert library.describe("m", "checkpoint").fingerprint != before


def test_a_vocabulary_of_ones_own(root: Path, library: Library) -> None:
    shapes = prefixed("cond_stage_model.transformer.", clip(64, 2, tokens=4))
    shapes |= prefixed("model.diffusion_model.", ldm_unet(**TINY, mid_depth=1, cross=64))
    vocab = {"a": 0, "b": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}
    path = root / "checkpoints/own.safetensors"
    write_header(path, shapes)
    assert any("tokenizer.vocab" in text for text in library.describe("own", "checkpoint").warnings)
    whole = {"model_max_length": 16, "pad_token": {"content": "a"}, "padding_side": "right"}
    config = {"tokenizer": {"vocab": vocab, "merges": [["a", "b"], "b a"], "config": whole}}
    write_header(path, shapes, metadata={"graphflow.config": json.dumps(config)})
    found = library.describe("own", "checkpoint")
    (spec,) = found.tokenizers
    assert (spec.source, spec.vocab, spec.merges) == ("inline", vocab, ("a b", "b a"))
    assert (spec.config["model_max_length"], spec.config["pad_token"]) == (16, "a")
    assert "padding_side" not in spec.config
    assert not found.warnings
    assert found.parts["text_encoder"].config["eos_token_id"] == 3


@pytest.mark.parametrize(("cross", "named", "variant"), [(96, "sd2", "sd2"), (768, "sd2", "sd1")])
def test_a_named_variant_counts_where_the_shapes_do_not_tell(
    root: Path, library: Library, cross: int, named: str, variant: str
) -> None:
    shapes = ldm_unet(**TINY, mid_depth=1, cross=cross)
    path = write_header(
        root / "unet/u.safetensors", shapes, metadata={"modelspec.architecture": "stable-diffusion-v2-512"}
    )
    assert path.exists()
    assert library.describe("u", "diffusion_model").variant == variant
    assert library.describe("u", "diffusion_model", overrides={"variant": named}).variant == named
