"""Mutation testing of numpyml: how many changes of one thing the suite detects.

    python tools/mutants.py [--sample N] [--seed N] [--shard K/N] [--file PART] [--jobs N]

A mutant is one module of numpyml with one statement deleted, or one operator, number or truth value changed. The quick
checks of the components that run the changed line are run, those that run the fewest lines first, and then the tests of
its file. If all pass, the mutant is a survivor, and the exit code is 1, unless EQUIVALENT lists it with the reason why
no test can detect it.

Thresholds of speed are not changed: a comparison with a constant of ``numpyml/kernels/thresholds.py`` only chooses
between two computations of the same numbers by the size of an array. Neither the comparison nor the constant is
changed, and the statement that chooses is not deleted; the rest of its line is.

Each mutant runs in a process of its own, forked from one that has imported PyTorch but not numpyml.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(next(iter(importlib.util.find_spec("numpyml").submodule_search_locations or [])))  # type: ignore[union-attr]
TESTS = Path(__file__).resolve().parents[1] / "tests"
ESTIMATORS = "extras/test_estimators.py extras/test_sample_weight.py"
TRAINING = (
    "training/test_loop.py training/test_arguments.py training/test_divergence.py training/test_resuming.py "
    "extras/test_training.py"
)
# The files of numpyml, each with its tests.
FILES = {
    "__init__.py": "test_numpyml.py test_package.py",
    "autograd/derivatives/elementwise.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/indexing.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/joining.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/linalg.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/products.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/reductions.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/derivatives/shapes.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "autograd/gradcheck.py": "autograd/test_gradcheck.py",
    "autograd/methods.py": "autograd/test_tensor.py",
    "autograd/table.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "kernels/gradients.py": "autograd/test_derivatives.py autograd/test_corners.py",
    "kernels/products.py": "nn/test_layers.py",
    "kernels/attention.py": "nn/test_attention.py",
    "kernels/position.py": "nn/test_position.py harness/test_sinusoidal_encoding.py",
    "kernels/sums.py": "autograd/test_sums.py autograd/test_derivatives.py",
    "autograd/tape.py": "autograd/test_tape.py",
    "autograd/tensor.py": "autograd/test_tensor.py",
    "checkpoint.py": "checkpoint/test_file.py checkpoint/test_contents.py harness/test_checkpoint.py",
    "data.py": "test_data.py harness/test_data.py",
    "errors.py": "nn/test_module.py autograd/test_tensor.py",
    "estimators.py": ESTIMATORS,
    "generation.py": "test_generation.py",
    "memory.py": "test_numpyml.py",
    "names.py": "test_names.py",
    "nn/activations/gates.py": "nn/test_activations.py",
    "nn/activations/relu.py": "nn/test_layers.py",
    "nn/activations/softmax.py": "nn/test_activations.py",
    "kernels/elementwise.py": "nn/test_activations.py",
    "kernels/erf.py": "nn/test_activations.py",
    "kernels/softmax.py": "nn/test_activations.py nn/test_losses.py",
    "nn/init.py": "nn/test_layers.py",
    "nn/layers/attention.py": "nn/test_attention.py",
    "nn/layers/dense.py": "nn/test_layers.py",
    "nn/layers/dropout.py": "nn/test_layers.py",
    "nn/layers/embedding.py": "nn/test_embedding.py",
    "nn/layers/flatten.py": "nn/test_layers.py",
    "nn/layers/multihead_attention.py": "nn/test_attention.py",
    "nn/layers/normalization.py": "nn/test_normalization.py",
    "nn/layers/position.py": "nn/test_position.py",
    "nn/layers/transformer.py": "nn/test_transformer.py",
    "nn/losses/base.py": "nn/test_losses.py",
    "nn/losses/binary_cross_entropy.py": "nn/test_losses.py",
    "nn/losses/cross_entropy.py": "nn/test_losses.py",
    "nn/losses/regression.py": "nn/test_losses.py",
    "nested.py": "nn/test_nested.py",
    "nn/drivers.py": "nn/test_drivers.py nn/test_nested.py",
    "nn/model.py": "nn/test_model.py",
    "nn/module.py": "nn/test_module.py nn/test_drivers.py nn/test_buffer.py",
    "nn/optimizers/adam.py": "nn/test_optimizers.py",
    "nn/optimizers/base.py": "nn/test_optimizers.py nn/test_optimizer_groups.py",
    "nn/optimizers/flat.py": "nn/test_optimizers.py nn/test_optimizer_groups.py",
    "nn/optimizers/groups.py": "nn/test_optimizer_groups.py nn/test_optimizers.py",
    "nn/optimizers/options.py": "nn/test_optimizers.py nn/test_optimizer_groups.py",
    "nn/optimizers/plain.py": "nn/test_optimizers.py",
    "nn/optimizers/sgd.py": "nn/test_optimizers.py",
    "nn/parameter.py": "nn/test_module.py nn/test_drivers.py nn/test_buffer.py",
    "nn/preserve.py": "nn/test_buffer.py nn/test_model.py",
    "nn/representation.py": "nn/test_module.py nn/test_model.py",
    "nn/schedulers/base.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/schedulers/composed.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/schedulers/cosine.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/schedulers/one_cycle.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/schedulers/plateau.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/schedulers/steps.py": "nn/test_schedulers.py harness/test_schedulers.py",
    "nn/storage.py": "nn/test_module.py nn/test_optimizers.py",
    "nn/summary.py": "nn/test_model.py",
    "nn/utils.py": "nn/test_schedulers.py",
    "options.py": "nn/test_layers.py nn/test_losses.py nn/test_schedulers.py",
    "random.py": "nn/test_layers.py nn/test_init.py",
    "training/arguments.py": TRAINING,
    "training/diagnosis.py": TRAINING,
    "training/history.py": TRAINING,
    "training/interrupt.py": TRAINING,
    "training/loop.py": TRAINING,
    "training/metrics.py": TRAINING,
    "training/progress.py": TRAINING,
}
PATIENCE = 120  # seconds of processor time; a mutant that takes longer is detected
COMPONENTS = 5  # the largest number of components whose checks a mutant runs
UNCHANGED = "nothing"  # the change of a file whose tests must pass before its mutants are tested

_FEW_ROWS = (
    "kernels/products.py",
    "if 2 < len(rows) <= thresholds.FEW_ROWS and weight.size >= thresholds.LARGE_WEIGHT:",
)
_PLAIN_SQUARES = (
    "nn/utils.py",
    "if 1e-12 < squares < np.inf:  # no overflow, and underflow is negligible beside the sum",
)
# Survivors that no test can detect: (file, text of the line, change) -> reason.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (*_FEW_ROWS, "Lt -> LtE"): "for two rows either product is the same, and this one is no slower",
    (*_FEW_ROWS, "2 -> 3"): "for three rows either product is the same, and this one is a little slower",
    (*_FEW_ROWS, "And -> Or"): "either product is the same, whatever the sizes; one is slower",
    (*_PLAIN_SQUARES, "deleted"): "the computation without overflow gives the same norm, slower",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str
    line: int
    text: str  # of that line
    change: str
    number: int  # the index of the change among those of its file

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}: {self.text}"


OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Any]]:
    """Every change of a module: the node, its description, and the arguments of :func:`apply`."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.Lambda)):
            yield from _within(function)


