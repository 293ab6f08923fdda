"""Model families at component level: text to conditioning, latents to noise, pixels to latents and back."""
