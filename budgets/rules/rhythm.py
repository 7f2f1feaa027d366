"""The rhythm of a daily series: kinds of day, how they differ, and the series without its spikes.

Series are float arrays, one value per day; NaN is a day nobody knows, which is not a day of nothing.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
Kinds = NDArray[np.int64]

SUNDAY = 6
PROFILE_DAYS = 56
MEDIAN_DAYS = 29
# Beyond so many robust standard deviations from the running median a day is a spike and is cut back to them.
SPIKE = 3.0
# A kind of day is taken as at least this share of the mean, so that dividing by it does not blow up noise.
_LEAST_SHARE = 0.02


def is_year_end(day: date) -> bool:
    """24 December to 1 January: nearly everywhere these days are not what their weekday says."""
    return (day.month == 12 and day.day >= 24) or (day.month == 1 and day.day == 1)


def kinds(start: date, days: int) -> tuple[Kinds, NDArray[np.bool_]]:
    """Kind of each day (0 Monday … 6 Sunday) and which are holidays.

    Holidays count as Sundays, as is usual in load forecasting: a series of working days falls to its Sunday, one
    without a weekly rhythm does not change.
    """
    dates = [start + timedelta(offset) for offset in range(days)]
    holiday = np.array([is_year_end(day) for day in dates], dtype=bool)
    weekday = np.array([day.weekday() for day in dates], dtype=np.int64)
    return np.where(holiday, SUNDAY, weekday), holiday


def windows(series: Series, before: int, after: int = 0) -> Series:
    """Row i holds the days i - before … i + after; NaN beyond the ends. Shape (days, before + 1 + after)."""
    padded = np.concatenate([np.full(before, np.nan), series, np.full(after, np.nan)])
    return np.lib.stride_tricks.sliding_window_view(padded, before + 1 + after)


def row_means(rows: Series) -> Series:
    """Mean of the known values of each row; NaN where none is known."""
    known = np.isfinite(rows)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, rows, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def row_medians(rows: Series) -> Series:
    """Median of the known values of each row; NaN where none is known."""
    ordered = np.sort(rows, axis=1)  # NaN sort last
    count = np.isfinite(rows).sum(axis=1)
    at, last = np.arange(len(rows)), np.maximum(count - 1, 0)
    return (ordered[at, last // 2] + ordered[at, (last + 1) // 2]) / 2


def weekday_profile(series: Series, kind: Kinds, holiday: NDArray[np.bool_], shrink: bool) -> Series:
    """Share of each kind of day in the week's mean, seven values of mean 1.

    The median over the last eight weeks of value / centred seven-day mean. With `shrink`, for histories of a few
    weeks, the profile is drawn towards 1 by the part of its variance that its own uncertainty explains (James-Stein).
    """
    plain = np.where(holiday, np.nan, series)
    centred = row_means(windows(plain, 3, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(centred > 0, plain / centred, np.nan)[-PROFILE_DAYS:]
    groups = [ratio[(kind[-PROFILE_DAYS:] == number) & np.isfinite(ratio)] for number in range(7)]
    shares = np.maximum([np.median(group) if len(group) else 1.0 for group in groups], _LEAST_SHARE)
    profile = shares / shares.mean()
    return _shrunk(profile, groups) if shrink else profile


def _shrunk(profile: Series, groups: list[Series]) -> Series:
    errors = [group.std() / np.sqrt(len(group)) if len(group) > 1 else 1.0 for group in groups]
    signal = max(0.0, 1 - float(np.mean(np.square(errors))) / max(float(profile.var(ddof=1)), 1e-12))
    return 1 + signal * (profile - 1)


def without_spikes(series: Series) -> Series:
    """The series with unknown days filled by the running median of 29 days and spikes cut back."""
    middle = _filled(row_medians(windows(series, MEDIAN_DAYS // 2, MEDIAN_DAYS // 2)))
    off = np.where(np.isfinite(series), series - middle, 0.0)
    bound = SPIKE * 1.4826 * float(np.median(np.abs(off[np.isfinite(series)])))
    return middle + np.clip(off, -bound, bound)


def _filled(series: Series) -> Series:
    known = np.isfinite(series)
    at = np.arange(len(series))
    return np.interp(at, at[known], series[known])
