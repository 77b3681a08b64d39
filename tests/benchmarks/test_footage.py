from itertools import pairwise

import numpy as np

from benchmarks.footage import NUM_RENDERED, rain_recording, timing_checkpoint
from models.checkpoint import load_model
from streams.datasets.labels import CITYSCAPES
from streams.stream import StreamOptions, open_stream


def test_a_recording_loops_without_two_neighbours_alike_and_grows_on_demand(tmp_path):
    folder = rain_recording(tmp_path, (32, 64), num_frames=NUM_RENDERED + 5)
    frames = list(open_stream(str(folder), StreamOptions(size_HW=(32, 64))))
    assert [frame.index for frame in frames] == list(range(NUM_RENDERED + 5))
    assert (frames[NUM_RENDERED].image_HWC == frames[0].image_HWC).all()
    assert all((one.image_HWC != two.image_HWC).any() for one, two in pairwise(frames))
    assert all(frame.image_HWC.shape == (32, 64, 3) and np.ptp(frame.image_HWC) > 0 for frame in frames)
    assert rain_recording(tmp_path, (32, 64), num_frames=NUM_RENDERED + 9) == folder
    assert len(list(folder.iterdir())) == NUM_RENDERED + 9


def test_shipped_weights_come_first_and_random_ones_can_be_loaded(tmp_path):
    assert timing_checkpoint(tmp_path, "segformer_b0") == "segformer_b0_synthetic"
    path = timing_checkpoint(tmp_path, "segformer_b1")
    model, manifest = load_model(path, model="segformer_b1")
    assert (model.name, manifest.classes) == ("segformer_b1", CITYSCAPES.names)
    assert timing_checkpoint(tmp_path, "segformer_b1") == path
