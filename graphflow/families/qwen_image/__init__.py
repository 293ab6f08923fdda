"""Qwen-Image (Wu et al. 2025, arXiv:2508.02324) and its editing models."""
