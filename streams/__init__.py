"""Frames in: cameras, recordings and synthetic worlds, with numpy and OpenCV only. Knows no models, no learning."""
