"""Placeholder: the world's model is written by its own author."""
