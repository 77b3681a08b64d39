"""What tyro could not read, in a line of ours: option, value, expectation, remedy."""

import re

from runtime.option_words import nearest

BOX = "\u2502\u256d\u256e\u2570\u256f\u2500"  # the frame tyro draws around messages
KINDS = {"int": "a whole number", "INT": "a whole number", "float": "a number", "FLOAT": "a number"}
NOT_A_VALUE = re.compile(
    r"(?P<option>--\S+): (?:invalid literal for (?P<int>int)\(\).*: |could not convert string to (?P<float>float): |"
    r"no type matching \{None\}\|(?P<kind>\w+) could be instantiated from \[)'(?P<value>.*)'\]?\.?"
)
NO_CHOICE = re.compile(
    r"invalid choice '(?P<value>.*)' for argument '(?P<option>--\S+)'\. Expected one of \((?P<known>.*)\)\."
)
NO_VALUE = re.compile(r"Missing value for argument '(?P<option>--\S+)'\..*")
NO_OPTION = re.compile(r"Missing from .*?: (?P<option>--\S+) (?P<kind>\S+) (?P<help>.*) \(required\)")
OWN_CHECK = re.compile(r"\w+: (--.+)")  # of a section, complete with its remedy


def one_line(boxed: str, prog: str) -> str:
    """The message inside tyro's box, in our words where it is of a kind that is known."""
    message = _unboxed(boxed)
    see = f"see {prog} --help"
    if found := OWN_CHECK.match(message):
        return found[1]
    if found := NOT_A_VALUE.fullmatch(message):
        kind = found["int"] or found["float"] or found["kind"]
        return f"{found['option']} {found['value']}: expected {KINDS.get(kind, kind)}; {see}"
    if found := NO_CHOICE.fullmatch(message):
        known = sorted(set(re.findall(r"'([^']+)'", found["known"])) - {"None"})
        return f"{found['option']} {found['value']}: expected {' or '.join(known)}; {nearest(found['value'], known)}"
    if found := NO_VALUE.fullmatch(message):
        return f"{found['option']}: a value is missing after it; give one or leave the option out"
    if found := NO_OPTION.fullmatch(message):
        return f"{found['option']}: expected, and missing; add {found['option']} {found['kind']}, or {see}"
    return f"{message or 'the arguments cannot be read'}; {see}"


def _unboxed(boxed: str) -> str:
    """Without frame, title and footer."""
    lines: list[str] = []
    for line in boxed.splitlines():
        text = line.strip(BOX + " ")
        if line.strip().startswith(BOX[1]) or not text:
            if lines and not text:
                break
            continue
        lines.append(text)
    return " ".join(lines).removeprefix("Error parsing ")
