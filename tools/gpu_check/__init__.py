"""What only a CUDA device can show, in one run: ``python -m tools.gpu_check`` writes a page with every figure."""
