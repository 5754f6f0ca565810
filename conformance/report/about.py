"""What a reader must know besides the notes: seed, versions, the rule, and what each component and check is."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import numpyml
from conformance import contracts, divergences, runner
from conformance.comparison import rule as bound
from conformance.frameworks import under_test
from conformance.results import completeness
from conformance.results.census import About, Component
from conformance.rows import peer


def about(profile: str, seed: int, examples: int | None = None) -> About:
    """The frame of a run in this process's environment. Nothing in it tells one machine or day from another."""
    framework = under_test()
    own = framework.NAME == "numpyml"
    pytorch: Any = __import__("torch")
    components = {row.name: Component(group, peer(row)) for group, rows in contracts.groups().items() for row in rows}
    for program in runner.PROGRAMS:
        components[program.name] = Component("programs", "the same model, trained by PyTorch")
    texts = {task.check: job.check.text for task, job in runner.jobs().items()}
    return About(
        seed=seed,
        profile=profile,
        examples=examples,
        versions={
            **({"numpyml": numpyml.__version__} if own else getattr(framework, "VERSIONS", {})),
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            "PyTorch": pytorch.__version__,
        },
        k=bound.K,
        rule=(bound.__doc__ or "").strip(),
        components=components,
        checks=texts,
        differences=divergences.documented(),
        documented=divergences.counts(),
        incomplete=completeness.problems() if own else [],  # of another framework, what is missing is not offered
        framework=framework.NAME,
        adapter=getattr(framework, "ADAPTER_PATH", ""),
    )
