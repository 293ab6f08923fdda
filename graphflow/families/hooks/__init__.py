"""What runtime hooks do to a UNet. Each adds PyTorch hooks to the module and takes them away again."""
