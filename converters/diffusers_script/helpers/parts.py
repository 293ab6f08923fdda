"""Models from single files, by their classes."""
# mypy: ignore-errors

import re
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline
from diffusers.loaders.single_file_utils import (
    convert_ldm_vae_checkpoint,
    convert_wan_vae_to_diffusers,
)
from safetensors import safe_open
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from graphflow.basics.tekken import read_tekken


def load_part(cls, path, prefix="", names="", dtype=None, **config):
    """A model from a file, with the names of its tensors changed by a table."""
    table = read_table(names)
    tensors = {}
    with safe_open(path, "pt") as file:
        for key in file.keys():
            if key.startswith(prefix):
                for name, rows in renamed(key.removeprefix(prefix), table):
                    tensors[name] = take_rows(file.get_tensor(key), rows).to(dtype)
    return fill_part(cls, path, tensors, config)


def tensors_of_part(path, prefix="", dtype=None):
    """Tensors of a file whose names begin with a prefix, which is taken off."""
    return {
        key.removeprefix(prefix): tensor.to(dtype)
        for key, tensor in load_file(path).items()
        if key.startswith(prefix)
    }


def load_converted(cls, path, convert=dict, prefix="", dtype=None, **config):
    """A model from a file, whose names are those of the class once converted."""
    tensors = convert(tensors_of_part(path, prefix, dtype))
    return fill_part(cls, path, tensors, config)


class Parts(DiffusionPipeline):
    """Parts of a model that no pipeline of Diffusers draws with as this script does."""

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _optional_components = ("transformer", "text_encoder", "tokenizer", "vae")

    def __init__(self, transformer=None, text_encoder=None, tokenizer=None, vae=None):
        super().__init__()
        self.register_modules(
            transformer=transformer,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            vae=vae,
        )


WRAPPER = re.compile(r"^(text|vision)_model\.")
"""What some versions of transformers have before all names."""


