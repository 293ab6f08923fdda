"""Video and sound."""
