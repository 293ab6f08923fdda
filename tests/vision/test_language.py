"""A language model writes what transformers' own way writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow import Session, Settings, Workflow, nodes, runtime
from graphflow.errors import CancelledError, InvalidInputError, WorkflowError
from graphflow.loading.manager import ModelManager
from graphflow.settings import RootSetting
from graphflow.values import Image
from tests.models.tiny_manager import make_manager, running

NAME = "writer"
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>"
    "{% if enable_thinking %}<think>{% endif %}"
)


def save(folder: Path) -> Any:
    """A tiny language model of random weights, whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", chat_template=TEMPLATE)
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    module = LlamaForCausalLM(config).eval()
    for part in (module, tokenizer):
        part.save_pretrained(folder / "LLM" / NAME)
    return module, tokenizer


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[ModelManager]:
    manager = make_manager(tmp_path)
    with running(manager):
        yield manager


def test_the_likeliest_answer_is_transformers_own(tmp_path: Path, manager: ModelManager) -> None:
    module, tokenizer = save(tmp_path)
    told = {"tokens": 12, "temperature": 0.0, "repetition_penalty": 1.2}
    found = nodes.generate_text("a fox", NAME, write=True, system="be brief", thinking=True, **told)
    inputs = tokenizer("<system>be brief<user>a fox<assistant><think>", return_tensors="pt")
    made = module.generate(**inputs, max_new_tokens=12, do_sample=False, repetition_penalty=1.2)
    wanted = tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert found.text == wanted.strip() and not found.thinking


def test_what_it_draws_follows_the_seed_alone(tmp_path: Path, manager: ModelManager) -> None:
    save(tmp_path)
    state = torch.random.get_rng_state()
    first, again, other = (nodes.generate_text("a", NAME, write=True, tokens=16, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_stops_between_tokens_and_reads_no_pictures(tmp_path: Path, manager: ModelManager) -> None:
    save(tmp_path)

    def stop() -> None:
        raise CancelledError

    with runtime.using(runtime.Runtime(models=manager, check_cancelled=stop)), pytest.raises(CancelledError):
        nodes.generate_text("a", NAME, write=True, tokens=4000)
    with pytest.raises(InvalidInputError, match="reads no pictures"):
        nodes.generate_text("a", NAME, write=True, images=[Image(pixels=torch.zeros(1, 3, 8, 8))])


def workflow(write: bool) -> Workflow:
    g = Workflow()
    written = g.add(nodes.generate_text, prompt="a fox", model=NAME, write=write, id="writer")
    g.add(nodes.show, value=written.text)
    return g


def test_it_is_off_until_the_user_says_so(tmp_path: Path) -> None:
    settings = Settings(models=(RootSetting(path=tmp_path),), cache_dir=tmp_path / "cache", offline=True, device="cpu")
    with Session(settings) as session:
        result = session.run(workflow(write=False), targets=["writer"])
        assert result.values["writer.text"] == "a fox"
        assert any("not rewritten by writer" in notice for notice in result.notices)
        with pytest.raises(WorkflowError, match="'writer': there is no language model"):
            session.plan(workflow(write=True))
