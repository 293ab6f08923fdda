"""Sampling: noise levels, schedules, samplers, noise, guidance and the denoising loop.

Only `names` and `published` may be imported without torch.
"""
