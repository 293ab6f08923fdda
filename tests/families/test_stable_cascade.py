"""Stable Cascade's prompts beside transformers, with a text encoder of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from graphflow.document.document import Document
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from tests.families.plain_diffusers import tokenizers


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[CLIPTextModelWithProjection, Path]:
    torch.manual_seed(7)
    config = CLIPTextConfig(
        hidden_size=1280, intermediate_size=64, num_hidden_layers=2, num_attention_heads=20, projection_dim=1280,
        hidden_act="gelu", vocab_size=49408, bos_token_id=49406, eos_token_id=49407, attn_implementation="eager",
    )  # fmt: skip
    model = CLIPTextModelWithProjection(config).eval()
    root = tmp_path_factory.mktemp("models")
    (root / "text_encoders").mkdir()
    save_file(model.state_dict(), root / "text_encoders" / "clip_g.safetensors")
    return model, root


def test_prompts_are_encoded_as_its_pipeline_encodes_them(
    text_model: tuple[CLIPTextModelWithProjection, Path], tmp_path: Path
) -> None:
    model, root = text_model
    nodes = {
        "clip": {"type": "load_text_encoder", "params": {"model": "clip_g", "family": "stable_cascade"}},
        "told": {"type": "encode_prompt", "params": {"text": "a red fox"}, "links": {"text_encoder": "clip"}},
    }
    document = Document.model_validate({"graphflow": 2, "nodes": nodes, "outputs": {"told": "told"}})
    settings = Settings(
        models=(RootSetting(path=root),), cache_dir=tmp_path, device="cpu", dtype="float32", offline=True
    )
    (entry,) = Session(settings).run(document).outputs["told"].entries
    given = tokenizers(("<|endoftext|>",))[0](["a red fox"], padding="max_length", max_length=77, return_tensors="pt")
    with torch.inference_mode():
        wanted = model(given.input_ids, attention_mask=given.attention_mask, output_hidden_states=True)
    assert torch.allclose(entry.embedding, wanted.hidden_states[-1], atol=1e-5)
    assert torch.allclose(entry.pooled, wanted.text_embeds, atol=1e-5)
