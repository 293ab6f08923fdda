"""Stable Diffusion XL, base and refiner."""
