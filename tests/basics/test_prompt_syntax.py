"""Brackets, escapes and embeddings in prompts, and chunks of tokens."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.basics.prompt_syntax import embedding_names, pieces, weighted_segments
from graphflow.families.latent_diffusion.chunks import MAX_UNCUT, make_chunks
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer, clip_vocabulary, make_tokenizer
from graphflow.modelfiles.description import TokenizerSpec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a fox", [("a fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("((snow))", [("snow", 1.1 * 1.1)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("((red:1.3))", [("red", 1.3)]),
        ("(a (b) :2)", [("a ", 2.0), ("b", 2.0 * 1.1), (" ", 2.0)]),
        ("(red:-0.5)", [("red", -0.5)]),
        ("(ratio:high)", [("ratio:high", 1.1)]),
        ("(x:nan)", [("x:nan", 1.1)]),
        ("[city]", [("[city]", 1.0)]),
        (r"a \(red\) fox", [("a (red) fox", 1.0)]),
        ("a (red fox", [("a ", 1.0), ("(red fox", 1.0)]),
        ("a) b", [("a) b", 1.0)]),
        ("()", []),
        ("", []),
    ],
)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    assert weighted_segments(text) == expected


def test_embeddings_are_found_with_their_weights() -> None:
    found = pieces("a embedding:one, b (embedding:two:1.2) embedding:one", ["<cat>"])
    assert [(piece.text, piece.weight) for piece in found if piece.is_embedding] == [
        ("one", 1.0),
        ("two", 1.2),
        ("one", 1.0),
    ]
    assert "".join(piece.text for piece in found if not piece.is_embedding).split() == ["a,", "b"]
    assert embedding_names("a embedding:one, b (embedding:two:1.2) embedding:one") == ["one", "two"]
    assert embedding_names("noembedding:here embedding :none") == []
    assert [piece.text for piece in pieces("my <cat>, BREAK", ["<cat>"]) if piece.is_embedding] == ["<cat>"]


@given(st.text(st.sampled_from("ab ()[]:\\.12,\n"), max_size=60))
def test_no_prompt_breaks_the_reader(text: str) -> None:
    found = weighted_segments(text)
    assert all(isinstance(weight, float) and part for part, weight in found)
    if not set("()\\") & set(text):
        assert "".join(part for part, _ in found) == text


def test_deep_brackets_end_as_text() -> None:
    assert len(weighted_segments("(" * 5000 + "a" + ")" * 5000)) == 1


def test_reading_prompts_needs_no_torch() -> None:
    code = "import sys; import graphflow.basics.prompt_syntax; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ----------------------------------------------------------------------------------------------------- tokens


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    return make_tokenizer(TokenizerSpec(part="text_encoder", source="builtin", config={}), 77)


def test_the_vocabulary_is_clips(tokenizer: PromptTokenizer) -> None:
    vocab, merges = clip_vocabulary()
    assert (len(vocab), len(merges)) == (49408, 48894)
    assert (vocab["!"], vocab["<|startoftext|>"], vocab["<|endoftext|>"]) == (0, 49406, 49407)
    # As recorded from ComfyUI.
    recorded = [320, 736, 3240, 4919, 530, 320, 14191, 4167, 267, 2870, 3086, 267, 12609]
    assert tokenizer.ids("a red fox sitting in a snowy forest, oil painting, detailed") == recorded
    assert tokenizer.ids("A  RED\nfox") == recorded[:3]
    assert tokenizer.ids("x " * 5000) == tokenizer.ids("x") * 5000


def test_a_vocabulary_of_its_own_is_used() -> None:
    vocab = {"a</w>": 0, "b</w>": 1, "a": 2, "b": 3, "ab</w>": 4, "<s>": 5, "</s>": 6}
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "</s>", "pad_token": "a</w>"}
    spec = TokenizerSpec(part="text_encoder", source="inline", config=config, vocab=vocab, merges=("a b</w>",))  # type: ignore[arg-type]
    own = make_tokenizer(spec, 8)
    assert own.ids("ab a b") == [4, 0, 1]
    (chunk,) = make_chunks("ab a", own, lambda name: None)
    assert [item.token for item in chunk] == [5, 4, 0, 6, 0, 0, 0, 0]


@given(lengths=st.lists(st.integers(1, 90), max_size=6))
def test_chunks_keep_every_token_in_order(lengths: list[int], tokenizer: PromptTokenizer) -> None:
    text = "".join(f"({'fox ' * length}:1.{number + 1})" for number, length in enumerate(lengths))
    chunks = make_chunks(text, tokenizer, lambda name: None)
    assert all(len(chunk) == 77 and chunk[0].token == tokenizer.start for chunk in chunks)
    body = [item.weight for chunk in chunks for item in chunk if item.token == 3240]
    assert body == [float(f"1.{number + 1}") for number, length in enumerate(lengths) for _ in range(length)]
    for number, length in enumerate(lengths):
        holding = [chunk for chunk in chunks if any(item.weight == float(f"1.{number + 1}") for item in chunk)]
        assert length > MAX_UNCUT or len(holding) == 1


def test_an_embedding_takes_a_place_for_each_vector(tokenizer: PromptTokenizer) -> None:
    vectors = torch.arange(12.0).reshape(3, 4)
    (chunk,) = make_chunks("a (embedding:x:0.5), b", tokenizer, lambda name: vectors if name == "x" else None)
    assert chunk[1].token == 320
    assert all(torch.equal(item.token, vector) for item, vector in zip(chunk[2:5], vectors, strict=True))  # type: ignore[arg-type]
    assert [item.weight for item in chunk[1:7]] == [1.0, 0.5, 0.5, 0.5, 1.0, 1.0]
