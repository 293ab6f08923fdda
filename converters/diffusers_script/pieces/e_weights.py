"""Weights and batches."""
# mypy: ignore-errors


def merge_weights(module, other, keep, add, shares=()):
    """Set each weight to keep * its own + add * the other's.

    Where its name begins as one of ``shares`` does, the longest such decides: its share
    of the first, the rest of the other.
    """
    others = other.state_dict()
    for name, weight in module.state_dict().items():
        found = others.get(name)
        if found is None or found.numel() != weight.numel():
            continue
        start = max(
            (key for key in shares if name.startswith(key)), key=len, default=""
        )
        mine, theirs = (shares[start], 1 - shares[start]) if start else (keep, add)
        if weight.is_floating_point() and (mine, theirs) != (1, 0):
            mixed = mine * weight.float() + theirs * found.float().reshape(weight.shape)
            weight.copy_(mixed)


def scale_layers(module, factors):
    """Multiply the weights of layers whose name ends so."""
    for name, layer in module.named_modules():
        for ending, factor in factors.items():
            if name.endswith("." + ending):
                for weight in layer.parameters():
                    weight.mul_(factor)


def window(count, start, length):
    """Places of some items of a batch; a start behind the last takes the last."""
    start = min(start, count - 1)
    return range(start, min(start + length, count))


def repeated_places(places, count):
    """Places of items that are several times in a batch, with noise of their own."""
    span = max(places) - min(places) + 1
    return [place + turn * span for turn in range(count) for place in places]
