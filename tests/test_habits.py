"""CI and CONTRIBUTING name the environments of tox."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def tox():
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini", "utf-8")
    return settings


def expanded(pattern: str) -> set[str]:
    """``py310-numpy{1,2}, lint`` as single names."""
    names = set()
    for name in re.findall(r"[\w-]+(?:\{[\w,]+\})?", pattern):
        base, _, ends = name.partition("{")
        names |= {base + end for end in ends.rstrip("}").split(",")}
    return names


def test_ci_runs_every_environment_but_the_benchmarks(tox):
    text = WORKFLOW.read_text("utf-8")
    run = set(",".join(re.findall(r'environments: "([^"]+)"', text)).split(","))
    run |= set(re.findall(r"\w+", ",".join(re.findall(r"^ +environment: \[(.*)\]$", text, re.MULTILINE))))
    named = {section.removeprefix("testenv:") for section in tox.sections() if section.startswith("testenv:")}
    assert run == (expanded(tox["tox"]["env_list"]) | named) - {"benchmarks"}


def test_contributing_names_only_existing_environments(tox):
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")
    known = expanded(tox["tox"]["env_list"]) | {section.partition(":")[2] for section in tox.sections()}
    assert set(re.findall(r"-e ([\w-]+)", text)) - known == set()


def test_hooks_have_the_versions_of_the_lint_extra(tox):
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    (extra,) = re.findall(r"^lint = \[(.*)\]$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    versions = {name.partition(">")[0]: name for name in re.findall(r'"([^"]+)"', extra)}
    assert set(re.findall(r'"(ruff[^"]+)"', hooks)) == {versions["ruff"]}
    assert tox["testenv:lint"]["deps"].strip() == versions["pre-commit"]
