"""Detectors: one float in, whether the input distribution changed out."""
