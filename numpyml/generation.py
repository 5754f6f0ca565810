"""Autoregressive decoding: from the scores a model gives the next token to whole sequences.

The model is a function ``step(tokens, cache)``: ``tokens`` are the integers that it has not read yet, (batch, time),
``cache`` is what it returned the time before, None at first. It returns the scores (logits) of the next token, (batch,
vocabulary) or, for every position, (batch, time, vocabulary), and the new cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.nested import map_leaves
from numpyml.options import flag, generator_or_none, integer, number, positive, require
from numpyml.random import default_generator
from numpyml.typing import Array

__all__ = ["Hypothesis", "beam_search", "choose", "generate", "probabilities", "take_rows"]

Step = Callable[[Array, Any], tuple[ArrayLike, Any]]


# One token


def probabilities(
    logits: ArrayLike, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Array:
    """The distribution that :func:`choose` draws from.

        wᵢ = exp((zᵢ − max z) / T)                          z the logits, T the temperature
        pᵢ = wᵢ [i ∈ K] / Σ_{j ∈ K} wⱼ
        K = the top_k most probable tokens, and of these, with probabilities renormalized,
            the fewest most probable ones whose sum reaches top_p

    Of equally probable tokens the one with the smaller number comes first.

    Args:
        logits: −∞ where a token cannot come.
        temperature: T, above 0; below 1 the probable become more so, above 1 less.
        top_k: how many tokens are left, 1 or more; None for all.
        top_p: how much probability is left, above 0, up to 1; None for all.

    Shapes: logits and the probabilities (..., vocabulary).
    Raises: OptionError when an option is out of its range; DTypeError when the logits are no real floats; ShapeError
        when there are none; DataError when one is NaN or +∞, or all are −∞.
    Source: Fan, Lewis, Dauphin 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (top-p).
    """
    _check_options("probabilities", temperature, top_k, top_p)
    w = _weights(_floats("probabilities", logits), temperature, top_k, top_p)
    return w / w.sum(axis=-1, keepdims=True)


def choose(
    logits: ArrayLike,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    *,
    greedy: bool = False,
    generator: np.random.Generator | None = None,
) -> Array:
    """The next token: drawn from :func:`probabilities`, or the most probable one.

        i = the first with Σ_{j ≤ i} pⱼ > u,   u uniform in [0, 1)        greedy: i = argmax z

    Args:
        logits, temperature, top_k, top_p: see :func:`probabilities`.
        greedy: take the most probable token; the options are of no effect then.
        generator: where u comes from, one number for each token; by default the one of ``manual_seed``.

    Shapes: logits (..., vocabulary); tokens (...), int64.
    Raises: as :func:`probabilities`.
    """
    _check_options("choose", temperature, top_k, top_p)
    flag("choose", "greedy", greedy)
    return _choose(
        _floats("choose", logits), temperature, top_k, top_p, None if greedy else _source("choose", generator)
    )


def _source(owner: str, generator: np.random.Generator | None) -> np.random.Generator:
    return generator_or_none(owner, "generator", generator) or default_generator()


def _check_options(owner: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    positive(owner, "temperature", temperature)
    if top_k is not None:
        integer(owner, "top_k", top_k, 1)
    if top_p is not None:
        number(owner, "top_p", top_p, 0, 1)
        require(top_p > 0, owner, "top_p", top_p, "above 0")


def _floats(owner: str, logits: ArrayLike) -> Array:
    z = np.asarray(logits)
    if z.dtype.kind != "f":
        raise DTypeError(f"{owner} expected floating logits, got {kind_of(logits)}; pass the model's scores")
    if not z.ndim or not z.shape[-1]:
        raise ShapeError(f"{owner} expected logits (..., vocabulary), got shape {z.shape}; pass one for each token")
    return z


def _choose(
    z: Array, temperature: float, top_k: int | None, top_p: float | None, source: np.random.Generator | None
) -> Array:
    if source is None:
        _largest(z)
        return z.argmax(axis=-1)
    sums = np.add.accumulate(_weights(z, temperature, top_k, top_p), axis=-1, dtype=np.float64)
    # u · total rounds to less than total, for u is at most 1 − 2⁻⁵³; so the chosen token has a weight above 0.
    u = source.random((*z.shape[:-1], 1))
    u *= sums[..., -1:]
    return np.add.reduce(sums <= u, axis=-1)


def _largest(z: Array) -> Array:
    largest = np.maximum.reduce(z, axis=-1, keepdims=True)
    if not np.logical_and.reduce(np.isfinite(largest), axis=None):
        raise DataError(
            "expected logits of which the largest is finite, got one that is NaN or infinite; "
            "look where the model's numbers overflow, or which mask leaves no token"
        )
    return largest


def _weights(z: Array, temperature: float, top_k: int | None, top_p: float | None) -> Array:
    """The probabilities up to a factor: the largest is 1, those left out are 0."""
    with np.errstate(over="ignore"):  # to −∞, where the temperature is low
        w: Array = np.exp((z - _largest(z)) / max(temperature, np.finfo(z.dtype).tiny))
    size = w.shape[-1]
    k = size if top_k is None else min(top_k, size)
    share = 1.0 if top_p is None else top_p
    if k == size and share >= 1:
        return w
    highest = np.partition(w, size - k, axis=-1)[..., size - k :] if k < size else w
    count: Any = k  # of candidates, in each row
    total = k * (w.size // size)  # in all rows
    lowest = highest[..., :1]  # the k-th largest, which partition puts first
    if share < 1:
        falling = np.sort(highest, axis=-1)[..., ::-1]
        sums = falling.cumsum(axis=-1, dtype=np.float64)
        before = sums < share * sums[..., -1:]
        count = before.sum(axis=-1, keepdims=True) + 1
        total = count.sum()
        lowest = np.where(before, 0, falling).max(axis=-1, keepdims=True)
    chosen = w >= lowest
    if np.count_nonzero(chosen) > total:  # ties with the last candidate: the lowest token indices win
        chosen = w > lowest
        ties = w == lowest
        chosen |= ties & (ties.cumsum(axis=-1) <= count - chosen.sum(axis=-1, keepdims=True))
    w *= chosen
    return w


# Whole sequences


def generate(
    step: Step,
    prompt: ArrayLike,
    new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    *,
    greedy: bool = False,
    generator: np.random.Generator | None = None,
    end: int | Sequence[int] | None = None,
    context: int | None = None,
    cache: Any = None,
) -> Array:
    """Continue a prompt, token after token, each drawn as by :func:`choose`.

        xₜ ~ p(· | x₁, …, xₜ₋₁)

    Args:
        step: the model; it sees the prompt at first, then each new token.
        prompt: integers, at least one.
        new_tokens: how many to add at most, 0 or more.
        temperature, top_k, top_p, greedy, generator: see :func:`choose`.
        end: the token that ends a sequence, or several. The rest of a row is filled with the one that ended it, and
            generation stops when all rows have ended.
        context: the maximum sequence length of the model; None: unlimited.
        cache: the cache of the first call of ``step``.

    Shapes: prompt (time,) or (batch, time); the result, prompt included, (time + new,) or (batch, time + new), int64.
    Raises: ShapeError when the prompt is empty or of another shape, when it and the new tokens do not fit into the
        context, or when step's logits have a wrong shape; otherwise as :func:`choose`.
    """
    _check_options("generate", temperature, top_k, top_p)
    flag("generate", "greedy", greedy)
    tokens = _checked_prompt("generate", prompt, new_tokens, context)
    ends = _end_tokens("generate", end)
    source = None if greedy else _source("generate", generator)
    rows = np.atleast_2d(tokens)
    time = rows.shape[1]
    result: Array = np.empty((len(rows), time + new_tokens), np.int64)
    result[:, :time] = unseen = rows
    ended = np.zeros(len(rows), bool)
    for t in range(time, time + new_tokens):
        logits, cache = step(unseen, cache)
        chosen = _choose(_last("generate", logits, len(rows)), temperature, top_k, top_p, source)
        if ends.size:
            chosen[ended] = result[ended, t - 1]
            ended |= np.isin(chosen, ends)
        result[:, t] = chosen
        if ends.size and ended.all():
            result = result[:, : t + 1]
            break
        unseen = chosen[:, None]
    return result[0] if tokens.ndim == 1 else result


class Hypothesis(NamedTuple):
    """A sequence of the final beam, with its log-probability and score."""

    tokens: Array
    """Prompt included, and the token that ends it, if it came."""
    log_probability: float
    """Of all tokens after the prompt."""
    score: float
    """By which it was ranked."""


def take_rows(cache: Any, rows: Array) -> Any:
    """These rows of every array in a cache of tuples, lists and dicts; numbers, strings and None stay."""

    def take(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return leaf[rows]
        if isinstance(leaf, (bool, int, float, str, np.generic)):
            return leaf
        raise DTypeError(
            f"take_rows expected a cache of arrays, tuples, lists and dicts, got {kind_of(leaf)}; "
            "pass beam_search a function of your own: reorder=lambda cache, rows: ..."
        )

    return map_leaves(take, cache)


def beam_search(
    step: Step,
    prompt: ArrayLike,
    new_tokens: int,
    beams: int = 4,
    *,
    length_penalty: float = 0.0,
    end: int | Sequence[int] | None = None,
    context: int | None = None,
    cache: Any = None,
    reorder: Callable[[Any, Array], Any] = take_rows,
) -> list[Hypothesis]:
    """Beam search: continue a prompt by whole sequences of high probability, following a few of them at a time.

        log P(y) = Σₜ log p(yₜ | prompt, y₁, …, yₜ₋₁)
        score(y) = log P(y) / ((5 + |y|) / 6)^α             y the tokens after the prompt, to its end

    At every step the most probable continuations that do not end are the next beam. Of those that end, the ones with
    the highest scores are kept apart, so that none is lost to a sequence that may end worse. The search is over when
    no sequence of the beam can get a higher score than these. With as many beams as sequences it is exhaustive.

    Args:
        step: the model; after the prompt (a batch of 1) it sees the newest token of each sequence that goes on.
        prompt: integers, at least one.
        new_tokens: how many to add at most, 0 or more.
        beams: how many sequences are followed, and how many ended ones are kept, 1 or more.
        length_penalty: α; 0 ranks by probability, more favours longer sequences.
        end: the token that ends a sequence, or several.
        context, cache: see :func:`generate`.
        reorder: selects rows of the cache for the next step; a row may occur several times or not at all.

    Shapes: prompt (time,). Returns: at most ``beams`` sequences, ended ones and those of full length, the best first.
    Raises: as :func:`generate`; OptionError when beams or length_penalty is out of its range.
    Source: Wu et al. 2016, arXiv:1609.08144 (the penalty, their equation 14).
    """
    integer("beam_search", "beams", beams, 1)
    number("beam_search", "length_penalty", length_penalty, 0)
    active = np.atleast_2d(_checked_prompt("beam_search", prompt, new_tokens, context, axes=(1,)))
    ends = _end_tokens("beam_search", end)
    totals = np.zeros(1)
    ended: list[Hypothesis] = []
    unseen = active

    def penalty(length: int) -> float:
        return float((5 + length) / 6) ** length_penalty

    for length in range(1, new_tokens + 1):
        logits, cache = step(unseen, cache)
        z = _last("beam_search", logits, len(active))
        continued = totals[:, None] + _log_softmax(z)
        ending = np.isin(np.arange(z.shape[-1]), ends)
        sequences, _, final = _continuations(active, np.where(ending, continued, -np.inf), beams)
        ended = _best(ended + _hypotheses(sequences, final, penalty(length)), beams)
        active, rows, totals = _continuations(active, np.where(ending, -np.inf, continued), beams)
        attainable = totals.max(initial=-np.inf) / penalty(new_tokens)
        if not len(active) or (len(ended) == beams and attainable <= ended[-1].score):
            return ended
        if length < new_tokens and not np.array_equal(rows, np.arange(len(z))):
            cache = reorder(cache, rows)
        unseen = active[:, -1:]
    return _best(ended + _hypotheses(active, totals, penalty(new_tokens)), beams)


def _continuations(sequences: Array, totals: Array, count: int) -> tuple[Array, Array, Array]:
    """The most probable continuations by one token, the row that each continues, and their log-probabilities.

    Shapes: sequences (n, time), totals (n, vocabulary), −∞ for tokens that are left out.
    """
    rows, tokens = np.divmod(_highest(totals.reshape(-1), count), totals.shape[-1])
    return np.hstack([sequences[rows], tokens[:, None]]), rows, totals[rows, tokens]


def _best(hypotheses: list[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda h: -h.score)[:count]


def _hypotheses(sequences: Array, totals: Array, penalty: float) -> list[Hypothesis]:
    pairs = zip(sequences, totals.tolist(), strict=True)
    return [Hypothesis(tokens, total, total / penalty) for tokens, total in pairs]


def _log_softmax(z: Array) -> Array:
    z = z.astype(np.float64)
    z -= _largest(z)
    z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return z


def _highest(scores: Array, count: int) -> Array:
    """Indices of the highest finite scores, the highest first, equal ones in their order."""
    lowest = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    best = np.flatnonzero((scores >= lowest) & (scores > -np.inf))
    order: Array = best[np.argsort(-scores[best], kind="stable")]
    return order[:count]


def _end_tokens(owner: str, end: int | Sequence[int] | None) -> Array:
    """The tokens that end a sequence."""
    several = isinstance(end, (list, tuple, set, frozenset, np.ndarray))
    tokens = [] if end is None else list(end) if several else [end]  # type: ignore[arg-type]
    require(not several or bool(tokens), owner, "end", end, "a token or several, or None")
    return np.array([integer(owner, "end", token, 0) for token in tokens], np.int64)


def _checked_prompt(
    owner: str, prompt: ArrayLike, new_tokens: int, context: int | None, axes: tuple[int, ...] = (1, 2)
) -> Array:
    integer(owner, "new_tokens", new_tokens, 0)
    tokens = np.asarray(prompt)
    shapes = "(time,)" if axes == (1,) else "(time,) or (batch, time)"
    if tokens.ndim not in axes or not tokens.size:
        raise ShapeError(
            f"{owner} expected a prompt of shape {shapes} with at least one token, got shape {tokens.shape}; "
            "start with the token that begins a text"
        )
    if tokens.dtype.kind not in "iu":
        raise DTypeError(f"{owner} expected integers as the prompt, got {kind_of(tokens)}; pass token numbers")
    if context is not None:
        integer(owner, "context", context, 1)
        time = tokens.shape[-1]
        if time + max(new_tokens - 1, 0) > context:  # the last token is not an input
            raise ShapeError(
                f"{owner} expected prompt and new tokens to fit into the model's context of {context}, got a prompt of "
                f"{time} and {new_tokens} new tokens; keep its end, prompt[..., -n:], or ask for fewer new ones"
            )
    return tokens.astype(np.int64)


def _last(owner: str, logits: ArrayLike, rows: int) -> Array:
    """The logits of the next token, (rows, vocabulary)."""
    z = _floats(owner, logits)
    if z.ndim == 3 and z.shape[1]:
        z = z[:, -1]
    if z.ndim != 2 or len(z) != rows:
        raise ShapeError(
            f"{owner} expected step to return logits of shape ({rows}, vocabulary) or ({rows}, time, vocabulary), "
            f"got shape {np.shape(logits)}; return one row for each row of tokens"
        )
    return z
