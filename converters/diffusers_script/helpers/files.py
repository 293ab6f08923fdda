"""Models of transformers, from folders and from single files."""
# mypy: ignore-errors

from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


def load_whole(load, path, **options):
    """A model from a folder; where weights are missing, the library makes them up."""
    model, found = load(path, output_loading_info=True, **options)
    if found["missing_keys"]:
        raise SystemExit(f"{path} lacks {', '.join(sorted(found['missing_keys']))}")
    return model


def fill(model, path):
    """Give a model the weights of a file, whatever the names of its tensors begin with."""
    tensors, wanted = load_file(path), model.state_dict()
    ends = {name.removeprefix("text_model."): name for name in wanted}
    tensors = {name.removeprefix("text_model."): tensors[name] for name in tensors}
    model.load_state_dict({ends[name]: tensors[name] for name in ends})
    return model.eval()


def load_text_encoder(path, **config):
    """CLIP's text encoder from a single file."""
    return fill(CLIPTextModel(CLIPTextConfig(**config)), path)


def load_projecting_text_encoder(path, **config):
    """CLIP's text encoder with its projection from a single file."""
    return fill(CLIPTextModelWithProjection(CLIPTextConfig(**config)), path)
