"""The page --help prints: what tyro knows of the options, laid out for reading.

tyro keeps the line breaks that descriptions have in the source, rules off every section and says of each option that
may be left out that it is None by default. Here descriptions are filled anew, in one column for the whole page.
"""

import re
import shutil
import textwrap

COLUMN = 26  # where descriptions begin
MOST_COLUMNS = 100  # longer lines are hard to read
OPTION = re.compile(r"  (-\S+(?: \S+)*)(?: {2,}(.*))?")  # and the first line of its description, if it has room there
MARGIN = "  "  # before sections' contents, and between columns
CONTINUED = MARGIN * 2  # descriptions are indented farther than anything else
UNSET = " (default: None)"


def laid_out(printed: str) -> str:
    """The same page, as wide as the terminal, but no wider than MOST_COLUMNS."""
    entries: list[tuple[str, str]] = [("", "")]  # option and description, or a line of its own and nothing
    for line in map(str.rstrip, printed.splitlines()):
        if line.strip(" -"):
            if option := OPTION.fullmatch(line):
                entries.append((_kind(option[1]), option[2] or ""))
            elif line.startswith(CONTINUED):
                option_words, description = entries.pop()
                entries.append((option_words, f"{description} {line.strip()}"))
            else:
                entries.append((line, ""))
        elif not line and entries[-1][0]:
            entries.append(("", ""))  # one blank line is enough
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    return "\n".join(_filled(*entry, width=width) for entry in entries[1:]) + "\n"


def _kind(option: str) -> str:
    """Without the None an option may be, as nobody types it."""
    return option.replace("{None}|", "").replace("{None,", "{")


def _filled(option: str, description: str, *, width: int) -> str:
    """An option beside its description, or above it where it is too long for that; or another line."""
    if not description:
        indent = MARGIN if option.startswith(MARGIN) else ""
        return textwrap.fill(option.strip(), width, initial_indent=indent, subsequent_indent=indent)
    beside = " " * COLUMN
    filled = textwrap.fill(
        description.strip().removesuffix(UNSET),
        width,
        initial_indent=beside,
        subsequent_indent=beside,
        break_on_hyphens=False,
        break_long_words=False,
    )
    head = f"{MARGIN}{option}{MARGIN}"
    return head.ljust(COLUMN) + filled[COLUMN:] if len(head) <= COLUMN else f"{head.rstrip()}\n{filled}"
