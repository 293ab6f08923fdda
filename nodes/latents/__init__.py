"""Latents, and the autoencoder between them and pictures."""
