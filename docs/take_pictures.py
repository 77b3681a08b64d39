"""Takes the README's pictures of a real run: docs/page.jpg (the live page) and docs/panel.svg (the terminal panel).

    .venv/bin/python docs/take_pictures.py                        # frame 440 of rain_sequence, shipped checkpoint
    .venv/bin/python docs/take_pictures.py --into DIR --at 100 --checkpoint FILE --method dacs

Options it does not know are those of `udaseg-runtime run`. Needs chromium. The run holds its events back while the
picture is taken, so that page and panel show the same moment and the browser's load is in no figure.
"""

import argparse
import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any  # JSON

from rich.console import Console

from evaluation.scoreboard import Scoreboard
from runtime.arguments import parse
from runtime.config import RuntimeConfig
from runtime.events import Prediction
from runtime.exam import Predict
from runtime.observer import Event
from runtime.panel_view import render_panel
from runtime.scores import Scores
from runtime.session import run_session
from runtime.status import Status
from streams.frame import Frame
from streams.images import encode_jpeg, read_image

FRAME = 440  # near the end of the 200 mm/h visit of rain_sequence: learning has had its time
WINDOW = (1280, 1420)  # pixels, the whole page


class Photographer:
    """A scorer that also takes the pictures, once, when the prediction of frame `at` (or the next one) comes."""

    def __init__(self, classes: tuple[str, ...], *, at: int, url: str, into: Path) -> None:
        self._scorer = Scoreboard(classes)
        self._status = Status(scores=self._scorer.scores)
        self._at = at
        self._url = url
        self._into = into
        self.is_done = False

    def observe(self, event: Event) -> None:
        """Score, watch, and take the pictures when it is time."""
        self._scorer.observe(event)
        if isinstance(event, Prediction) and event.frame.index >= self._at and not self.is_done:
            self.is_done = True
            take_page(self._url, self._into / "page.jpg")
            take_panel(self._status, self._url, self._into / "panel.svg")
        self._status.observe(event)

    def scores(self) -> Scores | None:
        """What the scorer says."""
        return self._scorer.scores()

    def figures(self) -> dict[str, dict[str, Any]]:
        """What the summary gains."""
        return self._scorer.figures()

    def examine(self, before: Predict, after: Predict, samples: Iterable[Frame]) -> None:
        """Hand on what nobody asks for here."""
        self._scorer.examine(before, after, samples)

    def save(self, run_dir: Path) -> None:
        """Leave the scorer's counts."""
        self._scorer.save(run_dir)


def take_page(url: str, path: Path) -> None:
    """Screenshot of the live page."""
    chromium = shutil.which("chromium") or sys.exit("chromium is needed for the picture of the page; install it")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        settings = [f"--user-data-dir={profile}", f"--window-size={WINDOW[0]},{WINDOW[1]}"]
        shot = Path(profile) / "page.png"
        action = ["--virtual-time-budget=1500", f"--screenshot={shot}", url]
        subprocess.run([*command, *settings, *action], check=True, timeout=300, capture_output=True)
        image_HWC = read_image(shot)
    if image_HWC is None:
        sys.exit(f"{chromium} took no picture of {url}; try it by hand")
    path.write_bytes(encode_jpeg(image_HWC, quality=88))


def take_panel(status: Status, url: str, path: Path) -> None:
    """The terminal panel as SVG, without the web fonts that rich would have a viewer load."""
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=84, file=nowhere, force_terminal=True)
        console.print(render_panel(status.snapshot(), url=url))
        svg = console.export_svg(title="udaseg-runtime")
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    """Run until a little after the frame of the pictures."""
    parser = argparse.ArgumentParser(description="Take the README's pictures of a real run.", allow_abbrev=False)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="folder for the pictures")
    parser.add_argument("--at", type=int, default=FRAME, help="frame they show")
    own, rest = parser.parse_known_args()
    config = parse(RuntimeConfig, rest, prog="take_pictures.py run")
    photographers: list[Photographer] = []

    def make_scorer(classes: tuple[str, ...]) -> Photographer:
        url = f"http://127.0.0.1:{config.web.port}/"
        photographers.append(Photographer(classes, at=own.at, url=url, into=own.into))
        return photographers[-1]

    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(
            config,
            stream=dataclasses.replace(config.stream, max_frames=own.at + 20),
            run=dataclasses.replace(config.run, run_dir=Path(folder) / "run"),
        )
        run_session(config, make_scorer=make_scorer, finish=lambda _: None)
    if not photographers[0].is_done:
        sys.exit(f"no picture: the run ended before frame {own.at}")


if __name__ == "__main__":
    main()
