import textwrap

import pytest

from runtime.help_page import laid_out

PRINTED = """\
usage: prog [-h] [OPTIONS]

Plays.


--debug tells more.

 options                                        \x20
 -----------------------------------------------\x20
  -h, --help            show this help message  \x20
                        and exit                \x20
                                                \x20
 stream options                                 \x20
 -----------------------------------------------\x20
  Where frames come from.                       \x20
  ----------------------------------------------
  --stream STR          A preset, a video, or as
                        METHOD@adapter-stages=3,
                        with
                        what learns. (default:  \x20
                        rain)                   \x20
  --max-frames {None}|INT                       \x20
                        Stop after so many.     \x20
                        (default: None)         \x20
  --kind {None,a,b}     One of them. (default:  \x20
                        None)                   \x20
"""


def test_descriptions_are_filled_in_one_column(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert laid_out(PRINTED) == textwrap.dedent("""\
        usage: prog [-h] [OPTIONS]

        Plays.

        --debug tells more.

        options
          -h, --help              show this help message and exit

        stream options
          Where frames come from.
          --stream STR            A preset, a video, or as
                                  METHOD@adapter-stages=3, with what learns.
                                  (default: rain)
          --max-frames INT        Stop after so many.
          --kind {a,b}            One of them.
        """)


@pytest.mark.parametrize(("terminal", "widest"), [(60, 60), (100, 100), (200, 100)])
def test_a_page_is_as_wide_as_the_terminal_up_to_a_hundred(monkeypatch, terminal, widest) -> None:
    monkeypatch.setenv("COLUMNS", str(terminal))
    lines = laid_out("  --stream STR  " + "word " * 100).splitlines()
    assert widest - len(" word") < max(map(len, lines)) <= widest


def test_a_long_option_stands_above_its_description() -> None:
    above, below = laid_out("  --trainable {adapters,head,norm,full}\n      What learns.").splitlines()
    assert above == "  --trainable {adapters,head,norm,full}" and below.strip() == "What learns."
