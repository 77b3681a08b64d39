"""What the options of several benchmarks share is checked in one place."""

import pytest

from benchmarks.options import check_names, check_seeds
from runtime.option_words import ConfigError


@pytest.mark.parametrize("text", ["0", "0,1,2", "10,9", "999999999999999999"])
def test_seeds_are_whole_numbers(text) -> None:
    check_seeds(text)


@pytest.mark.parametrize("text", ["", ",", "0,", "-1", "1.5", "0,x", "0\n", "\u00b2", "\u0663", "1" + 18 * "0"])
def test_other_seeds_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="expected whole numbers below 10\\^18 and commas; for example --seeds 0,1,2"):
        check_seeds(text)


@pytest.mark.parametrize("text", ["0,0", "0,1,00"])
def test_a_seed_given_twice_is_refused_before_anything_runs(text) -> None:
    with pytest.raises(ConfigError, match=f"^--seeds {text}: expected each once; leave out what is there again$"):
        check_seeds(text)


def test_names_are_known_and_given_once() -> None:
    check_names("--methods", "dacs,tent", ["dacs", "tent"])
    with pytest.raises(ConfigError, match=r"^--methods dacs,dax: 'dax' is not known; nearest: dacs$"):
        check_names("--methods", "dacs,dax", ["dacs", "tent"])
    with pytest.raises(ConfigError, match=r"^--methods dacs,dacs: expected each once"):
        check_names("--methods", "dacs,dacs", ["dacs", "tent"])
