"""Qwen-Image's files as people have them: all parts in one, a Diffusers folder, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.modelfiles.families import family_named
from graphflow.nodes import encode_prompt_with_images, load_checkpoint, set_text_layer
from graphflow.session import Session
from graphflow.spec import registry
from graphflow.values import Image
from tests.families.recorded_flows import make_session
from tests.families.recorded_models import SEEING, shapes

PLACES = {
    "qwen_image_2511": "model.diffusion_model.",
    "qwen25_7b": "text_encoders.qwen25_7b.transformer.",
    "wan_vae": "vae.",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """With one checkpoint of zeros, of a small vocabulary."""
    models = tmp_path_factory.mktemp("models")
    sizes = {PLACES[name] + key: shape for name in PLACES for key, shape in shapes()[name]["tensors"].items()}
    sizes[PLACES["qwen25_7b"] + "model.embed_tokens.weight"] = [8, 64]
    (models / "checkpoints").mkdir()
    save_file({key: torch.zeros(shape) for key, shape in sizes.items()}, models / "checkpoints" / "whole.safetensors")
    sidecar = {"text_encoder": {"vision_config": SEEING}}
    (models / "checkpoints" / "whole.json").write_text(json.dumps(sidecar), "utf-8")
    made = make_session(registry.installed(), models, tmp_path_factory.mktemp("cache"))
    with runtime.using(made.runtime()):
        yield made


def test_a_whole_checkpoint_has_all_parts(session: Session) -> None:
    described = session.library.describe("whole", "checkpoint")
    assert (described.family, described.variant) == ("qwen_image", "qwen_image_edit_2511")
    sizes = {name: part.config for name, part in described.parts.items()}
    assert sizes["transformer"].items() >= {"num_layers": 2, "joint_attention_dim": 64, "zero_cond_t": True}.items()
    assert sizes["text_encoder"].items() >= {"num_hidden_layers": 4, "num_key_value_heads": 4}.items()
    assert sizes["vae"].items() >= {"dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]}.items()
    with load_checkpoint("whole").vae.use() as vae:
        assert vae.encode(torch.zeros(1, 3, 17, 24)).shape == (1, 16, 1, 2, 3)


def test_a_layer_that_the_family_does_not_read_is_refused(session: Session) -> None:
    with (
        pytest.raises(ModelFormatError, match="last layer"),
        set_text_layer(load_checkpoint("whole").text_encoder, -2).use(),
    ):
        pass


def test_encoders_that_do_not_see_say_so(session: Session) -> None:
    picture = Image(pixels=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ModelFormatError, match="read no pictures"):
        encode_prompt_with_images(load_checkpoint("shapes").text_encoder, "make it red", [picture])
    with pytest.raises(InvalidInputError, match="several pictures"):
        encode_prompt_with_images(load_checkpoint("whole").text_encoder, "", [Image(pixels=torch.zeros(2, 3, 8, 8))])


def test_a_vocabulary_with_pairs_is_a_tokenizer(tmp_path: Path) -> None:
    """Diffusers' folder of Qwen-Image has no tokenizer.json."""
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2, "\u0120": 3}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    spec = TokenizerSpec("text_encoder", "folder", {}, path=tmp_path)
    assert family_named("qwen_image").count_tokens(spec, "ab a") == 3
