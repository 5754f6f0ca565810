"""Decoding: against enumeration, against frequencies, and against bad input."""

import itertools
import time
from fractions import Fraction
from statistics import median
from typing import NamedTuple

import numpy as np
import pytest

import numpyml
from numpyml.errors import DataError, DTypeError, OptionError, ShapeError
from numpyml.generation import beam_search, choose, generate, probabilities, take_rows

INF = float("inf")


def filtered(p, top_k=None, top_p=None):
    """Which tokens stay, from the definition, in exact arithmetic."""
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))[:top_k]
    total, rest = sum(Fraction(p[i]) for i in order), []
    for i in order:
        if top_p is not None and sum(Fraction(p[j]) for j in rest) >= Fraction(top_p) * total:
            break
        rest.append(i)
    return set(rest)


class Table:
    """A language model by table: the next token depends on all previous ones, which are its cache."""

    def __init__(self, vocabulary, seed=0, end=None):
        self.vocabulary, self.seed, self.end, self.calls = vocabulary, seed, end, 0

    def logits(self, tokens):
        return np.random.default_rng([self.seed, len(tokens), *map(int, tokens)]).normal(0, 2, self.vocabulary)

    def step(self, tokens, cache):
        self.calls += 1
        seen = tokens if cache is None else np.hstack([cache["seen"], tokens])
        return np.stack([self.logits(row) for row in seen]), {"seen": seen, "length": seen.shape[1]}

    def log_probability(self, prompt, sequence):
        total = 0.0
        for i, token in enumerate(sequence):
            z = self.logits([*prompt, *sequence[:i]])
            total += z[token] - np.logaddexp.reduce(z)
        return total


# One token


@pytest.mark.parametrize("top_k", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_top_k_and_top_p_keep_the_tokens_of_their_definition(rng, top_k, top_p, dtype):
    z = rng.normal(0, 2, (50, 7)).astype(dtype)
    got = probabilities(z, top_k=top_k, top_p=top_p)
    assert got.dtype == dtype
    for row, p in zip(z, got, strict=True):
        w = np.exp(row - row.max())
        stay = filtered(w.astype(np.float64).tolist(), top_k, top_p)
        assert set(np.flatnonzero(p)) == stay
        expected = w * [i in stay for i in range(7)]
        np.testing.assert_allclose(p, expected / expected.sum(), rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize(("top_k", "top_p", "stay"), [(2, None, [1, 3]), (3, None, [1, 3, 4]), (None, 0.6, [1, 3, 4])])
def test_first_of_equally_probable_tokens_are_kept(top_k, top_p, stay):
    z = np.array([-INF, 0.0, -9.0, 0, 0, 0])
    assert np.flatnonzero(probabilities(z, top_k=top_k, top_p=top_p)).tolist() == stay


def test_rows_are_filtered_independently():
    z = np.log([[[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]])
    p = probabilities(z, top_p=0.65)
    np.testing.assert_allclose(p, [[[2 / 3, 1 / 3, 0], [0, 5 / 8, 3 / 8]]])


def test_temperature_divides_the_logits(rng):
    z = rng.normal(size=9)
    np.testing.assert_allclose(probabilities(z, 0.5), probabilities(2 * z))
    np.testing.assert_allclose(probabilities(z, 1e9), np.full(9, 1 / 9), rtol=1e-8)
    for dtype in (np.float32, np.float64):
        for temperature in (1e-300, 1e-50):
            assert probabilities(z.astype(dtype), temperature).max() == 1


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.8}, {"top_k": 4, "top_p": 0.7}]
)
def test_sampled_tokens_have_the_right_frequencies(rng, options):
    z = rng.normal(0, 1.5, 6).astype(np.float32)
    draws, p = 200_000, probabilities(z.astype(np.float64), **options)
    counts = np.bincount(choose(np.tile(z, (draws, 1)), **options, generator=rng), minlength=6)
    assert not counts[p == 0].any()
    p, counts = p[p > 0], counts[p > 0]
    # χ² of at most 5 degrees of freedom exceeds 30 once in 50,000 runs; the seed is fixed.
    assert ((counts - draws * p) ** 2 / (draws * p)).sum() < 30


