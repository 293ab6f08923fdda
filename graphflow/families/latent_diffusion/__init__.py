"""What Stable Diffusion and SDXL share: UNet, CLIP, autoencoder, control and hooks."""
