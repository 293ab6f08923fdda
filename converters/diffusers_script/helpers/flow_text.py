"""Prompts for T5, and CLIP beside it."""
# mypy: ignore-errors

import torch

from .prompts import encode_parts


def encode_t5(tokenizer, encoder, parts, least=1, padding=0, neutral=1):
    """T5's states (1, T, C) of weighted parts, filled up to a length and never cut.

    Weights move the states away from those of an empty prompt.
    """
    ids, weights = [], []
    for part, weight in parts:
        if isinstance(part, str):
            found = tokenizer(part, add_special_tokens=False).input_ids
            ids, weights = ids + found, weights + [weight] * len(found)
    fill = max(padding, least - len(ids) - 1)
    ids, weights = [*ids, 1, *[0] * fill], [*weights, *[1.0] * (fill + 1)]

    def states(ids):
        ids = torch.tensor([ids], device=encoder.device)
        return encoder(input_ids=ids).last_hidden_state.float()

    embeds = states(ids)
    if any(weight != 1.0 for weight in weights):
        empty = states([neutral, *[0] * (len(ids) - 1)])
        weights = torch.tensor(weights, device=embeds.device)[None, :, None]
        embeds = (embeds - empty) * weights + empty
    return embeds


def encode_with_t5(pipe, parts, **length):
    """What a transformer reads that T5 alone tells."""
    return {"embeds": encode_t5(pipe.tokenizer, pipe.text_encoder, parts, **length)}


def encode_with_clip_and_t5(pipe, parts, parts_l=None, layer=-1, least=256, **length):
    """What a transformer reads of T5's states and CLIP's pooled output."""
    embeds, pooled = torch.zeros(1, 256, 4096), torch.zeros(1, 768)
    if pipe.text_encoder is not None:
        clip = pipe.tokenizer, pipe.text_encoder
        _, pooled = encode_parts(*clip, parts_l or parts, layer, True)
    if pipe.text_encoder_2 is not None:
        t5 = pipe.tokenizer_2, pipe.text_encoder_2
        embeds = encode_t5(*t5, parts, least=least, **length)
    return {"embeds": embeds, "pooled": pooled.float()}


def encode_with_clips_and_t5(
    pipe,
    parts,
    parts_l=None,
    parts_g=None,
    layer=-2,
    least=77,
    widths=(768, 1280, 4096),
    **length,
):
    """What a transformer reads of two CLIPs side by side, then T5; any may be missing."""
    encoders = [
        (pipe.tokenizer, pipe.text_encoder, parts_l or parts),
        (pipe.tokenizer_2, pipe.text_encoder_2, parts_g or parts),
    ]
    states = [
        encode_parts(*encoder, layer, False, bool(number)) if encoder[1] else None
        for number, encoder in enumerate(encoders)
    ]
    count = min([state[0].shape[1] for state in states if state], default=0)
    empty = [(torch.zeros(1, count, size), torch.zeros(1, size)) for size in widths[:2]]
    states = [state or none for state, none in zip(states, empty, strict=True)]
    hidden = torch.cat([state[:, :count].float().cpu() for state, _ in states], dim=-1)
    pooled = torch.cat([pooled.float().cpu() for _, pooled in states], dim=-1)
    t5 = torch.zeros(1, 0, widths[2])
    if pipe.text_encoder_3 is not None:
        t5 = pipe.tokenizer_3, pipe.text_encoder_3
        t5 = encode_t5(*t5, parts, least=least, **length).cpu()
    hidden = torch.nn.functional.pad(hidden, (0, t5.shape[-1] - hidden.shape[-1]))
    return {"embeds": torch.cat([hidden, t5], dim=1), "pooled": pooled}


def encode_until_the_end(pipe, parts, layer=-1):
    """What Stable Cascade reads of a prompt: its end fills it up, and is looked at once."""
    tokenizer, encoder = pipe.tokenizer, pipe.text_encoder
    tokenizer.pad_token = tokenizer.eos_token

    def look(module, args, kwargs):
        ends = args[0] == tokenizer.eos_token_id
        seen = ends.cumsum(dim=1) - ends.long() == 0
        return args, {**kwargs, "attention_mask": seen.long()}

    core = getattr(encoder, "text_model", encoder)
    hook = core.register_forward_pre_hook(look, with_kwargs=True)
    embeds, pooled = encode_parts(tokenizer, encoder, parts, layer, False)
    hook.remove()
    return {"embeds": embeds, "pooled": pooled}
