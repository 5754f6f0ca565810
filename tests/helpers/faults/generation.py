"""Faults in decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from faults import seen_by
from numpyml import generation, nested

TEST = "test_generation.py"


def _times_temperature(right: Any) -> Any:
    return lambda z, temperature, top_k, top_p: right(z, 1 / temperature, top_k, top_p)


def _p_of_all(right: Any) -> Any:
    def weights(z: Any, temperature: float, top_k: Any, top_p: Any) -> Any:
        return right(z, temperature, top_k, None) * (right(z, temperature, None, top_p) > 0)

    return weights


def _p_left_out(right: Any) -> Any:
    def weights(z: Any, temperature: float, top_k: Any, top_p: Any) -> Any:
        w = right(z, temperature, top_k, top_p)
        if top_p is not None:
            least = np.where(w > 0, w, np.inf).min(axis=-1, keepdims=True)
            w *= (w > least) | (w == 1)
        return w

    return weights


def _last_of_equals(right: Any) -> Any:
    return lambda z, *options: right(z[..., ::-1], *options)[..., ::-1]


def _tokens_of_first_row(right: Any) -> Any:
    def weights(z: Any, temperature: float, *filters: Any) -> Any:
        w, first = right(z, temperature, None, None), right(z, temperature, *filters)
        return w * (first.reshape(-1, z.shape[-1])[0] > 0)

    return weights


def _one_draw(right: Any) -> Any:
    class OneDraw:
        def __init__(self, source: Any) -> None:
            self.source = source

        def random(self, shape: Any) -> Any:
            return np.full(shape, self.source.random(1))

    return lambda z, t, k, p, source: right(z, t, k, p, None if source is None else OneDraw(source))


def _uneven_draws(right: Any) -> Any:
    class Uneven:
        def __init__(self, source: Any) -> None:
            self.source = source

        def random(self, shape: Any) -> Any:
            return self.source.random(shape) ** 1.1

    return lambda z, t, k, p, source: right(z, t, k, p, None if source is None else Uneven(source))


def _greedy_draws(right: Any) -> Any:
    def choose(z: Any, *options: Any, greedy: bool = False, generator: Any = None, **named: Any) -> Any:
        if generator is not None:
            generator.random()
        return right(z, *options, greedy=greedy, generator=generator, **named)

    return choose


def _default_source(right: Any) -> Any:
    return lambda *arguments: right(*arguments[:-1], None)


def _never_ends(right: Any) -> Any:
    return lambda *arguments, end=None, **options: right(*arguments, **options)


def _first_ends_all(right: Any) -> Any:
    def generate(*arguments: Any, **options: Any) -> Any:
        zeros = np.zeros
        np.zeros = lambda *shape, **kinds: zeros(*shape, **kinds).view(_AnyIsAll)
        try:
            return right(*arguments, **options)
        finally:
            np.zeros = zeros

    return generate


class _AnyIsAll(np.ndarray):
    def all(self, *arguments: Any, **options: Any) -> Any:
        return self.any(*arguments, **options)


def _first_end(right: Any) -> Any:
    return lambda owner, end: right(owner, end)[:1]


def _without_end(right: Any) -> Any:
    def generate(*arguments: Any, end: Any = None, **options: Any) -> Any:
        result = right(*arguments, end=end, **options)
        return result[..., :-1] if end is not None and (result[..., -1] == end).all() else result

    return generate


def _no_cache(right: Any) -> Any:
    def search(step: Any, *arguments: Any, **options: Any) -> Any:
        return right(lambda tokens, cache: step(tokens, None), *arguments, **options)

    return search


def _first_position(right: Any) -> Any:
    return lambda owner, logits, rows: right(
        owner, np.asarray(logits)[:, ::-1] if np.ndim(logits) == 3 else logits, rows
    )


def _longer_context(right: Any) -> Any:
    return lambda owner, prompt, new_tokens, context, **options: right(owner, prompt, new_tokens, None, **options)


def _no_penalty(right: Any) -> Any:
    return lambda *arguments, length_penalty=0.0, **options: right(*arguments, **options)


def _not_reordered(right: Any) -> Any:
    return lambda *arguments, **options: right(
        *arguments, **{**options, "reorder": lambda cache, rows: _as_many(cache, rows)}
    )


def _as_many(cache: Any, rows: Any) -> Any:
    return generation.take_rows(cache, np.minimum(np.arange(len(rows)), rows.max()))


def _logits_as_they_are(right: Any) -> Any:
    return lambda z: z.astype(np.float64) - z.max(axis=-1, keepdims=True)


def _equal_last(right: Any) -> Any:
    def highest(scores: Any, count: int) -> Any:
        return len(scores) - 1 - right(scores[::-1], count)

    return highest


def _worst_first(right: Any) -> Any:
    return lambda *arguments, **options: right(*arguments, **options)[::-1]


def _impossible(right: Any) -> Any:
    return lambda scores, count: np.lexsort((np.arange(len(scores)), -scores))[:count]


def _top_level(right: Any) -> Any:
    return lambda cache, rows: right(cache, rows) if isinstance(cache, np.ndarray) else cache


def _plain_tuples(right: Any) -> Any:
    return lambda value, items: tuple(items) if isinstance(value, tuple) else right(value, items)


FAULTS = [
    *seen_by(
        f"{TEST}::test_top_k_and_top_p_keep_the_tokens_of_their_definition",
        ("top_p leaves out the token that reaches it", generation, "_weights", _p_left_out),
        ("top_p of all tokens, not of the top_k", generation, "_weights", _p_of_all),
    ),
    *seen_by(
        f"{TEST}::test_first_of_equally_probable_tokens_are_kept",
        ("of equally probable tokens the last stay", generation, "_weights", _last_of_equals),
    ),
    *seen_by(
        f"{TEST}::test_rows_are_filtered_independently",
        ("the tokens of the first row stay in all rows", generation, "_weights", _tokens_of_first_row),
    ),
    *seen_by(
        f"{TEST}::test_temperature_divides_the_logits",
        ("the temperature multiplies", generation, "_weights", _times_temperature),
    ),
    *seen_by(
        f"{TEST}::test_sampled_tokens_have_the_right_frequencies",
        ("one draw for all rows", generation, "_choose", _one_draw),
        ("draws that are not uniform", generation, "_choose", _uneven_draws),
    ),
    *seen_by(
        f"{TEST}::test_the_same_seed_chooses_the_same",
        ("the generator is ignored", generation, "_source", _default_source),
    ),
    *seen_by(
        f"{TEST}::test_greedy_takes_the_largest_and_draws_nothing",
        ("greedy choice draws random numbers", generation, "choose", _greedy_draws),
    ),
    *seen_by(
        f"{TEST}::test_greedy_is_the_most_probable_token_every_time",
        ("generate forgets the cache", generation, "generate", _no_cache),
    ),
    *seen_by(
        f"{TEST}::test_row_has_only_padding_after_its_end_token",
        ("sequences go on behind their end", generation, "generate", _never_ends),
        ("all rows end with the first", generation, "generate", _first_ends_all),
    ),
    *seen_by(
        f"{TEST}::test_row_ends_with_any_of_several_tokens_and_repeats_it",
        ("the first of several end tokens alone", generation, "_end_tokens", _first_end),
    ),
    *seen_by(
        f"{TEST}::test_model_is_not_called_after_every_row_has_ended",
        ("the token that ends all is left out", generation, "generate", _without_end),
    ),
    *seen_by(
        f"{TEST}::test_logits_of_every_position_are_accepted",
        ("the logits of the first position are taken", generation, "_last", _first_position),
    ),
    *seen_by(
        f"{TEST}::test_invalid_prompts_are_refused",
        ("the context is not compared with the length", generation, "_checked_prompt", _longer_context),
    ),
    *seen_by(
        f"{TEST}::test_narrow_beam_equals_a_plain_search",
        ("the length penalty is ignored", generation, "beam_search", _no_penalty),
        ("the cache is not reordered", generation, "beam_search", _not_reordered),
        ("logits are taken for log-probabilities", generation, "_log_softmax", _logits_as_they_are),
        ("the worst sequence comes first", generation, "beam_search", _worst_first),
    ),
    *seen_by(
        f"{TEST}::test_of_equally_probable_sequences_the_first_come_first",
        ("of equally probable sequences the last come first", generation, "_highest", _equal_last),
    ),
    *seen_by(
        f"{TEST}::test_token_of_probability_zero_is_never_chosen",
        ("impossible sequences fill the beam", generation, "_highest", _impossible),
    ),
    *seen_by(
        f"{TEST}::test_take_rows_goes_through_tuples_lists_and_dicts",
        ("arrays inside a cache are not reordered", generation, "take_rows", _top_level),
        ("named tuples of a cache become tuples", nested, "_like", _plain_tuples),
    ),
]
