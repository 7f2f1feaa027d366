"""The level of a series without its rhythm: where it stands, how wrong that was before, and paths it may take.

The level is the mean of five estimates that fail in different ways: exponential smoothing (statsmodels) and means and
medians of one to six weeks. How far the level drifts is taken from the history: the estimate as it would have been
at each earlier day beside the weeks that followed.
"""

from dataclasses import dataclass

import numpy as np
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

from budgets.rules.rhythm import Series, row_means, row_medians, windows

PATHS = 1000
_SMOOTHED_DAYS = 120
_FIRST_ORIGIN = 14
_WEEK = 7
# What the drift of a level is taken for before its history says otherwise, per square root of a week, and how many
# weeks of history weigh as much as this.
_PRIOR_DRIFT = 0.175
_PRIOR_WEIGHT = 4
_NOISE_DAYS = 84
# How much days differ at least, where too few are known to have seen their rhythm.
_UNSEEN_NOISE = 0.4
# Degrees of freedom of a drift: jumps of a level are rarer and larger than a normal distribution has them.
_DRIFT_FREEDOM = 3
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Level:
    """Where the series stands, the standard deviation of its log after 1, 2 … weeks, and days around their week."""

    value: float
    drift: Series
    noise: Series


def smoothed(series: Series) -> Series:
    """Level by exponential smoothing after each day, the weight chosen by least squares; the first days repeat."""
    recent = series[-_SMOOTHED_DAYS:]
    scale = float(recent.mean())
    if scale <= 0 or np.ptp(recent) == 0:
        return np.full(len(series), recent[-1])
    fitted = SimpleExpSmoothing(recent / scale, initialization_method="heuristic").fit()
    levels = np.asarray(fitted.level) * scale
    return np.concatenate([np.full(len(series) - len(levels), levels[0]), levels])


def estimates(flat: Series, clean: Series) -> Series:
    """The level as estimated after each day, from that day and those before it."""
    members = [
        smoothed(clean),
        row_means(windows(clean, 6)),
        row_medians(windows(flat, 13)),
        row_means(windows(clean, 27)),
        row_medians(windows(flat, 41)),
    ]
    return row_means(np.stack(members, axis=1))


def level(flat: Series, clean: Series, weeks: int) -> Level:
    """Level of a series without rhythm (`flat`, and `clean` of its spikes), with its drift over so many weeks."""
    estimated = estimates(flat, clean)
    around = row_means(windows(clean, 3, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = flat / around - 1
    noise = noise[np.isfinite(noise)][-_NOISE_DAYS:]
    return Level(float(estimated[-1]), drifts(flat, estimated, weeks, float(noise.var())), noise)


def plain_level(recent: Series, weeks: int, caution: float) -> Level:
    """The mean of a few known days. Its drift: the prior, `caution` times, and the error of the mean."""
    value = float(recent.mean())
    noise = recent / value - 1 if value > 0 else np.zeros(len(recent))
    of_mean = max(float(noise.var(ddof=1)), _UNSEEN_NOISE**2) / len(recent)
    drift = (caution * _PRIOR_DRIFT) ** 2 * np.arange(1, weeks + 1) + of_mean
    return Level(value, np.sqrt(drift), noise)


def drifts(flat: Series, estimated: Series, weeks: int, noise: float) -> Series:
    """Standard deviation of log(mean of the week / level estimated before) for the weeks 1 … after the estimate.

    `noise` is the variance of single days: a week's mean carries a seventh of it, which is no drift. Weeks too far
    ahead for the history go on like a random walk.
    """
    tiny = max(0.01 * float(np.nanmean(flat)), 1e-12)
    found: list[float] = []
    for week in range(1, weeks + 1):
        errors = _week_errors(flat, estimated, week, tiny)
        # Weeks that overlap tell little new: counted is how many fit beside each other.
        prior, weight = _PRIOR_DRIFT**2 * week, len(errors) / (_WEEK * week)
        own = max(float(np.square(errors).mean()) - noise / _WEEK, 0.0) if len(errors) else 0.0
        variance = (weight * own + _PRIOR_WEIGHT * prior) / (weight + _PRIOR_WEIGHT)
        found.append(max(variance, found[-1] if found else 0.0))
    return np.sqrt(found)


def _week_errors(flat: Series, estimated: Series, week: int, tiny: float) -> Series:
    means = row_means(windows(flat, _WEEK - 1))
    ends = np.arange(_FIRST_ORIGIN + week * _WEEK - 1, len(flat))
    errors = np.log((means[ends] + tiny) / (estimated[ends - week * _WEEK] + tiny))
    return errors[np.isfinite(errors)]


def paths(found: Level, days: int, gap: int) -> Series:
    """So many possible futures relative to the level: shape (PATHS, days). `gap`: unknown days since the last known.

    The level walks with the drift found; each day then differs from it as a day of the history drawn at random did.
    """
    random = np.random.default_rng(_SEED)
    weeks = (np.arange(days) + gap + 0.5) / _WEEK
    variance = np.interp(weeks, np.arange(len(found.drift)) + 0.5, np.square(found.drift))
    steps = np.sqrt(np.diff(variance, prepend=0.0).clip(min=0.0))
    # Divided by its standard deviation, so that the steps have the variance asked for.
    shocks = random.standard_t(_DRIFT_FREEDOM, (PATHS, days)) / np.sqrt(_DRIFT_FREEDOM / (_DRIFT_FREEDOM - 2))
    walk = np.exp(np.clip(np.cumsum(shocks * steps, axis=1), -3, 3))
    return np.maximum(walk * (1 + random.choice(found.noise, (PATHS, days))), 0.0)