def _within(function: ast.FunctionDef | ast.Lambda) -> Iterator[tuple[ast.AST, str, Any]]:
    body = function.body if isinstance(function.body, list) else [function.body]
    of_speed = {n for part in body for compared in _own(part) for n in _thresholds(compared)}
    for node in (n for part in body for n in _own(part)):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield from ((s, "deleted", (node, name, i)) for i, s in enumerate(value) if _says(s))
        if node in of_speed:
            continue
        if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in OPERATORS:
            yield node, f"{type(node.op).__name__} -> {OPERATORS[type(node.op)].__name__}", (node, "op")
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            yield node, f"{type(node.ops[0]).__name__} -> {OPERATORS[type(node.ops[0])].__name__}", (node, "ops")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
            yield node, f"without {type(node.op).__name__}", (node, "operand")
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            changed = (not node.value) if isinstance(node.value, bool) else node.value + 1
            yield node, f"{node.value} -> {changed}", (node, "value", changed)
    if isinstance(function, ast.FunctionDef):
        yield from ((s, "deleted", (function, "body", i)) for i, s in enumerate(function.body) if _says(s))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """A node and its descendants, without inner functions, annotations and errors."""
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            skipped = isinstance(child, (ast.FunctionDef, ast.Lambda, ast.Raise, ast.JoinedStr)) or name == "annotation"
            if isinstance(child, ast.AST) and not skipped:
                yield from _own(child)