def test_the_same_seed_chooses_the_same(rng):
    z = rng.normal(size=(40, 11))
    first, second = (choose(z, top_p=0.9, generator=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    numpyml.manual_seed(5)
    assert np.array_equal(first, choose(z, top_p=0.9))


def test_greedy_takes_the_largest_and_draws_nothing(rng):
    z = rng.normal(size=(3, 4, 11))
    state = rng.bit_generator.state
    assert np.array_equal(choose(z, greedy=True, generator=rng), z.argmax(-1))
    assert rng.bit_generator.state == state


def test_largest_uniform_draw_selects_a_token_of_positive_probability():
    class Last(np.random.Generator):
        def random(self, shape):
            return np.full(shape, 1 - 2**-53)

    last = Last(np.random.PCG64(0))

    for total in range(1, 60):
        z = np.append(np.zeros(total), [-INF, -INF])
        assert choose(z, generator=last) == total - 1


def test_logits_are_not_modified(rng):
    z = rng.normal(size=(3, 9))
    z.flags.writeable = False
    assert choose(z, 0.3, 4, 0.5).shape == (3,)
    assert probabilities(z).shape == z.shape


@pytest.mark.parametrize("function", [probabilities, choose])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature to be above 0"),
        ({"temperature": -1.0}, "temperature to be a finite number of 0 or more"),
        ({"temperature": INF}, "temperature to be a finite number"),
        ({"top_k": 0}, "top_k to be an integer of 1 or more, got 0"),
        ({"top_k": 2.5}, "top_k to be an integer"),
        ({"top_p": 0}, "top_p to be above 0"),
        ({"top_p": 1.1}, "top_p to be a number from 0 to 1, got 1.1"),
        ({"top_p": float("nan")}, "top_p to be a number from 0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(function, options, message):
    with pytest.raises(OptionError, match=f"{function.__name__} expected {message}"):
        function(np.zeros(3), **options)
    with pytest.raises(OptionError, match=f"generate expected {message}"):
        generate(Table(3).step, [0], 1, **options)


@pytest.mark.parametrize(
    ("logits", "error", "message"),
    [
        ([1, 2], DTypeError, r"floating logits, got \[1, 2\]"),
        (["a"], DTypeError, "floating logits"),
        (1.0, ShapeError, r"logits \(..., vocabulary\), got shape \(\)"),
        (np.zeros((2, 0)), ShapeError, r"got shape \(2, 0\)"),
        ([0.0, float("nan")], DataError, "largest is finite"),
        ([0.0, INF], DataError, "largest is finite"),
        ([[0.0, 1.0], [-INF, -INF]], DataError, "which mask leaves no token"),
    ],
)
def test_logits_without_a_distribution_are_refused(logits, error, message):
    for function in (probabilities, choose, lambda z: choose(z, greedy=True)):
        with pytest.raises(error, match=message):
            function(logits)


def test_generation_adds_little_time_to_the_model(rng):
    z = rng.normal(size=(1, 256)).astype(np.float32)

    def cost(**options):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            generate(lambda tokens, cache: (z, None), [0], 100, generator=rng, **options)
            times.append((time.perf_counter() - start) / 100)
        return median(times)

    # A few dozen microseconds; ten times as much still finds a loop over the vocabulary.
    assert cost() < 500e-6
    assert cost(temperature=0.8, top_k=50, top_p=0.9) < 1e-3


# Whole sequences


@pytest.mark.parametrize("prompt", [[3], [1, 4, 2], [[1, 2], [0, 4]]])
def test_greedy_is_the_most_probable_token_every_time(prompt):
    model = Table(5)
    result = generate(model.step, prompt, 6, greedy=True)
    assert result.shape == (*np.shape(prompt)[:-1], np.shape(prompt)[-1] + 6)
    for row, start in zip(np.atleast_2d(result), np.atleast_2d(prompt), strict=True):
        tokens = start.tolist()
        for _ in range(6):
            tokens.append(int(model.logits(tokens).argmax()))
        assert row.tolist() == tokens
    assert model.calls == 6


def test_sampled_sequences_have_the_right_frequencies(rng):
    model = Table(3)
    draws = 30_000
    tables = {(*s,): model.logits([0, *s]) for n in range(2) for s in itertools.product(range(3), repeat=n)}

    def step(tokens, cache):
        rows = tokens[:, 1:] if cache is None else np.hstack([cache, tokens])
        return np.stack([tables[tuple(row)] for row in rows.tolist()]), rows

    result = generate(step, np.zeros((draws, 1), int), 2, generator=rng)
    for sequence in itertools.product(range(3), repeat=2):
        p = np.exp(model.log_probability([0], sequence))
        share = (result[:, 1:] == sequence).all(axis=1).mean()
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / draws)


def test_row_has_only_padding_after_its_end_token(rng):
    result = generate(Table(4).step, np.zeros((30, 1), int), 25, generator=rng, end=2)
    for row in result:
        behind = np.flatnonzero(row == 2)
        assert not behind.size or (row[behind[0] :] == 2).all()
    assert (result == 2).any(axis=1).sum() > 20


def test_row_ends_with_any_of_several_tokens_and_repeats_it(rng):
    result = generate(Table(5).step, np.zeros((40, 1), int), 30, generator=rng, end=[2, 4])
    ends = set()
    for row in result:
        behind = np.flatnonzero(np.isin(row, [2, 4]))
        assert not behind.size or (row[behind[0] :] == row[behind[0]]).all()
        ends |= {int(row[behind[0]])} if behind.size else set()
    assert ends == {2, 4}


@pytest.mark.parametrize("search", [generate, beam_search])
@pytest.mark.parametrize("end", [-1, 1.5, "a", [], [1, None], True])
def test_invalid_end_tokens_are_refused(search, end):
    with pytest.raises(OptionError, match=f"{search.__name__} expected end to be "):
        search(Table(3).step, [0], 2, end=end)


def test_model_is_not_called_after_every_row_has_ended():
    calls = []

    def step(tokens, cache):
        calls.append(tokens.shape)
        return np.where(np.arange(5) == (4 if len(calls) == 3 else 1), 0.0, -INF) * np.ones((2, 1)), None

    assert generate(step, [[0], [3]], 10, end=4).tolist() == [[0, 1, 1, 4], [3, 1, 1, 4]]
    assert calls == [(2, 1)] * 3


def test_logits_of_every_position_are_accepted():
    model = Table(4)

    def step(tokens, cache):
        z, cache = model.step(tokens, cache)
        return np.stack([-z, z], axis=1), cache

    assert np.array_equal(generate(step, [1], 5, greedy=True), generate(Table(4).step, [1], 5, greedy=True))


def test_zero_new_tokens_return_the_prompt():
    assert generate(None, [[1, 2]], 0).tolist() == [[1, 2]]
    (only,) = beam_search(None, [1, 2], 0)
    assert only.tokens.tolist() == [1, 2] and only.log_probability == 0


@pytest.mark.parametrize("search", [generate, beam_search])
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], 1), {}, ShapeError, r"at least one token, got shape \(0,\)"),
        ((3, 1), {}, ShapeError, r"prompt of shape \(time,\)"),
        (([[[1]]], 1), {}, ShapeError, r"got shape \(1, 1, 1\)"),
        (([1.0], 1), {}, DTypeError, "integers as the prompt, got an array of float64"),
        (([1], -1), {}, OptionError, "new_tokens to be an integer of 0 or more"),
        (([1] * 9, 0), {"context": 8}, ShapeError, "context of 8, got a prompt of 9 and 0 new tokens"),
        (([1] * 8, 2), {"context": 8}, ShapeError, r"prompt of 8 and 2 new tokens; keep its end"),
        (([1], 2), {"context": 0}, OptionError, "context to be an integer of 1"),
    ],
)
def test_invalid_prompts_are_refused(search, arguments, options, error, message):
    with pytest.raises(error, match=f"{search.__name__} expected .*{message}"):
        search(Table(3).step, *arguments, **options)


