"""Shipped source checkpoints."""
