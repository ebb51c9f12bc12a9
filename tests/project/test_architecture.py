"""The house keeps its shape: the import contracts, the size of folders, the names of classes, a few habits.

The contracts stand in pyproject.toml; what they cannot say is looked up in the syntax tree here. Each habit
is also shown one offence, so that its rule cannot pass by looking at nothing.
"""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
BOT = sorted(path for path in (ROOT / "bot").rglob("*.py") if "versions" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# A benchmark measures time, so it may let some pass.
TESTS_PROPER = [path for path in TESTS if "benchmarks" not in path.parts]
DOMAIN = [path for path in BOT if "domain" in path.parts]

MOST_MODULES = 12  # of a folder: more of them are no longer one thought
MAY_CATCH_EVERYTHING = {"bot/slack/incoming/guard.py", "bot/slack/views/undrawable.py", "bot/scheduler.py"}


Rule = Callable[[ast.AST], str | None]


def test_every_import_contract_is_kept() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command([])"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_library_has_its_place_in_a_contract() -> None:
    """So the domain knows but the one of recurrence rules: no contract allows it another."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    protected = {name for contract in contracts for name in contract.get("protected_modules", ())}
    known = grimp.build_graph("bot", include_external_packages=True, cache_dir=None).modules
    libraries = {name for name in known if name.split(".")[0] != "bot"} - sys.stdlib_module_names
    assert libraries == protected


def test_no_folder_has_more_modules_than_one_reads_at_a_glance() -> None:
    assert too_full(BOT + TESTS) == []


def too_full(paths: Iterable[Path]) -> list[str]:
    modules = Counter(path.parent for path in paths if path.name != "__init__.py")
    return [f"{folder}: {count} modules" for folder, count in modules.items() if count > MOST_MODULES]


def test_no_two_public_classes_share_a_name() -> None:
    assert shared_names(path.read_text(encoding="utf-8") for path in BOT) == []


def shared_names(sources: Iterable[str]) -> list[str]:
    classes = Counter(
        node.name
        for source in sources
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return [name for name, count in classes.items() if count > 1]


def test_a_full_folder_and_a_shared_name_are_seen() -> None:
    assert too_full(Path(f"bot/{number}.py") for number in range(13)) == ["bot: 13 modules"]
    assert shared_names(["class Tally: ...", "class _Own: ...\nclass Tally: ...", "class _Own: ..."]) == [
        "Tally"
    ]


def test_every_module_begins_with_why_it_exists() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in BOT}
    silent = [
        path for path, text in sources.items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def catches_everything(node: ast.AST) -> str | None:
    if not isinstance(node, ast.ExceptHandler) or ast.unparse(node.body[-1]) == "raise":
        return None  # what tidies up and passes the error on catches nothing
    caught = [ast.unparse(one) for one in getattr(node.type, "elts", [node.type]) if one]
    if not caught or {"Exception", "BaseException"} & set(caught):
        return "catches every error: only the guard of listeners, the parts of views and the scheduler may"
    return None


def reads_a_clock(node: ast.AST) -> str | None:
    clocks = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "time.time_ns"}
    if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks:
        return "reads a clock: in the domain `now` is an argument"
    return None


def patches_or_sleeps(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom) and "mock" in ast.unparse(node):
        return "imports mock: fakes sit at the wire"
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called.endswith("monkeypatch.setattr"):
            return "patches an attribute: pass what the test needs"
        if called in {"sleep", "asyncio.sleep", "time.sleep", "anyio.sleep"} and ast.unparse(node) != (
            "asyncio.sleep(0)"
        ):
            return "sleeps: wait for the event or the condition"
        if called in {"pytest.skip", "pytest.xfail"}:
            return "gives up on the way: mark what it needs"
    return None


def measures(node: ast.AST) -> str | None:
    clocks = {"time.perf_counter", "time.process_time", "time.thread_time", "time.monotonic", "time.time"}
    read = {f"{clock}{unit}" for clock in clocks for unit in ("", "_ns")}
    if isinstance(node, ast.Attribute) and ast.unparse(node) in read:
        return "measures time: that belongs to make bench"
    return None


def leaves_work_for_later(node: ast.AST) -> str | None:
    if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
        return "is not implemented"
    return None


RULES: list[tuple[Rule, list[Path], str]] = [
    (
        catches_everything,
        [path for path in BOT if path.relative_to(ROOT).as_posix() not in MAY_CATCH_EVERYTHING],
        "try:\n    x\nexcept (KeyError, Exception):\n    y",
    ),
    (reads_a_clock, DOMAIN, "datetime.now(UTC)"),
    (patches_or_sleeps, TESTS_PROPER, "async def test():\n    await asyncio.sleep(1)"),
    (measures, TESTS_PROPER, "began = time.process_time()"),
    (leaves_work_for_later, BOT, "raise NotImplementedError"),
]


def offences(rule: Rule, source: str) -> list[str]:
    return [
        f"line {getattr(node, 'lineno', 0)} {found}"
        for node in ast.walk(ast.parse(source))
        if (found := rule(node))
    ]


@pytest.mark.parametrize(("rule", "paths", "offence"), RULES, ids=[rule.__name__ for rule, _, _ in RULES])
def test_nobody_slips_into_a_habit_we_gave_up(rule: Rule, paths: list[Path], offence: str) -> None:
    assert offences(rule, offence), "the rule sees an offence when it is shown one"
    found = [
        f"{path.relative_to(ROOT)} {what}"
        for path in paths
        for what in offences(rule, path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    x\nexcept:\n    y",
        "try:\n    x\nexcept BaseException:\n    y",
        "try:\n    x\nexcept Exception:\n    raise Other from None",
    ],
)
def test_an_unnamed_error_is_every_error(source: str) -> None:
    assert offences(catches_everything, source)


@pytest.mark.parametrize(
    "source",
    [
        "from unittest.mock import patch",
        "def test(monkeypatch):\n    monkeypatch.setattr(a, 'b', c)",
        "time.sleep(1)",
        "pytest.skip('later')",
    ],
)
def test_every_way_to_patch_to_sleep_or_to_give_up_is_seen(source: str) -> None:
    assert offences(patches_or_sleeps, source)