def fill_part(cls, path, tensors, config):
    """A model with tensors in the place of its weights; those too many are left out."""
    with init_empty_weights():
        made = cls.config_class(**config) if hasattr(cls, "config_class") else None
        model = cls(**config) if made is None else cls(made)
    if hasattr(model, "shared"):
        del model.shared  # the encoder's embedding once more
        embedding = "encoder.embed_tokens.weight"
        tensors.setdefault(embedding, tensors.get("shared.weight"))
    plain = {WRAPPER.sub("", name): name for name in model.state_dict()}
    found = {WRAPPER.sub("", name): tensors[name] for name in tensors}
    if missing := sorted(plain.keys() - found.keys()):
        raise SystemExit(f"{path} lacks {', '.join(missing)}")
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = {full: shaped(found[name], shapes[full]) for name, full in plain.items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


def shaped(tensor, shape):
    """A tensor as a model has it: files may leave axes out that are one long."""
    alike = [size for size in tensor.shape if size > 1] == [n for n in shape if n > 1]
    return (tensor.reshape(shape) if alike else tensor).contiguous()


def load_autoencoder(cls, path, prefix="", dtype=None, **config):
    """An autoencoder from a file with its authors' names."""
    tensors = tensors_of_part(path, prefix, dtype)
    found = convert_ldm_vae_checkpoint(tensors, config)
    if norm := {key: tensors[key].float() for key in tensors if key.startswith("bn.")}:
        found |= {"bn.num_batches_tracked": torch.tensor(0), **norm}
    return fill_part(cls, path, found, config)


def load_frame_autoencoder(cls, path, prefix="", dtype=None, **config):
    """An autoencoder that was made for videos from a file with its authors' names."""
    tensors = convert_wan_vae_to_diffusers(tensors_of_part(path, prefix, dtype))
    return fill_part(cls, path, tensors, config)


def read_table(names):
    """Rows of a table: names in a file, names in the class, and which rows are meant."""
    table = {}
    for line in names.split("\n"):
        if line:
            old, new, *rows = line.split(" ")
            table.setdefault(old, []).append((new, "".join(rows)))
    return table


def looked_up(name, table):
    """What a table has for a name, or for the same with any number of a block."""
    number = re.search(r"(?<=[._])\d+(?=[._])", f"{name}.")
    if number is None or name in table:
        return table.get(name, [])
    found = table.get(f"{name[: number.start()]}{{}}{name[number.end() :]}", [])
    return [(new.replace("{}", number[0], 1), rows) for new, rows in found]


def renamed(key, table):
    """What a file's tensor is called in the class, with the rows of it that are meant."""
    if found := looked_up(key, table):
        return found
    module, _, leaf = key.rpartition(".")
    found = looked_up(module, table)
    return [(f"{name}.{leaf}", rows) for name, rows in found] or [(key, "")]


def take_rows(tensor, rows):
    """All of a tensor, turned, its halves exchanged, or some of its rows: first:last/all."""
    if rows == "swap":
        return torch.cat(tensor.chunk(2)[::-1])
    if rows == "turn":
        return tensor.T
    if not rows:
        return tensor
    first, last, whole = map(int, re.split("[:/]", rows))
    return tensor[len(tensor) * first // whole : len(tensor) * last // whole]


def add_lora(module, path, names, strength):
    """Add the layers of a LoRA file to the weights of a module."""
    table, tensors = read_table(names), load_file(path)
    layers = {
        name.removeprefix("text_model."): layer
        for name, layer in module.named_modules()
    }
    for key, down in tensors.items():
        found = re.fullmatch(r"(.+?)([._]lora\w*[._](down|A)(\.default)?\.weight)", key)
        if found is None:
            continue
        stem, ending = found[1], found[2].replace("down", "up").replace("A", "B")
        up, down = tensors[stem + ending].float().flatten(1), down.float().flatten(1)
        rank = len(down)
        scale = strength * float(tensors.get(f"{stem}.alpha", rank)) / rank
        for name, rows in looked_up(stem, table):
            weight = layers[name.removeprefix("text_model.")].weight
            update = (take_rows(up, rows) @ down * scale).to(weight.device)
            weight.copy_(weight.float() + update.reshape(weight.shape))


def load_clip_tokenizer(name):
    """CLIP's tokenizer, whose vocabulary must be there: without one it reads nothing."""
    tokenizer = CLIPTokenizer.from_pretrained(name)
    if len(tokenizer) < 1000:
        raise SystemExit(f"{name}: the vocabulary of the tokenizer is not here")
    return tokenizer


def load_tokenizer(path):
    """A tokenizer from its file."""
    return PreTrainedTokenizerFast(tokenizer_file=path)


def load_published_tokenizer(name):
    """A tokenizer from a folder of a repository on the Hub, "owner/name:folder"."""
    repository, _, folder = name.partition(":")
    return AutoTokenizer.from_pretrained(repository, subfolder=folder)


class PieceTokenizer:
    """What makes ids of a text, called as a tokenizer is."""

    def __init__(self, encode):
        self.encode = encode

    def __call__(self, text, **_):
        self.input_ids = self.encode(text)
        return self


def load_pieces(path):
    """A SentencePiece vocabulary from its file."""
    data = Path(path).read_bytes()
    return PieceTokenizer(SentencePieceProcessor(model_proto=data).encode)


def load_pieces_inside(path):
    """A SentencePiece vocabulary that stands in a weight file."""
    data = read_inside(path, "spiece_model")
    return PieceTokenizer(SentencePieceProcessor(model_proto=data).encode)


def load_tekken(path):
    """A Tekken vocabulary from its file."""
    return PieceTokenizer(read_tekken(Path(path).read_bytes()))


def load_tekken_inside(path):
    """A Tekken vocabulary that stands in a weight file."""
    return PieceTokenizer(read_tekken(read_inside(path, "tekken_model")))


def read_inside(path, name):
    """The bytes of a tensor."""
    with safe_open(path, "pt") as file:
        (key,) = [key for key in file.keys() if key.endswith(name)]
        return file.get_tensor(key).numpy().tobytes()
