"""Native documents as ComfyUI files."""
