"""Supervised training of a source model: configuration, data, the training step, its state on disk, its progress."""
