"""Labelled samples by number."""

import pickle

import numpy as np
import pytest

from streams.datasets.labels import CAMVID_LABEL_IDS, CITYSCAPES
from streams.datasets.samples import LabelledSamples
from streams.datasets.splits import open_split
from streams.protocol import StreamNotOpened
from tests.streams.recorded import damage, write_camvid


def test_samples_by_number_in_any_order(tmp_path) -> None:
    samples = LabelledSamples(open_split("camvid", write_camvid(tmp_path)), size_HW=(12, 16))
    assert len(samples) == 4 and samples.class_names == CITYSCAPES.names
    for number in (3, 0, 3):
        image_HWC, label_HW = samples[number]
        assert image_HWC.shape == (12, 16, 3) and image_HWC.dtype == label_HW.dtype == np.uint8
        assert image_HWC[0, 0, 0] == number
        assert np.array_equal(label_HW, np.full((12, 16), CAMVID_LABEL_IDS[number]))


def test_they_can_be_iterated(tmp_path) -> None:
    samples = LabelledSamples(open_split("camvid", write_camvid(tmp_path)))
    assert [image_HWC[0, 0, 0] for image_HWC, _ in samples] == [0, 1, 2, 3]


def test_a_worker_gets_a_small_copy(tmp_path) -> None:
    samples = LabelledSamples(open_split("camvid", write_camvid(tmp_path)))
    pickled = pickle.dumps(samples)
    assert len(pickled) < 5000
    assert np.array_equal(pickle.loads(pickled)[2][0], samples[2][0])


def test_images_without_label_are_left_out_and_counted(tmp_path) -> None:
    data = write_camvid(tmp_path)
    (data / "test_dayannot" / "01.png").unlink()
    samples = LabelledSamples(open_split("camvid", data))
    assert (len(samples), samples.num_unlabelled) == (3, 1)
    assert samples[1][0][0, 0, 0] == 2


def test_a_set_without_labels_is_no_set_of_samples(tmp_path) -> None:
    data = write_camvid(tmp_path, num=1)
    (data / "test_dayannot" / "00.png").unlink()
    with pytest.raises(StreamNotOpened, match="none of the 1 images of camvid split test_day has a label file"):
        LabelledSamples(open_split("camvid", data))


@pytest.mark.parametrize("folder", ["test_day", "test_dayannot"])
def test_a_damaged_file_is_named(tmp_path, folder) -> None:
    data = write_camvid(tmp_path)
    damage(data / folder / "02.png")
    samples = LabelledSamples(open_split("camvid", data))
    with pytest.raises(StreamNotOpened, match=f"{folder}/02.png is damaged"):
        samples[2]