def _thresholds(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a threshold of speed, and the comparison if it has no other operator."""
    if isinstance(node, ast.Compare):
        declared = [side for side in (node.left, *node.comparators) if _is_declared(side)]
        if declared and len(node.ops) == 1:
            yield node
        yield from (n for side in declared for n in ast.walk(side))


def _is_declared(node: ast.AST) -> bool:
    """Whether an expression is a constant of ``thresholds``."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "thresholds"


def _says(statement: ast.stmt) -> bool:
    """Whether the deletion of a statement is a mutant."""
    if isinstance(statement, ast.If) and any(True for n in _own(statement.test) for _ in _thresholds(n)):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False  # a docstring
    return not isinstance(statement, (ast.Pass, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Raise))


def apply(how: Any) -> None:
    """Change the tree; ``how`` is from :func:`changes`."""
    node, name, *rest = how
    if isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()  # `not x` becomes `+x`, with the truth value of x
    elif name == "op":
        node.op = OPERATORS[type(node.op)]()
    elif name == "ops":
        node.ops[0] = OPERATORS[type(node.ops[0])]()
    elif name == "value":
        node.value = rest[0]
    else:
        statements = getattr(node, name)
        statements[rest[0]] = ast.copy_location(ast.Pass(), statements[rest[0]])


def mutants(file: str) -> list[Mutant]:
    """The mutants of a file, in the order of its lines."""
    source = (ROOT / file).read_text()
    lines = source.splitlines()
    changed = [
        Mutant(file, node.lineno, lines[node.lineno - 1].strip(), change, i)  # type: ignore[attr-defined]
        for i, (node, change, _) in enumerate(changes(ast.parse(source)))
    ]
    return sorted(changed, key=lambda mutant: (mutant.line, mutant.number))


class _Loader(SourceFileLoader):
    """Loads the mutant instead of the module."""

    mutant: Mutant

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        tree = ast.parse(data)
        for how in [how for i, (_, _, how) in enumerate(changes(tree)) if i == self.mutant.number]:
            apply(how)
        return compile(ast.fix_missing_locations(tree), path, "exec")

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)  # not from the bytecode cache


@dataclass
class _Finder:
    mutant: Mutant

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "numpyml." + self.mutant.file[:-3].replace("/", "."):
            return None
        loader = _Loader(fullname, str(ROOT / self.mutant.file))
        loader.mutant = self.mutant
        return importlib.util.spec_from_file_location(fullname, loader.path, loader=loader)


# Which components run which lines


