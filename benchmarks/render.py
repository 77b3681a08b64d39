"""How fast the synthetic street world is drawn: frames per second on one core, and how evenly they come.

Run with `python -m benchmarks.render --size 256x512`. The process binds itself to one core where the system can do
that, so libraries cannot spread the work; several streets are driven, because speed depends on what is in view.
"""

import argparse
import os
import time
from dataclasses import dataclass

import numpy as np

from streams.synthetic.scene import Scene


@dataclass(frozen=True, slots=True, eq=False)
class RenderTimes:
    """Seconds of wall and processor time per frame, and wall seconds to build a street and draw its first frame."""

    wall_s: np.ndarray
    cpu_s: np.ndarray
    first_s: np.ndarray

    def line(self) -> str:
        """One line of results."""
        p50_ms, p95_ms = np.percentile(self.wall_s, (50, 95)) * 1e3
        return (
            f"{1 / self.wall_s.mean():.1f} frames/s on one core ({1 / self.cpu_s.mean():.1f} by processor time), "
            f"p50 {p50_ms:.1f} ms, p95 {p95_ms:.1f} ms over {self.wall_s.size} frames; "
            f"a new street and its first frame {self.first_s.mean() * 1e3:.0f} ms"
        )


def measure(size_HW: tuple[int, int], *, num_streets: int, num_frames: int) -> RenderTimes:
    """Draw `num_frames` of each of `num_streets` streets; label, depth and flow are always part of a frame."""
    wall, cpu, first = [], [], []
    for seed in range(num_streets):
        started_s = time.perf_counter()
        scene = Scene(seed=seed, size_HW=size_HW)
        scene.render(0)
        first.append(time.perf_counter() - started_s)
        for t in range(1, num_frames + 1):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            scene.render(t)
            wall.append(time.perf_counter() - wall_s)
            cpu.append(time.process_time() - cpu_s)
    return RenderTimes(np.array(wall), np.array(cpu), np.array(first))


def bind_to_one_core() -> bool:
    """Keep this process on one core; False where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return True


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the synthetic street world.")
    parser.add_argument("--size", default="256x512", help="height x width")
    parser.add_argument("--streets", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60, help="frames per street")
    arguments = parser.parse_args()
    height, width = (int(part) for part in arguments.size.split("x"))
    if not bind_to_one_core():
        print("note: could not bind to one core; libraries may use more")
    times = measure((height, width), num_streets=arguments.streets, num_frames=arguments.frames)
    print(f"render {height}x{width} (HxW): {times.line()}")


if __name__ == "__main__":
    main()
