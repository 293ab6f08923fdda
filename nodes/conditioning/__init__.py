"""Prompts and what else guides sampling."""
