"""Every example runs on its own and prints the figures it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FRAMEWORKS = pytest.mark.parametrize("framework", ["numpyml", "pytorch"])


def run(task: str, script: str, *options: str) -> str:
    """What the script prints; a warning is an error."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / task / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The figure that follows ``pattern``."""
    found = re.search(pattern + r" (-?[\d.]+)", text)
    assert found, text
    return float(found[1])


@FRAMEWORKS
def test_digits_reach_97_percent(framework: str) -> None:
    assert number("test accuracy", run("digits", f"with_{framework}.py")) >= 0.97


@FRAMEWORKS
def test_breast_cancer_reaches_96_percent(framework: str) -> None:
    assert number("test accuracy", run("breast_cancer", f"with_{framework}.py")) >= 0.96


@FRAMEWORKS
def test_diabetes_is_no_worse_than_scikit_learn(framework: str) -> None:
    printed = run("diabetes", f"with_{framework}.py")
    assert number("held-out R2", printed) >= number("MLPRegressor", printed)


def test_losses_are_those_of_pytorch_at_every_step() -> None:
    rows = re.findall(r"^(.+?) +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+)$", run("same_losses", "compare.py"), re.MULTILINE)
    assert [name for name, *_ in rows] == ["SGD", "SGD, nesterov", "Adam", "Adam, amsgrad"]
    for name, exact, ours, theirs in rows:
        assert float(exact) <= 1e-10, name
        assert float(ours) <= float(theirs), name


@pytest.mark.parametrize("task", ["digits", "breast_cancer", "diabetes", "minilm"])
def test_numpyml_half_needs_no_torch(task: str) -> None:
    script = EXAMPLES / task / "with_numpyml.py"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(script.parent)!r}); runpy.run_path({str(script)!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize("task", ["digits", "breast_cancer", "diabetes", "minilm"])
def test_halves_differ_only_where_the_frameworks_do(task: str) -> None:
    ours, theirs = (
        (EXAMPLES / task / f"with_{name}.py").read_text("utf-8").splitlines() for name in ("numpyml", "pytorch")
    )
    assert len(theirs) == len(ours) + 1  # PyTorch's imports take a line more
    shared = [line for line in ours if line in theirs]
    assert len(shared) >= 0.6 * len(ours)


def test_minilm_finds_what_is_meant() -> None:
    """Of ten queries, nine at least have their text on the first place."""
    sys.path.insert(0, str(EXAMPLES / "minilm"))
    try:
        from texts import QUERIES, TEXTS  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    printed = run("minilm", "with_numpyml.py")
    found = [block.splitlines()[1].split(maxsplit=1)[1] for block in printed.strip().split("\n\n")]
    assert sum(TEXTS[i] == text for i, text in zip(QUERIES.values(), found, strict=True)) >= 9


def test_minilm_means_the_same_in_both_frameworks() -> None:
    cosines = re.findall(r"^batches of .* tokens ([\d.]+)$", run("minilm", "compare.py"), re.MULTILINE)
    assert len(cosines) == 6
    assert min(map(float, cosines)) >= 0.999999


@pytest.fixture(scope="session")
def gpts() -> dict[str, str]:
    """What both halves print after a shorter training."""
    return {name: run("gpt", f"with_{name}.py", "--steps", "250", "--new", "60") for name in ("numpyml", "pytorch")}


def test_gpt_learns_as_much_as_its_twin(gpts: dict[str, str]) -> None:
    """Its validation loss is within 1 % of PyTorch's, and below that of tokens at random, log 512 = 6.2."""
    ours, theirs = (number("validation loss", gpts[name]) for name in ("numpyml", "pytorch"))
    assert ours <= 1.01 * theirs
    assert ours < 5.5


def test_gpt_writes_what_it_is_asked_to_go_on_with(gpts: dict[str, str]) -> None:
    sample = gpts["numpyml"].split("\n", 1)[1]
    assert sample.startswith("The ") and len(sample) > 100


def test_gpt_has_pytorchs_loss_at_every_step(tmp_path: Path) -> None:
    printed = run("gpt", "compare.py", "--plot", str(tmp_path / "curves.svg"))
    exact, ours, theirs, cached = (float(x) for x in re.findall(r"([\d.]+e[+-]\d+)$", printed, re.MULTILINE))
    assert exact <= 1e-10
    assert ours <= theirs
    assert cached <= 1e-12
    assert (tmp_path / "curves.svg").stat().st_size > 10_000


def test_gpt_resumed_is_gpt_never_stopped(tmp_path: Path) -> None:
    """The checkpoint of step 100 is gone on from, to the same bits."""
    kept = str(tmp_path / "gpt.safetensors")
    whole = run("gpt", "with_numpyml.py", "--steps", "110", "--new", "20", "--checkpoint", kept)
    resumed = run("gpt", "with_numpyml.py", "--steps", "110", "--new", "20", "--checkpoint", kept)
    assert resumed == whole


@FRAMEWORKS
def test_dates_come_out_right_in_every_letter(framework: str) -> None:
    """Of the 1,000 that were held out, 99 in 100 at least, by either decoder."""
    printed = run("dates", f"with_{framework}.py")
    assert number("exact match of 1000, greedy", printed) >= 0.99
    assert number("exact match of 1000, beam", printed) >= 0.99


def test_dates_have_pytorchs_loss_at_every_step(tmp_path: Path) -> None:
    printed = run("dates", "compare.py", "--plot", str(tmp_path / "curves.svg"))
    exact, ours, theirs = (float(x) for x in re.findall(r"([\d.]+e[+-]\d+)$", printed, re.MULTILINE))
    assert exact <= 1e-10
    assert ours <= theirs
    assert (tmp_path / "curves.svg").stat().st_size > 10_000


def test_dates_held_out_are_never_trained_on() -> None:
    code = (
        "import numpy as np, task; made = task.data(); seen = set(); rows = list(made.batches()); "
        "seen = {task.decoded(row) for _, answers in rows for row in answers}; "
        "assert len(seen) > 30_000 and not seen & set(made.answers) and len(made.answers) == 1000; "
        "assert len({len(task.decoded(row)) for row in rows[0][1]}) > 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, cwd=EXAMPLES / "dates")


GPT_TOO_LONG = """
import numpy as np
import with_numpyml
from numpyml.errors import DataError

net, long = with_numpyml.GPT(20, 8, 2, 1, time=6), np.zeros((1, 7), int)
before = {name: x.tobytes() for name, x in net.state_dict().items()}
for call, place in ((lambda: net.forward(long), "GPT.place"), (lambda: net.step(long, None), "Embedding(6, 8")):
    try:
        call()
    except DataError as error:
        assert str(error).startswith(place) and "expected numbers from 0 to 5, got 6" in str(error), error
    else:
        raise AssertionError("accepted")
assert {name: x.tobytes() for name, x in net.state_dict().items()} == before
"""


def test_a_gpt_given_more_tokens_than_places_says_so() -> None:
    """One error that names the table, and the model as it was."""
    subprocess.run([sys.executable, "-c", GPT_TOO_LONG], check=True, timeout=300, cwd=EXAMPLES / "gpt")
