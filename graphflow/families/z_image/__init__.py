"""Z-Image (Alibaba's Tongyi Lab 2025)."""
