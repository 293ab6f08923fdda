"""Native documents as ComfyUI files: an API prompt, or a UI file with a readable layout."""

from .prompt import Exported, export_prompt, to_comfyui

__all__ = ["Exported", "export_prompt", "to_comfyui"]
