"""Adapters between the checks and a framework, one file each; PyTorch's is one of them.

An adapter is a Python file. Everything in it goes by PyTorch's names (``nn.Linear``, ``in_features``, ``lr``,
``weight``), and every array is NumPy's. It defines what its framework offers and leaves out the rest, which is then
reported as not offered, never as passed:

    NAME            how reports call the framework

    modules         make, forward, backward, parameters, gradients
        and, where there is such a thing: zero_grad, train, modes, dynamic, used_twice, state_dict, load_state_dict,
        freeze, seed, inject_masks, masks, recorded_masks, copies, no_grad, REJECTIONS
    functions       NAMESPACE, differentiate
    optimizers      optimizer, step, state; change_option, zero_gradients, save, restore, optimizer_state_dict
    schedules       optimizer, scheduler, scheduler_step, rates; save, restore
    DIFFERENCES     documented differences from PyTorch
    LEAVES_OUT      options may be left out, and are at PyTorch's defaults then

:class:`Adapter` documents the arguments and results of each. An adapter raises :class:`NotOffered` (a
NotImplementedError will do) for a component, an option or a value of an option that its framework lacks;
:func:`make_from` does so for a table of what it has.
"""

from conformance.frameworks.adapter import (
    Adapter,
    Lacking,
    NotOffered,
    made,
    make_from,
    make_module,
    make_scheduler,
    offers,
)
from conformance.frameworks.choice import load, under_test, use
from conformance.offers import Offer

__all__ = [
    "Adapter", "Lacking", "NotOffered", "Offer", "load", "made", "make_from", "make_module", "make_scheduler", "offers",
    "under_test", "use",
]  # fmt: skip
