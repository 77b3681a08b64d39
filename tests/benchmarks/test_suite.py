import subprocess
import sys

import pytest

from benchmarks.suite import BENCHMARKS
from runtime.option_words import ConfigError


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_refuses_an_unknown_option_in_a_line(name):
    with pytest.raises(ConfigError, match=f"--no-such-option: no such option of udaseg-runtime bench {name}"):
        BENCHMARKS[name].function(["--no-such-option"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        BENCHMARKS[name].function(["--help"])
    assert stop.value.code == 0
    assert f"bench {name}" in capsys.readouterr().out


def test_listing_the_benchmarks_loads_nothing_heavy():
    program = "import sys; from benchmarks.suite import BENCHMARKS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
