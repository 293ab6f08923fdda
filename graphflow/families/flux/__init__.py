"""FLUX.1 (Black Forest Labs 2024)."""
