"""Which tokenizer goes with a text encoder."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Guess, JsonValue, Part, TokenizerSpec
from graphflow.modelfiles.given import Answers

CLIP_VOCABULARY = 49_408
"""Tokens of CLIP's vocabulary."""


def tokenizer_spec(part: Part, answers: Answers, *, pads_with_end: bool) -> TokenizerSpec:
    """The tokenizer of a CLIP text encoder in a single file.

    Args:
        part: The encoder.
        answers: Where `tokenizer` (or `tokenizer_2`) sections are looked for: `vocab` (token to id) and `merges`
            replace CLIP's vocabulary, the rest goes into the config.
        pads_with_end: Whether prompts are filled up with the end token (else with `!`, which has id 0).

    Raises:
        ModelFormatError: A given vocabulary is malformed.
    """
    section = part.name.replace("text_encoder", "tokenizer")
    config: Config = {
        "model_max_length": part.config["max_position_embeddings"],
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>" if pads_with_end else "!",
    }
    given = next((source for source in answers.given if source.values.get(section)), None)
    if given is None:
        fits = part.config["vocab_size"] == CLIP_VOCABULARY
        answers.guesses.append(Guess(section, "CLIP", "default", fits))
        if not fits:
            answers.warnings.append(
                f"{part.name} knows {part.config['vocab_size']} tokens, CLIP's vocabulary has {CLIP_VOCABULARY}: give"
                f" {section}.vocab and {section}.merges in a sidecar"
            )
        return TokenizerSpec(part.name, "builtin", config)
    values = dict(given.values[section])
    vocab, merges = values.get("vocab"), values.get("merges")
    whole = values.get("config")  # A complete tokenizer_config.json, as files written here carry it.
    config.update(special_tokens({**(whole if isinstance(whole, dict) else {}), **values}))
    answers.guesses.append(Guess(section, "given", given.source, True, given.reason))
    if vocab is None and merges is None:
        return TokenizerSpec(part.name, "builtin", config)
    return TokenizerSpec(part.name, "inline", config, vocab=_vocab(vocab, answers), merges=_merges(merges, answers))


def special_tokens(config: Config) -> Config:
    """The entries of a tokenizer's config that matter here, special tokens as plain text."""
    wanted = ("model_max_length", "bos_token", "eos_token", "unk_token", "pad_token")
    # A special token may be stored as an object with its text in `content`.
    return {
        key: value.get("content") if isinstance(value, dict) else value
        for key, value in config.items()
        if key in wanted
    }


def _vocab(value: JsonValue, answers: Answers) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise ModelFormatError("tokenizer.vocab must map tokens to ids", where=answers.where)
    checked: dict[str, int] = {}
    for token, number in value.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ModelFormatError(f"tokenizer.vocab: the id of {token[:40]!r} is no whole number", where=answers.where)
        checked[token] = number
    return checked


def _merges(value: JsonValue, answers: Answers) -> tuple[str, ...]:
    checked: list[str] = []
    for item in value if isinstance(value, list) else [None]:
        pair = item if isinstance(item, str) else " ".join(map(str, item)) if isinstance(item, list) else ""
        if pair.count(" ") != 1:
            raise ModelFormatError("tokenizer.merges must be a list of pairs such as 'a b'", where=answers.where)
        checked.append(pair)
    return tuple(checked)


def byte_letters() -> list[str]:
    """The letters that stand for the 256 bytes in byte-level BPE (Radford et al. 2019): printable ones themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