@pytest.mark.parametrize("search", [generate, beam_search])
def test_context_is_used_to_its_last_position(search):
    assert len(search(Table(3).step, [1] * 8, 1, context=8)) > 0
    assert len(search(Table(3).step, [1] * 7, 2, context=8)) > 0


@pytest.mark.parametrize("search", [generate, beam_search])
@pytest.mark.parametrize("logits", [np.zeros(3), np.zeros((2, 3)), np.zeros((1, 0, 3)), np.zeros((1, 1, 1, 3))])
def test_logits_of_a_wrong_shape_are_refused(search, logits):
    with pytest.raises(ShapeError, match=r"step to return logits of shape \(1, vocabulary\)"):
        search(lambda tokens, cache: (logits, None), [1], 2)


# Beam search


def every_sequence(vocabulary, length, end):
    """All that can be generated: of this length, or shorter and ended."""
    for n in range(1, length + 1):
        for sequence in itertools.product(range(vocabulary), repeat=n):
            if end not in sequence[:-1] and (n == length or sequence[-1] == end):
                yield sequence


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_beam_wide_enough_finds_every_sequence(end, length_penalty, seed):
    model = Table(3, seed)
    expected = {}
    for sequence in every_sequence(3, 4, end):
        log_p = model.log_probability([0, 1], sequence)
        expected[(0, 1, *sequence)] = log_p, log_p / ((5 + len(sequence)) / 6) ** length_penalty
    hypotheses = beam_search(model.step, [0, 1], 4, beams=81, length_penalty=length_penalty, end=end)
    assert {tuple(h.tokens.tolist()) for h in hypotheses} == set(expected)
    assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
    for h in hypotheses:
        np.testing.assert_allclose((h.log_probability, h.score), expected[tuple(h.tokens.tolist())], rtol=1e-12)
    if end is None:
        np.testing.assert_allclose(sum(np.exp(h.log_probability) for h in hypotheses), 1, rtol=1e-12)


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize(("end", "length_penalty"), [(None, 0.0), (2, 0.0), (2, 1.5)])
def test_narrow_beam_equals_a_plain_search(beams, end, length_penalty):
    for seed in range(20):
        model, beam, ended = Table(5, seed), [()], []

        def score(sequence, model=model):
            return model.log_probability([1], sequence) / ((5 + len(sequence)) / 6) ** length_penalty

        for _ in range(6):
            continued = [(*sequence, token) for sequence in beam for token in range(5)]
            ended += [sequence for sequence in continued if sequence[-1] == end]
            beam = sorted((s for s in continued if s[-1] != end), key=score, reverse=True)[:beams]
        expected = sorted(ended + beam, key=score, reverse=True)[:beams]
        hypotheses = beam_search(model.step, [1], 6, beams, length_penalty=length_penalty, end=end)
        assert [tuple(h.tokens[1:].tolist()) for h in hypotheses] == expected


