"""What style models show a transformer."""
# mypy: ignore-errors

from graphflow.vision.clip_pixels import seen_pixels
from graphflow.vision.style import attended, behind_text


def show_style(prompt, encoder, style, image, crop="center", strength=1.0):
    """A prompt with the tokens of what an image encoder sees."""
    seen = encoder(seen_pixels(encoder, image, crop)).last_hidden_state.float()
    tokens = style(seen.to(style.device, style.dtype)).image_embeds.float() * strength
    embeds = prompt["embeds"]
    return {**prompt, "embeds": behind_text(embeds, tokens.to(embeds))}


def show_style_by_attention(prompt, attention, *seen):
    """The same with more or less attention to them."""
    shown = show_style(prompt, *seen)
    first, last = prompt["embeds"].shape[1], shown["embeds"].shape[1]
    spans = attended(prompt.get("spans", ()), first, last, attention)
    return {**shown, "spans": spans}
