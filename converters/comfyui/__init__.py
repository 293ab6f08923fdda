"""ComfyUI workflows in: any file to an API prompt, without ComfyUI."""

from .notes import Note
from .prompt import Flattened, to_prompt
from .prompt_text import Choices

__all__ = ["Choices", "Flattened", "Note", "to_prompt"]
