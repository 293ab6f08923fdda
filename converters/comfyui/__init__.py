"""ComfyUI workflows in: any file to an API prompt and to a native document, without ComfyUI."""

from .native import Imported, to_native
from .notes import Note
from .prompt import Flattened, to_prompt
from .prompt_text import Choices
from .report import Report

__all__ = ["Choices", "Flattened", "Imported", "Note", "Report", "to_native", "to_prompt"]
