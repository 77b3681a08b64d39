"""Tensors in, tensors out: networks, adapters, losses, checkpoints. Knows nothing of streams, time or threads."""