def fixed(distributions):
    """A model whose distribution depends on the newest token alone: {token: {next: probability}}."""

    def step(tokens, cache):
        p = np.zeros((len(tokens), 8))
        for row, token in enumerate(tokens[:, -1].tolist()):
            for following, probability in distributions[token].items():
                p[row, following] = probability
        with np.errstate(divide="ignore"):
            return np.log(p), None

    return step


def test_finished_sequence_is_not_lost_to_live_ones_that_end_worse():
    """End has the probability 0.1 at first; each of two others 0.45, and then ends with at most 0.015 / 0.45."""
    spread = dict.fromkeys((3, 4, 5, 6), 0.9661 / 4) | {7: 0.0339}
    step = fixed({0: {1: 0.45, 2: 0.45, 7: 0.1}, **dict.fromkeys(range(1, 7), spread)})
    (best, _) = beam_search(step, [0], 6, beams=2, end=7)
    assert best.tokens.tolist() == [0, 7] and best.log_probability == pytest.approx(np.log(0.1))


def test_length_penalty_can_prefer_a_longer_sequence_to_a_finished_one():
    step = fixed({0: {1: 0.6, 7: 0.4}, 1: {2: 1.0}, 2: {3: 1.0}, 3: {7: 0.5, 4: 0.5}, 4: {7: 1.0}})
    for length_penalty, expected in ((0.0, [0, 7]), (2.0, [0, 1, 2, 3, 4, 7])):
        (best,) = beam_search(step, [0], 6, beams=1, end=7, length_penalty=length_penalty)
        assert best.tokens.tolist() == expected


