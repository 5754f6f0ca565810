"""``python -m benchmarks.where CASE``: the time of numpyml's step, by operation.

For each operation the least processor time of all its calls, without that of the operations it calls. Other programs
hardly affect these figures; their sum is the time of an undisturbed step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: process_time counts every thread

from benchmarks import with_numpyml
from benchmarks.cases import CASES
from numpyml.autograd import table as rows
from numpyml.autograd import tape
from numpyml.nn.module import Module
from numpyml.nn.optimizers.base import Optimizer

Name = tuple[str, int]  # an operation, and the number of its call in a step
least: dict[Name, float] = defaultdict(lambda: float("inf"))
calls: Counter[str] = Counter()
inside: list[float] = []  # for each running operation, the time of those it called


def timed(function: Callable[..., Any], name: str | Callable[..., str]) -> Callable[..., Any]:
    """The function, its time recorded under the name, without that of the timed functions it calls."""

    def run(*args: Any, **options: Any) -> Any:
        title = name if isinstance(name, str) else name(*args)
        inside.append(0.0)
        start = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent = time.process_time() - start
            key = title, calls[title]
            calls[title] += 1
            least[key] = min(least[key], spent - inside.pop())
            if inside:
                inside[-1] += spent

    return run


def subclasses(kind: type) -> Iterator[type]:
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    step = with_numpyml.make(CASES[options.case])
    for _ in range(3):
        step()
    for kind in set(subclasses(Module)):
        for half in ("compute", "pullback"):
            if half in vars(kind):
                setattr(kind, half, timed(vars(kind)[half], f"{kind.__name__.lstrip('_')}.{half}"))
    rows.Row.pullback = timed(rows.Row.pullback, lambda row, *_: f"numpy.{row.function.__name__}, pulled back")
    tape.backward = timed(tape.backward, "tape, sums of gradients")
    Optimizer.step, Optimizer.zero_grad = timed(Optimizer.step, "step"), timed(Optimizer.zero_grad, "zero_grad")
    with_numpyml.clip_grad_norm_ = timed(with_numpyml.clip_grad_norm_, "clip_grad_norm_")
    whole = timed(step, "everything else")
    for _ in range(options.steps):
        calls.clear()
        whole()
    total: dict[str, float] = defaultdict(float)
    for (title, _), spent in least.items():
        total[title] += spent
    for title, spent in sorted(total.items(), key=lambda pair: -pair[1]):
        print(f"{title:45}{spent * 1e3:9.2f} ms {calls[title]:5} calls {spent / calls[title] * 1e6:9.1f} us each")
    print(f"{'sum':45}{sum(total.values()) * 1e3:9.2f} ms")


if __name__ == "__main__":
    main()
