"""What the web server answers: from a request target to status, content type and body.

    /  the live page        /metrics  Prometheus        /livez /readyz  probes, the body lists reasons
    /statusz  JSON (series=0 leaves the course of the run out)      /preview/{image,adapted,frozen}.jpg

Made from snapshots on the server's threads; nothing here touches the run or knows Prometheus.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from importlib import resources
from urllib.parse import parse_qs, urlsplit

from runtime.status import Status
from runtime.web.health import liveness, readiness
from runtime.web.previews import KINDS, Previews
from runtime.web.statusz import statusz
from streams.datasets.labels import CITYSCAPES

PAGE_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
PREVIEW_PATHS = {f"/preview/{kind}.jpg": kind for kind in KINDS}
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"

Exposition = Callable[[str], tuple[str, bytes]]
Answer = tuple[HTTPStatus, str, bytes]


class Routes:
    """`exposition` turns an Accept header into content type and body of /metrics. Safe from several threads."""

    def __init__(self, status: Status, *, exposition: Exposition) -> None:
        self._status = status
        self._exposition = exposition
        self._previews = Previews(status.moment, colors_K3=CITYSCAPES.colors)
        self._colors_K3: list[list[int]] = CITYSCAPES.colors.tolist()
        files = resources.files("runtime.web")
        self._pages = {path: (kind, files.joinpath(name).read_bytes()) for path, (name, kind) in PAGE_FILES.items()}

    def answer(self, target: str, *, accept: str) -> Answer:
        """The answer to GET `target` (path and query)."""
        try:
            url = urlsplit(target)
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, PLAIN, f"{error}\n".encode()
        query = parse_qs(url.query)
        if url.path in self._pages:
            return HTTPStatus.OK, *self._pages[url.path]
        if url.path in PREVIEW_PATHS:
            return self._preview(PREVIEW_PATHS[url.path], query.get("frame", [""])[0])
        match url.path:
            case "/metrics":
                return HTTPStatus.OK, *self._exposition(accept)
            case "/livez":
                return _verdict(liveness(self._status.snapshot()))
            case "/readyz":
                return _verdict(readiness(self._status.snapshot()))
            case "/statusz":
                return self._statusz(with_series=query.get("series") != ["0"])
        return _not_found("nothing here; try / /metrics /livez /readyz /statusz")

    def close(self) -> None:
        """Nothing is answered afterwards."""
        self._previews.close()

    def _statusz(self, *, with_series: bool) -> Answer:
        moment = self._previews.pin()
        snapshot = self._status.snapshot()
        text = statusz(snapshot, colors_K3=self._colors_K3, moment=moment, with_series=with_series)
        return HTTPStatus.OK, JSON, text.encode()

    def _preview(self, kind: str, frame: str) -> Answer:
        jpeg = self._previews.jpeg(kind, int(frame) if re.fullmatch("[0-9]{1,18}", frame) else None)
        return _not_found("no such picture yet") if jpeg is None else (HTTPStatus.OK, "image/jpeg", jpeg)


def _verdict(reasons: list[str]) -> Answer:
    if reasons:
        return HTTPStatus.SERVICE_UNAVAILABLE, PLAIN, ("\n".join(reasons) + "\n").encode()
    return HTTPStatus.OK, PLAIN, b"ok\n"


def _not_found(text: str) -> Answer:
    return HTTPStatus.NOT_FOUND, PLAIN, f"{text}\n".encode()
