import numpy as np

from evaluation.safety import class_safety, unsafe_classes
from evaluation.slices import SliceKey, SliceLog

PERFECT = np.diag([10, 10, 10]).astype(np.int64)
LOST = np.array([[10, 0, 0], [10, 0, 0], [0, 0, 10]], np.int64)  # the second class is called the first
ABSENT = np.diag([10, 0, 10]).astype(np.int64)


def test_a_class_that_fell_by_more_than_ten_points_is_unsafe():
    assert unsafe_classes(LOST, PERFECT) == (0, 1)  # 10 of 20, and 0 of 10
    assert unsafe_classes(PERFECT, LOST) == ()
    small = np.array([[10, 0, 0], [1, 9, 0], [0, 0, 10]], np.int64)  # 10/11 and 9/10: 9.1 and just 10 points
    assert unsafe_classes(small, PERFECT) == ()


def test_a_class_that_is_not_there_is_not_unsafe():
    assert unsafe_classes(ABSENT, ABSENT) == ()


def test_the_worst_visit_is_found_where_the_run_hides_it():
    log = SliceLog(3)
    for index in range(30):
        visit = index // 10
        served_KK = LOST if visit == 1 and index % 10 < 3 else PERFECT
        log.add(SliceKey("clear", visit, 0), index, served_KK, PERFECT)
    safety = class_safety(log.slices())
    # over the run 3 frames of 30 are lost: 300/330 and 270/300; in visit 1 it is 3 of 10: 100/130 and 70/100
    assert (safety.over_run, safety.worst_visit, safety.in_worst_visit) == ((), 1, (0, 1))


def test_a_run_without_harm_has_no_worst_visit():
    log = SliceLog(3)
    log.add(SliceKey("clear", 0, 0), 0, PERFECT, PERFECT)
    assert class_safety(log.slices()).worst_visit is None
    assert class_safety(SliceLog(3).slices()).over_run == ()
