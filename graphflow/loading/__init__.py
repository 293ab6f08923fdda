"""Descriptions become modules in place: memory, offload, patches, LoRA."""
