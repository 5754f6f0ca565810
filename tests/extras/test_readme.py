"""The README's code around scikit-learn runs, and does what the text says."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
BLOCKS = [
    code
    for code in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    if "numpyml.estimators" in code
]


def test_an_estimator_is_searched_for_in_a_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = BLOCKS
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    _, accuracy = re.fullmatch(r"([\d.]+) ([\d.]+)\n", capsys.readouterr().out).groups()
    assert float(accuracy) > 0.96
