"""Small things that everything may use: files written whole, JSON, paths, wording, tiles."""
