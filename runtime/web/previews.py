"""JPEG pictures of the newest frames, made when somebody looks and never otherwise.

The page learns the number of a moment from /statusz and asks for that moment's pictures, so that picture, adapted and
frozen answer side by side are of one frame; the last few moments are remembered for that.
"""

# H height, W width, C channels (RGB), K classes

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from runtime.status import Moment
from streams.images import encode_jpeg, overlay

KINDS = ("image", "adapted", "frozen")
REMEMBERED = 4  # moments: one per poll, for two viewers and their slowest request
OPACITY = 0.6
QUALITY = 82


class Previews:
    """Hands out pictures of the moments `newest()` gives; safe from any thread.

    One thread makes them all, until `close`: OpenCV keeps 870 bytes for every thread that ever encoded a picture, and a
    server has a new one for every request: 37 MB/h for a page that asks for three pictures four times a second.
    """

    def __init__(self, newest: Callable[[], Moment | None], *, colors_K3: np.ndarray) -> None:
        self._newest = newest
        self._colors_K3 = colors_K3
        self._painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="previews")
        self._lock = threading.Lock()
        self._moments: OrderedDict[int, Moment] = OrderedDict()
        self._pictures: dict[tuple[int, str], bytes] = {}

    def pin(self) -> int | None:
        """Remember the newest moment; its frame index, None before the first answer."""
        moment = self._newest()
        if moment is None:
            return None
        with self._lock:
            if moment.frame not in self._moments or self._moments[moment.frame].frozen_labels_HW is None:
                self._moments[moment.frame] = moment
                self._pictures = {key: jpeg for key, jpeg in self._pictures.items() if key[0] != moment.frame}
            while len(self._moments) > REMEMBERED:
                gone, _ = self._moments.popitem(last=False)
                self._pictures = {key: jpeg for key, jpeg in self._pictures.items() if key[0] != gone}
        return moment.frame

    def jpeg(self, kind: str, frame: int | None) -> bytes | None:
        """One of `KINDS` of a remembered frame, else of the newest; None where there is no such picture."""
        with self._lock:
            moment = None if frame is None else self._moments.get(frame)
            known = None if moment is None else self._pictures.get((moment.frame, kind))
        if known is not None:
            return known
        moment = moment or self._newest()
        if moment is None:
            return None
        jpeg = self._painter.submit(_painted, moment, kind, self._colors_K3).result()
        if jpeg is None:
            return None
        with self._lock:
            if self._moments.get(moment.frame) is moment:
                self._pictures[moment.frame, kind] = jpeg
        return jpeg

    def close(self) -> None:
        """End the thread; no picture can be asked for afterwards."""
        self._painter.shutdown()


def _painted(moment: Moment, kind: str, colors_K3: np.ndarray) -> bytes | None:
    picture_HWC = _picture(moment, kind, colors_K3)
    return None if picture_HWC is None else encode_jpeg(picture_HWC, quality=QUALITY)


def _picture(moment: Moment, kind: str, colors_K3: np.ndarray) -> np.ndarray | None:
    if kind == "image":
        return moment.image_HWC
    labels_HW = moment.labels_HW if kind == "adapted" else moment.frozen_labels_HW
    return None if labels_HW is None else overlay(moment.image_HWC, labels_HW, colors_K3, opacity=OPACITY)
