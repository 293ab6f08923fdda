"""What stands in weight files, read without torch."""
