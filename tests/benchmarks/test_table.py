import math

import pytest

from benchmarks.table import Table, decimal, spread
from evaluation.compare import Spread

TABLE = Table("latency", ("run", "p99 ms"), (("frozen", "81.2"), ("a|b", "7.0")), note="two runs")


def test_text_aligns_words_left_and_numbers_right():
    lines = ["latency", "  run     p99 ms", "  frozen    81.2", "  a|b        7.0", "  two runs"]
    assert TABLE.text().splitlines() == lines


def test_markdown_escapes_bars_so_that_columns_stay():
    lines = TABLE.markdown().splitlines()
    assert lines[2:6] == ["| run | p99 ms |", "| --- | ---: |", "| frozen | 81.2 |", "| a\\|b | 7.0 |"]


def test_a_sentence_more_stands_below_the_note_if_there_is_one():
    assert TABLE.with_note("One of old.").note == "two runs One of old."
    assert TABLE.with_note("") == TABLE


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        Table("latency", ("run", "p99 ms"), (("frozen",),))


def test_unknown_numbers_are_dashes():
    assert decimal(math.nan) == "-"
    assert spread(Spread(math.nan, math.nan, 0)) == "-"


def test_spread_shows_the_deviation_only_where_there_is_one():
    assert spread(Spread.of([46.9, 47.7]), is_signed=True) == "+47.3 +- 0.6"
    assert spread(Spread.of([47.3])) == "47.3"
