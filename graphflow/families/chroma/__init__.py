"""Chroma (Lodestone Rock 2025): FLUX.1 schnell without the pooled text, its modulations made by one small network."""
