"""Model names: which file or folder one stands for, and what is in it."""
