"""ComfyUI workflows in and out, without ComfyUI: any file to an API prompt and a native document, and back."""

from .export import to_comfyui
from .native import Imported, to_native
from .notes import Note
from .prompt import Flattened, to_prompt
from .prompt_text import Choices
from .report import Report

__all__ = ["Choices", "Flattened", "Imported", "Note", "Report", "to_comfyui", "to_native", "to_prompt"]
