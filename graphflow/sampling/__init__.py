"""Sampling: noise levels, schedules, samplers, noise, guidance and the denoising loop.

Only `names` may be imported without torch.
"""
