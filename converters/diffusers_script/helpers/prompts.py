"""Prompts with weights, embeddings, any length, and another layer than the last."""
# mypy: ignore-errors

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer


def encode_nothing(path, device, dtype):
    """What Lotus reads in place of a prompt: an empty text that nothing fills up."""
    tokenizer = CLIPTokenizer.from_pretrained(path, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(path, subfolder="text_encoder")
    ids = tokenizer("", return_tensors="pt").input_ids
    return {"embeds": encoder(ids).last_hidden_state.to(device, dtype)}


def load_embedding(path, name, width):
    """The vectors (n, width) of a textual-inversion file, by name or else by width."""
    tensors = load_file(path)
    for item in [tensors[name]] if name in tensors else tensors.values():
        if item.ndim in (1, 2) and item.shape[-1] == width:
            return item.reshape(-1, width).float()
    print(f"{path.name} has no vectors of width {width}: it is left out there")
    return []


def make_chunks(tokenizer, parts):
    """Tokens with their weights in chunks of 75; short parts are not cut."""
    chunks = [[]]
    for part, weight in parts:
        if isinstance(part, str):
            part = tokenizer(part, add_special_tokens=False, verbose=False).input_ids
        group = [(token, weight) for token in part]
        if chunks[-1] and 75 - len(chunks[-1]) < len(group) <= 7:
            chunks.append([])
        while group:
            room = 75 - len(chunks[-1])
            chunks[-1], group = chunks[-1] + group[:room], group[room:]
            if group:
                chunks.append([])
    start, end, pad = (
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    )
    return [
        [(start, 1.0), *chunk, (end, 1.0), *[(pad, 1.0)] * (75 - len(chunk))]
        for chunk in [*chunks, []]
    ]


def encode_parts(tokenizer, encoder, parts, layer, normed, projected=True):
    """Hidden states (1, T, C) and pooled output of weighted parts, chunk by chunk.

    Weights move the states away from those of the empty prompt, the last chunk.
    """
    core = getattr(encoder, "text_model", encoder)
    width = core.embeddings.token_embedding.embedding_dim
    name = "clip_g" if hasattr(encoder, "text_projection") else "clip_l"
    files = {part for part, _ in parts if isinstance(part, Path)}
    vectors = {path: load_embedding(path, name, width) for path in files}
    chunks = make_chunks(
        tokenizer, [(vectors.get(part, part), weight) for part, weight in parts]
    )
    ids = [[item if isinstance(item, int) else 0 for item, _ in row] for row in chunks]

    def put_vectors(module, inputs, output):
        for row, chunk in enumerate(chunks):
            for column, (item, _) in enumerate(chunk):
                if isinstance(item, torch.Tensor):
                    output[row, column] = item.to(output)
        return output

    hook = core.embeddings.token_embedding.register_forward_hook(put_vectors)
    output = core(torch.tensor(ids, device=encoder.device), output_hidden_states=True)
    hook.remove()
    last = output.last_hidden_state
    hidden = last if layer == -1 and normed else output.hidden_states[layer]
    if normed and layer != -1:
        hidden = core.final_layer_norm(hidden)
    weights = torch.tensor([[weight for _, weight in row] for row in chunks[:-1]])
    weights, hidden = weights.to(hidden.device)[:, :, None], hidden.float()
    hidden = (hidden[:-1] - hidden[-1:]) * weights + hidden[-1:]
    pooled = last[:1, ids[0].index(tokenizer.eos_token_id)]
    if projected and hasattr(encoder, "text_projection"):
        pooled = encoder.text_projection(pooled)
    return hidden.reshape(1, -1, hidden.shape[-1]).to(encoder.dtype), pooled


def encode_weighted(pipe, parts, layer=-1):
    """What the UNet reads of a prompt in weighted parts."""
    embeds, _ = encode_parts(pipe.tokenizer, pipe.text_encoder, parts, layer, True)
    return {"embeds": embeds}


def encode_weighted_sdxl(pipe, parts, layer=-2, parts_l=None):
    """What SDXL's UNet reads of a prompt in weighted parts."""
    encoders = [
        (pipe.tokenizer, pipe.text_encoder, parts_l or parts),
        (pipe.tokenizer_2, pipe.text_encoder_2, parts),
    ]
    states = [
        encode_parts(*encoder, layer, False) for encoder in encoders if encoder[1]
    ]
    length = min(hidden.shape[1] for hidden, _ in states)
    embeds = torch.cat([hidden[:, :length] for hidden, _ in states], dim=-1)
    return {"embeds": embeds, "pooled": states[-1][1]}


def same_length(embeds, others):
    """Embeddings repeated until they are equally long, which attention does not notice."""
    length = math.lcm(embeds.shape[1], others.shape[1])
    return [item.repeat(1, length // item.shape[1], 1) for item in (embeds, others)]
