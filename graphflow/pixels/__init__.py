"""Plain tensor functions on pictures, masks and latents."""
