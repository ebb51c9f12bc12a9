"""The documents say what is so: every setting in the README, with its default and its meaning."""

import re
from pathlib import Path

from tests.test_settings import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# These words stand for a default; everything else in that column is one.
NO_VALUE = {"": "empty", "required": "required", "one of the two": "one of the two"}


def test_the_readme_s_table_of_settings_is_the_settings() -> None:
    expected = [
        f"| `{line.variable}` | {NO_VALUE.get(line.default, f'`{line.default}`')} | {line.meaning} |"
        for line in load().describe()
    ]
    assert re.findall(r"^\| `MESHBOT_.*\|$", README, re.MULTILINE) == expected


def test_every_setting_named_in_prose_is_one() -> None:
    known = {line.variable.removesuffix("__<OPERATION>") for line in load().describe()}
    named = re.findall(r"MESHBOT_[A-Z_]*[A-Z]", README)
    assert named
    assert [name for name in named if re.sub(r"(__ROUTES|__FIELDS)__\w+$", r"\1", name) not in known] == []


def test_every_link_within_the_readme_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_every_file_the_readme_links_to_exists() -> None:
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert [target for target in linked if not (ROOT / target).exists()] == []


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make (\w+)`", README)) <= targets