def reached(component: str) -> tuple[str, set[tuple[str, int]]]:
    """The component, and the lines of FILES that a few cases of each of its checks run."""
    from conformance import runner

    runner.ready()
    lines: set[tuple[str, int]] = set()
    files = {str(ROOT / file): file for file in FILES}

    def local(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            lines.add((files[frame.f_code.co_filename], frame.f_lineno))
        return local

    def calls(frame: Any, event: str, _: Any) -> Any:
        return local(frame, "line", None) if frame.f_code.co_filename in files else None

    for task in runner.tasks(component):
        if task.check not in SLOW:
            sys.settrace(calls)
            try:
                runner.run(task, "quick", examples=3)
            finally:
                sys.settrace(None)
    return component, lines


SLOW = ("long_trajectory", "training_float64", "training_float32")


# One mutant in a process of its own


def detected(mutant: Mutant, components: list[str]) -> str:
    """The check or tests that detect the mutant, run in a process of its own; empty if none does."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.meta_path.insert(0, _Finder(mutant))
            sender.send(_failing(mutant, components))
            sender.close()
        except BaseException as error:  # noqa: BLE001  # any error detects the mutant
            sender.send(f"{type(error).__name__} outside of any check")
        finally:
            os._exit(0)
    sender.close()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "a timeout"
    try:
        return str(receiver.recv())
    except EOFError:
        return "a crash"


def _failing(mutant: Mutant, components: list[str]) -> str:
    """The first check, or the tests, that fail with the mutant; empty if all pass."""
    try:
        from conformance import runner
    except Exception as error:  # noqa: BLE001  # a failed import detects the mutant
        return f"import: {type(error).__name__}"
    runner.ready()
    for component in components:
        for task in runner.tasks(component):
            if task.check not in SLOW and runner.run(task, "quick").failure:
                return str(task)
    import pytest

    own = [str(TESTS / file) for file in FILES[mutant.file].split()]
    options = ["-xq", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "-p", "no:xdist"]
    code = pytest.main([*options, "-c", str(TESTS.parent / "pyproject.toml"), *own])
    return FILES[mutant.file] if code not in (0, 5) else ""


def _warm() -> None:
    """Import what every mutant needs and none changes."""
    import hypothesis  # noqa: F401
    import torch

    torch.set_num_threads(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing: change one thing in numpyml at a time.")
    parser.add_argument("--sample", type=int, metavar="N", help="test N random mutants; all by default")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="every Nth mutant from the Kth on")
    parser.add_argument("--file", default="", help="only files whose path contains this, such as losses")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--lines", type=Path, metavar="FILE", help="cache the lines that each component runs in this file"
    )
    options = parser.parse_args()
    chosen = [mutant for file in FILES if options.file in file for mutant in mutants(file)]
    if options.sample is not None:
        rng = random.Random(options.seed)  # noqa: S311  # no secret
        chosen = rng.sample(chosen, min(options.sample, len(chosen)))
        chosen.sort(key=lambda mutant: (mutant.file, mutant.line))
    shard, shards = map(int, options.shard.split("/"))
    chosen = chosen[shard - 1 :: shards]
    context = multiprocessing.get_context("fork")
    lines = _lines(options.lines, options.jobs)
    _warm()
    survivors, equivalent, start = [], 0, time.monotonic()
    for file in sorted({mutant.file for mutant in chosen} or {file for file in FILES if options.file in file}):
        if by := detected(Mutant(file, 0, "", UNCHANGED, -1), []):
            print(f"{by} fails although nothing in {file} is changed")
            return 2
    with ProcessPoolExecutor(options.jobs, context) as pool:
        running = [(m, pool.submit(detected, m, _fitting(m, lines))) for m in chosen]
        for count, (mutant, future) in enumerate(running, 1):
            by = future.result()
            reason = EQUIVALENT.get((mutant.file, mutant.text, mutant.change))
            equivalent += bool(not by and reason)
            if not by and not reason:
                survivors.append(mutant)
            print(f"[{count}/{len(chosen)}] {by or reason or 'SURVIVED'} | {mutant}", flush=True)
    print(
        f"\n{len(chosen) - len(survivors) - equivalent} of {len(chosen)} mutants are detected, {equivalent} cannot be, "
        f"{len(survivors)} survive ({time.monotonic() - start:.0f} s)"
    )
    for mutant in survivors:
        print(f"SURVIVED {mutant}")
    return 1 if survivors else 0


def _lines(file: Path | None, jobs: int) -> dict[str, set[tuple[str, int]]]:
    """The lines that each component runs."""
    if file is not None and file.exists():
        return {name: {(f, n) for f, n in ran} for name, ran in json.loads(file.read_text()).items()}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        lines = dict(pool.map(reached, _components()))
    if file is not None:
        file.write_text(json.dumps({name: sorted(ran) for name, ran in lines.items()}))
    return lines


def _components() -> list[str]:
    """The name of every component, from another process, since this one must not import numpyml."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return list(pool.submit(_names).result())


def _names() -> list[str]:
    from conformance import runner

    return runner.names()


def _fitting(mutant: Mutant, lines: dict[str, set[tuple[str, int]]]) -> list[str]:
    """The components that run the changed line, or one next to it in the same expression, the most specific first."""
    for near in (0, 1, 3):
        nearby = {(mutant.file, mutant.line + i) for i in range(-near, near + 1)}
        if components := [c for c, ran in lines.items() if nearby & ran]:
            return sorted(components, key=lambda c: len(lines[c]))[:COMPONENTS]
    return []


if __name__ == "__main__":
    sys.exit(main())
