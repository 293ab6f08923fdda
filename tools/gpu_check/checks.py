"""All checks, the most important first."""

from __future__ import annotations

from tools.gpu_check import memory, precision, scripts, sharing, speed
from tools.gpu_check.rows import Check

CHECKS = (
    Check("noise", "CUDA's random numbers, computed by the engine", precision.noise_stream, 5),
    Check("attention", "ways to compute attention", sharing.attention, 5),
    Check("half-shapes", "the packaged model in half precision", precision.half_shapes, 15),
    Check("float32", "packaged workflows in float32, same noise", precision.float32_parity, 40),
    Check("vae-upcast", "an autoencoder that overflows in float16", precision.vae_upcast, 10),
    Check("ladder", "every rung of the memory ladder, under real shortage", memory.ladder, 40),
    Check("policies", "memory policies from the start: results and peaks", memory.policies, 40),
    Check("given-back", "memory after a session", memory.given_back, 10),
    Check("cancelling", "progress and cancelling", sharing.cancelling, 10),
    Check("two-sessions", "two sessions in threads on one device", sharing.two_sessions, 10),
    Check("scripts", "exported scripts against the engine", scripts.scripts, 90),
    Check("speed-sd", "speed of SD 1.5 at 512 px", speed.speed_sd, 40),
    Check("half-full-size", "full-size models in half precision", precision.half_full_size, 60),
    Check("speed-sdxl", "speed of SDXL at 1024 px", speed.speed_sdxl, 60, needs_cuda=False),
)
