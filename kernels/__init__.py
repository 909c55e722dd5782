"""Triton fast paths, tensors in and tensors out: they come here. Importing this imports nothing."""
