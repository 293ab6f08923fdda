"""Language models that read prompts, compared with transformers' own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import Gemma2Config, Gemma2Model

from graphflow.errors import NodeError
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from tests.closeness import assert_close
from tests.families.recorded_models import write_model

PROMPT = "a (red:1.2) fox in the snow"


def pieces() -> bytes:
    made = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([PROMPT] * 20), model_writer=made, vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    return made.getvalue()


def write_gemma2(models: Path, spiece: bytes) -> Gemma2Model:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    model = Gemma2Model(config).eval()
    tensors = {f"model.{name}": 3 * tensor for name, tensor in model.state_dict().items()}
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
    if spiece:
        tensors["spiece_model"] = torch.from_numpy(np.frombuffer(spiece, np.uint8).copy())
        inside = {name: f"text_encoders.gemma2_2b.transformer.{name}" for name in tensors if name.startswith("model.")}
        whole = {inside.get(name, f"text_encoders.{name}"): tensor for name, tensor in tensors.items()}
        for name, tensor in load_file(write_model("lumina2", models)).items():
            whole[f"model.diffusion_model.{name}"] = tensor
        (models / "checkpoints").mkdir()
        save_file(whole, models / "checkpoints" / "whole.safetensors")
    (models / "text_encoders").mkdir(parents=True)
    save_file(tensors, models / "text_encoders" / "gemma.safetensors")
    return model


def session(tmp_path: Path) -> Session:
    settings = Settings(
        models=(RootSetting(path=tmp_path / "models"),),
        cache_dir=tmp_path / "cache",
        device="cpu",
        dtype="float32",
        offline=True,
    )
    return Session(settings)


def workflow(loader: str, model: str, output: str) -> dict[str, Any]:
    nodes = {
        "text": {"type": loader, "params": {"model": model}},
        "told": {"type": "encode_prompt", "params": {"text": PROMPT}, "links": {"text_encoder": output}},
    }
    return {"graphflow": 1, "nodes": nodes, "outputs": {"told": "told"}}


ALONE = workflow("load_text_encoder", "gemma.safetensors", "text")


def test_gemma_2_is_read_before_its_last_layer(tmp_path: Path) -> None:
    spiece = pieces()
    model = write_gemma2(tmp_path / "models", spiece)
    runs = session(tmp_path)
    (entry,) = runs.run(ALONE).outputs["told"].entries
    (inside,) = runs.run(workflow("load_checkpoint", "whole.safetensors", "text.text_encoder")).outputs["told"].entries
    ids = [2, *SentencePieceProcessor(model_proto=spiece).encode(PROMPT)]
    with torch.no_grad():
        wanted = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-2]
    assert entry.pooled is None
    assert_close(entry.embedding, wanted)
    assert torch.equal(inside.embedding, entry.embedding)


def test_a_tokenizer_that_is_missing_is_named(tmp_path: Path) -> None:
    write_gemma2(tmp_path / "models", b"")
    with pytest.raises(NodeError, match=r"tokenizers/gemma2 .* hf download"):
        session(tmp_path).run(ALONE)