def test_search_stops_when_no_live_sequence_can_win():
    calls = []
    model = fixed({0: {1: 0.1, 7: 0.9}, 1: {1: 0.5, 7: 0.5}})

    def step(tokens, cache):
        calls.append(len(tokens))
        return model(tokens, cache)

    (best,) = beam_search(step, [0], 50, beams=1, end=7)
    assert best.tokens.tolist() == [0, 7] and calls == [1]


def test_any_of_several_tokens_ends_a_sequence_of_a_beam():
    step = fixed({0: {5: 0.3, 6: 0.3, 1: 0.4}, 1: {2: 0.5, 7: 0.5}, 2: {2: 1.0}})
    hypotheses = beam_search(step, [0], 3, beams=3, end=(5, 6, 7))
    assert [h.tokens.tolist() for h in hypotheses] == [[0, 5], [0, 6], [0, 1, 7]]


def test_a_beam_of_one_is_greedy():
    (only,) = beam_search(Table(6).step, [2], 8, beams=1)
    assert np.array_equal(only.tokens, generate(Table(6).step, [2], 8, greedy=True))


def test_token_of_probability_zero_is_never_chosen():
    def step(tokens, cache):
        return np.where(np.arange(4) < 2, 0.0, -INF) * np.ones((len(tokens), 1)), None

    hypotheses = beam_search(step, [0], 2, beams=10)
    assert sorted(h.tokens.tolist() for h in hypotheses) == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]


def test_of_equally_probable_sequences_the_first_come_first():
    def step(tokens, cache):
        return np.zeros((len(tokens), 3)), None

    hypotheses = beam_search(step, [0], 2, beams=4)
    assert [h.tokens.tolist() for h in hypotheses] == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]]


def test_take_rows_goes_through_tuples_lists_and_dicts():
    class Pair(NamedTuple):
        k: np.ndarray
        v: np.ndarray

    k = np.arange(6).reshape(3, 2)
    back = take_rows({"layers": [Pair(k, k + 1)], "length": 4, "none": None}, np.array([2, 0, 0]))
    assert type(back["layers"][0]) is Pair
    assert back["layers"][0][1].tolist() == [[5, 6], [1, 2], [1, 2]]
    assert back["length"] == 4 and back["none"] is None
    with pytest.raises(DTypeError, match="reorder=lambda"):
        take_rows(object(), np.array([0]))


@pytest.mark.parametrize(("options", "name"), [({"beams": 0}, "beams"), ({"length_penalty": -1}, "length_penalty")])
def test_beam_options_out_of_range_are_refused(options, name):
    with pytest.raises(OptionError, match=f"beam_search expected {name}"):
        beam_search(Table(3).step, [0], 1, **options)
