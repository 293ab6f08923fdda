"""Qwen-Image's files as people have them: all parts in one, a Diffusers folder, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.modelfiles.families import family_named
from graphflow.nodes import encode_prompt_with_images, load_checkpoint, load_text_encoder, load_vae, set_text_layer
from graphflow.session import Session
from graphflow.spec import registry
from graphflow.values import Image
from tests.closeness import assert_close
from tests.families.recorded_flows import make_session, write_qwen_tokenizer
from tests.families.recorded_models import write_model

PLACES = {
    "qwen_image_2511": "model.diffusion_model.",
    "qwen25_7b": "text_encoders.qwen25_7b.transformer.",
    "wan_vae": "vae.",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    models = tmp_path_factory.mktemp("models")
    files = {name: write_model(name, models) for name in PLACES}
    whole = {PLACES[name] + key: value for name, file in files.items() for key, value in load_file(file).items()}
    (models / "checkpoints").mkdir()
    save_file(whole, models / "checkpoints" / "whole.safetensors")
    write_qwen_tokenizer(models / "tokenizers" / "qwen2_5_vl" / "tokenizer.json")
    made = make_session(registry.installed(), models, tmp_path_factory.mktemp("cache"))
    with runtime.using(made.runtime()):
        yield made


def test_a_whole_checkpoint_has_the_parts_of_single_files(session: Session) -> None:
    checkpoint = load_checkpoint("whole")
    described = session.library.describe("whole", "checkpoint")
    assert (described.family, described.variant) == ("qwen_image", "qwen_image_edit_2511")
    assert described.parts["transformer"].config["num_layers"] == 2
    with load_text_encoder("qwen_2.5_vl_7b_tiny").use() as alone, checkpoint.text_encoder.use() as inside:
        (wanted,), (got,) = (encoder.encode("a red fox").entries for encoder in (alone, inside))
    assert_close(got.embedding, wanted.embedding)
    pixels = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with load_vae("wan_2.1_vae_tiny").use() as alone, checkpoint.vae.use() as inside:
        assert_close(inside.encode(pixels), alone.encode(pixels))
        assert inside.encode(pixels).shape == (1, 16, 1, 2, 3)


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
