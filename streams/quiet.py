"""Keeps decoders off the terminal: what they complain about is counted as faults or told in one line of our own."""

import os

import cv2

_AV_LOG_QUIET = "-8"
_SILENT = 0  # LOG_LEVEL_SILENT, not exported to Python


def silence_decoders() -> None:
    """Mute OpenCV and FFmpeg for this process, unless the user set OPENCV_LOG_LEVEL or OPENCV_FFMPEG_LOGLEVEL.

    FFmpeg reads its variable when the first video is opened, so call this before.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _AV_LOG_QUIET)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # OpenCV 5 moved the function.
        set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
        set_log_level(_SILENT)
