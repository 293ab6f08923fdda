"""What changes a UNet while it runs."""
