"""What holds for every file: the one-way rule, sizes, who may import what, no words that do not belong."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("streams", "models", "replay", "runtime", "evaluation", "benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_LINES = {"file": 300, "function": 60}
MAX_PARAMETERS = 6

# Files that may import what nobody else may.
OWNERS = {
    "cv2": lambda name: name.startswith("streams/"),
    "prometheus_client": lambda name: name in ("runtime/metrics.py", "runtime/metric_parts.py"),
    "torch": lambda name: not name.startswith("streams/"),
    "tyro": lambda name: name == "runtime/arguments.py",
    "pickle": lambda _: False,
    "timm": lambda name: name == "models/timm_models.py",
    "torchvision": lambda _: False,
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def offenders(found) -> str:
    return "\n".join(sorted(found))


def test_packages_import_one_way_only() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text()


def test_only_owners_import_what_is_theirs() -> None:
    found = {
        f"{named(path)} imports {module}"
        for path in FILES
        for module in imported(path) & OWNERS.keys()
        if not OWNERS[module](named(path))
    }
    assert not found, offenders(found)


def test_importing_every_module_says_and_starts_nothing() -> None:
    modules = [named(path).removesuffix(".py").replace("/", ".") for path in FILES if path.name != "__init__.py"]
    script = (
        "import importlib, signal, sys, threading\n"
        "def state(): return sys.getswitchinterval(), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]\n"
        "before = state()\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert before == state()\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in (*FILES, *TESTS)}
    found = {f"{name}: {length} lines" for name, length in lengths.items() if length > MAX_LINES["file"]}
    assert not found, offenders(found)


def test_functions_and_constructors_stay_small() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or 0) - node.lineno + 1
            if length >= MAX_LINES["function"]:
                found.add(f"{named(path)}:{node.lineno} {node.name} has {length} lines")
            arguments = node.args
            num = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
            if node.name == "__init__" and num > MAX_PARAMETERS:
                found.add(f"{named(path)}:{node.lineno} has {num} parameters")
    assert not found, offenders(found)


def test_every_file_says_what_it_is() -> None:
    found = {named(path) for path in FILES if not ast.get_docstring(tree(path))}
    assert not found, offenders(found)


def test_text_is_plain_ascii_without_tabs() -> None:
    found = {named(path) for path in (*FILES, *TESTS) if not path.read_text(encoding="utf-8").isascii()}
    found |= {named(path) for path in (*FILES, *TESTS) if "\t" in path.read_text(encoding="utf-8")}
    assert not found, offenders(found)


def test_no_checker_is_silenced_and_nothing_is_left_to_do() -> None:
    marks = re.compile(r"#\s*(type:\s*ignore|noqa|pragma|mypy:|pyright:|ruff:|T[O]DO|F[I]XME|X[X]X|H[A]CK)")
    found = set()
    for path in (*FILES, *TESTS):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if marks.search(line):
                found.add(f"{named(path)}:{number} {line.strip()}")
    assert not found, offenders(found)


def test_no_exception_is_swallowed() -> None:
    found = {
        f"{named(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(line, ast.Pass) for line in node.body))
    }
    assert not found, offenders(found)


def test_no_path_of_one_machine_is_written_down() -> None:
    written = re.compile(r"""(?<![\w.])(/work|/home|/root|/Users|/tmp|/mnt|/opt)/|[A-Z]:\\\\Users""")
    documents = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
    found = set()
    for path in (*FILES, *TESTS, *documents):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if written.search(line) and path != Path(__file__):
                found.add(f"{named(path)}:{number} {line.strip()}")
    assert not found, offenders(found)


def test_every_package_is_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []
