"""One workflow with many values: axes, their variants, and what comes of them as a picture and a table."""
