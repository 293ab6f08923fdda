"""Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206)."""
