"""Forecast of a daily series with intervals per day and for the sum so far: pure, no ORM, no clock.

Amounts are floats here: an estimate with an interval is no booking. The same history gives the same forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from budgets.rules.levels import Level, level, paths, plain_level
from budgets.rules.outlook import Band, Event, History, Method, OutlookDay, event_factor
from budgets.rules.rhythm import Series, kinds, weekday_profile, without_spikes

LEAST_DAYS = 3
WEEKDAYS_FROM = 14
FULL_FROM = 28
_QUANTILES = (0.025, 0.1, 0.9, 0.975)
# A series without any use on more than this share of its days has no level of a day worth the name.
_SPARSE = 1 / 3


@dataclass(frozen=True, slots=True)
class Forecast:
    """The days from the history's end on, which method made them, and why that one in words a person can read."""

    method: Method
    reason: str
    days: tuple[OutlookDay, ...]


def forecast(history: History, days: int, events: Sequence[Event] = (), first_day_left: float = 1.0) -> Forecast:
    """The `days` after the history. Events of the past are taken out of the history, those ahead are put on.

    `first_day_left` is the share of the first day that is still to come (0 … 1); that day's figures are of this part.
    A forecast without days (`Method.NONE`) says why there is none. Raises ValueError for a horizon below one day.
    """
    if days < 1:
        raise ValueError(f"days must be at least 1, not {days}")
    series = np.array([np.nan if value is None else value for value in history.values], dtype=np.float64)
    known = int(np.isfinite(series).sum())
    if known < LEAST_DAYS:
        return Forecast(Method.NONE, f"{known} known days; a forecast needs {LEAST_DAYS}", ())
    series = series[np.isfinite(series).argmax() :]
    start = history.end - timedelta(len(series))
    factors = np.array([event_factor(events, start + timedelta(n)) for n in range(len(series) + days)])
    plain = series / np.maximum(factors[: len(series)], 0.01)
    method = _method(plain, known)
    point, futures = _simulated(method, plain, start, days)
    ahead = factors[len(series) :].copy()
    ahead[0] *= first_day_left
    return Forecast(method, _reason(method, plain, known), _days(history.end, point * ahead, futures * ahead))


def _method(series: Series, known: int) -> Method:
    if known < WEEKDAYS_FROM:
        return Method.MEAN
    if float((series[np.isfinite(series)] == 0).mean()) > _SPARSE:
        return Method.SPARSE
    return Method.RHYTHM if known >= FULL_FROM else Method.WEEKDAYS


def _reason(method: Method, series: Series, known: int) -> str:
    said = {
        Method.MEAN: f"{known} known days: too few for a weekly rhythm ({WEEKDAYS_FROM})",
        Method.WEEKDAYS: f"{known} known days: a cautious weekly rhythm; the full method needs {FULL_FROM}",
        Method.SPARSE: "used on few days: the mean of the last four weeks, days drawn from them",
        Method.RHYTHM: f"{known} known days",
    }[method]
    if gap := _gap(series):
        said += f"; nothing known of the last {gap} day{'s' if gap > 1 else ''}"
    return said


def _gap(series: Series) -> int:
    return int(np.isfinite(series)[::-1].argmax())


def _simulated(method: Method, series: Series, start: date, days: int) -> tuple[Series, Series]:
    """Point forecast (days) and possible futures (paths, days)."""
    kind, holiday = kinds(start, len(series) + days)
    past, ahead = kind[: len(series)], kind[len(series) :]
    profile = np.ones(7)
    if method in (Method.RHYTHM, Method.WEEKDAYS):
        profile = weekday_profile(series, past, holiday[: len(series)], shrink=method is Method.WEEKDAYS)
    flat = series / np.maximum(profile[past], 0.05)
    found = _level(method, flat, (days + _gap(series)) // 7 + 1)
    return found.value * profile[ahead], found.value * profile[ahead] * paths(found, days, _gap(series))


def _level(method: Method, flat: Series, weeks: int) -> Level:
    if method in (Method.RHYTHM, Method.WEEKDAYS):
        return level(flat, without_spikes(flat), weeks)
    known = flat[np.isfinite(flat)]
    return plain_level(known[-28:], weeks, caution=2.0 if method is Method.MEAN else 1.0)


def _days(first: date, point: Series, futures: Series) -> tuple[OutlookDay, ...]:
    daily = np.quantile(futures, _QUANTILES, axis=0)
    sums = np.quantile(np.cumsum(futures, axis=1), _QUANTILES, axis=0)
    so_far = np.cumsum(point)
    return tuple(
        OutlookDay(
            date=first + timedelta(number),
            day=_band(point[number], daily[:, number]),
            total=_band(so_far[number], sums[:, number]),
        )
        for number in range(len(point))
    )


def _band(expected: float, quantiles: Series) -> Band:
    low95, low80, high80, high95 = (float(value) for value in quantiles)
    return Band(float(expected), low80, high80, low95, high95)
