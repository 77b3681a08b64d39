"""Frames in: cameras, recordings and synthetic worlds, with numpy and OpenCV only. Knows nothing of models or learning."""
