"""The house keeps its shape: who imports whom, where a file lives, and a few habits nobody may slip into.

The import contracts stand in pyproject.toml; what they cannot say is looked up in the syntax tree here.
Each rule of the second kind is also shown one offence, so that it cannot pass by looking at nothing.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOT = sorted(path for path in (ROOT / "bot").rglob("*.py") if "versions" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# A benchmark measures time, so it may let some pass.
TESTS_PROPER = [path for path in TESTS if "benchmarks" not in path.parts]
DOMAIN = [path for path in BOT if "domain" in path.parts]

MAY_CATCH_EVERYTHING = {"bot/slack/guard.py", "bot/scheduler.py"}

# Who reads the file by chance sees all of it: beyond this it is two thoughts.
LONGEST = 450

# The columns of the house. "shared" is what several features stand on, so it may lean on none of them.
COLUMNS = {
    "fleet": "charts fleet fleet_intake fleet_search fleet_write_runs fleet_writes listings writes",
    "rollouts": "rollouts rollout_again rollout_alerts rollout_batches rollout_buttons rollout_card "
    "rollout_course rollout_flight rollout_holds rollout_jobs rollout_late rollout_log rollout_notes "
    "rollout_places rollout_steering rollout_targets",
    "alerts": "alerts incidents alert_course incident_moves incident_notes incident_places incident_card "
    "flapping storms growth blindness causes returns silences reminders",
    "about": "about digests home rollout_form",
    "shared": "arrivals audit backlog blocks bolt broken_channels bulk calls cards channels commands "
    "conditions csv_file engine flaps guard history ids lists looks manifest modals moments outbox pace "
    "payloads people pictures publisher respond retention schema sending sockets subscriptions tables upsert "
    "views web_api",
}
ROWS = ("bot.slack.views", "bot.slack", "bot.services", "bot.storage")

Rule = Callable[[ast.AST], str | None]


def test_every_import_contract_is_kept() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_stands_in_the_map_and_the_map_names_no_other() -> None:
    present = {path.relative_to(ROOT).as_posix() for path in BOT if path.name != "__init__.py"}
    assert set(files_of_the_map((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))) == present


def files_of_the_map(document: str) -> Iterator[str]:
    """The Python files of the block that begins with ``bot/``: names, two spaces or more, what they do."""
    block = re.search(r"^```\n(bot/\n.*?)^```", document, re.MULTILINE | re.DOTALL)
    assert block, "there is a map of bot/"
    folders: list[str] = []
    for line in block[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        first, *names = re.split(r" {2,}", line.strip())[0].split(" ")
        if first.endswith("/"):
            folders[depth:] = [first]
        else:
            names, folders[depth:] = [first, *names], []
        yield from ("".join(folders) + name for name in names if name.endswith(".py"))


def test_the_map_is_read_as_it_looks() -> None:
    lines = [
        "bot/",
        "  a.py        top.py of all",
        "  in/ b.py",
        "    c.py d.py  two",
        "    deep/  no",
        "  e.py",
    ]
    files = files_of_the_map("```\n" + "\n".join(lines) + "\n```\n")
    assert list(files) == ["bot/a.py", "bot/in/b.py", "bot/in/c.py", "bot/in/d.py", "bot/e.py"]


def column_of(module: str) -> str | None:
    """The feature a module belongs to; None for what is in no row of the house, like the domain."""
    row, _, name = module.rpartition(".")
    if row not in ROWS:
        return None
    return next((column for column, names in COLUMNS.items() if name in names.split()), "no column")


def crossings(module: str, source: str) -> list[str]:
    """What a module imports from a feature that is not its own. ``about`` tells of all features."""
    here = column_of(module)
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    named = [(node.module or "", f"{node.module}.{alias.name}") for node in imports for alias in node.names]
    found = {one: column_of(one) for pair in named for one in pair}
    return [
        one for one, there in found.items() if there and there not in {here, "shared"} and here != "about"
    ]


def test_every_module_stands_in_a_column_and_leans_on_no_other_feature() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in BOT}
    in_rows = {
        module: path for module, path in modules.items() if column_of(module) and path.stem != "__init__"
    }
    assert [module for module in in_rows if column_of(module) == "no column"] == []
    crossed = {
        module: crossings(module, path.read_text(encoding="utf-8")) for module, path in in_rows.items()
    }
    assert {module: found for module, found in crossed.items() if found} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from bot.storage.fleet import x",
        "from bot.storage import fleet",
        "from bot.services.fleet_intake import x",
    ],
)
def test_a_feature_that_leans_on_another_is_seen(source: str) -> None:
    assert crossings("bot.services.alerts", source)
    assert crossings("bot.storage.cards", source), "what is shared leans on no feature"
    assert not crossings("bot.services.fleet_writes", source)


def test_no_file_is_too_long_to_be_one_thought() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in BOT}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


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
        return "catches every error: only the guard of listeners and the scheduler may"
    return None


def reads_a_clock(node: ast.AST) -> str | None:
    clocks = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "time.time_ns"}
    if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks:
        return "reads a clock: in the domain `now` is an argument"
    return None


def imports_beyond_the_standard_library(node: ast.AST) -> str | None:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and node.module != "bot.domain":
        names = [(node.module or "") + "."]
    for name in names:
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("bot.domain."):
            return f"imports {name}: the domain needs the standard library only"
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
    (imports_beyond_the_standard_library, DOMAIN, "from bot.services.fleet import x"),
    (patches_or_sleeps, TESTS_PROPER, "async def test():\n    await asyncio.sleep(1)"),
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


def test_the_domain_may_import_itself_and_the_standard_library() -> None:
    source = "import re\nfrom bot.domain import fleet\nfrom bot.domain.fleet import Gateway"
    assert offences(imports_beyond_the_standard_library, source) == []
