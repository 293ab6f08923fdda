"""Stable Video Diffusion: a few seconds of video from one picture."""
