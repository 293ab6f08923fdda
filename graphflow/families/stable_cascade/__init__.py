"""Stable Cascade: two diffusion models, each with latents of its own."""
