"""Networks that look at pictures: upscalers, annotators, safety, image encoders."""
