"""How figures read: pure functions from numbers to words. None is "unknown", never 0."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from math import isfinite

Number = int | float | Decimal
UNKNOWN = "unknown"
SCALES = ((1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))
MINUS = "−"


def known(value: Number | str | None) -> Decimal | None:
    """The value as a Decimal, None where there is no finite number."""
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if value is None or value == "" or isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() else None


def significant(value: Decimal, digits: int) -> Decimal:
    """`value` rounded half-even to so many significant digits."""
    if not value:
        return value
    return value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)


def plain(value: Decimal) -> str:
    """Without exponent and without trailing zeros behind the point: 0.0021, 1,204."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(text: str, negative: bool) -> str:
    return f"{MINUS}{text}" if negative else text


def money(value: Number | str | None) -> str:
    """USD with sensible digits: $0.0021, $0.43, $847.23, $1,204, $1.24M."""
    number = known(value)
    if number is None:
        return UNKNOWN
    size = abs(number)
    if size >= 1_000_000:
        text = compact(size)
    elif size >= 1_000:
        text = f"{size:,.0f}"
    elif size >= Decimal("0.1") or not size:
        text = f"{size:.2f}"
    else:
        text = plain(significant(size, 2))
    return signed(f"${text}", number < 0)


def money_exact(value: Number | str | None) -> str:
    """Every digit that is known: $847.2300004."""
    number = known(value)
    return UNKNOWN if number is None else signed(f"${plain(abs(number))}", number < 0)


def compact(value: Number | str | None) -> str:
    """Three digits and a scale: 847, 12.3k, 1.24M."""
    number = known(value)
    if number is None:
        return UNKNOWN
    size = abs(number)
    rounded = significant(size, 3)
    for scale, letter in SCALES:
        if rounded >= scale:
            return signed(f"{plain(significant(size / scale, 3))}{letter}", number < 0)
    return signed(plain(rounded), number < 0)


def exact(value: Number | str | None) -> str:
    """All digits with thousands separators."""
    number = known(value)
    return UNKNOWN if number is None else signed(plain(abs(number)), number < 0)


def counted(number: int, things: str, form: Callable[[int], str] = exact) -> str:
    """How many of `things` (a plural in -s): "1 request", "1,234 requests"."""
    return f"{form(number)} {things.removesuffix('s') if number == 1 else things}"


def percent(ratio: Number | str | None) -> str:
    """A ratio (0.0123) as 1.2 %; above 99 % with the digits that matter for availability: 99.95 %."""
    number = known(ratio)
    if number is None:
        return UNKNOWN
    share = number * 100
    if Decimal(99) < share < Decimal(100):
        digits = 2 if share < Decimal("99.99") else 3
    else:
        digits = 0 if abs(share) >= 10 else 1 if abs(share) >= Decimal("0.1") or not share else 2
    return signed(f"{abs(share):.{digits}f} %", share < 0)


def duration(milliseconds: Number | str | None) -> str:
    """840 ms, 2.4 s, 3 min 20 s, 2 h 5 min."""
    number = known(milliseconds)
    if number is None:
        return UNKNOWN
    if number < 1000:
        return f"{plain(significant(number, 2) if number < 10 else number.quantize(Decimal(1)))} ms"
    seconds = number / 1000
    return f"{plain(significant(seconds, 2 if seconds < 10 else 3))} s" if seconds < 60 else long_duration(int(seconds))


def long_duration(seconds: int) -> str:
    """Whole seconds of a minute and more, in its two largest units."""
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit} {rest} {small_unit}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """12 s ago, 5 min ago, 3 h ago, 2 d ago; "in 5 min" for what is to come."""
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    size = abs(seconds)
    if size < 5:
        return "just now"
    scales = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    amount = next(f"{size // scale} {unit}" for scale, unit in scales if size >= scale)
    return f"{amount} ago" if seconds > 0 else f"in {amount}"


def iso(moment: datetime) -> str:
    """The moment in UTC for programs and addresses: 2026-03-02T09:00:00Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def joined(words: list[str]) -> str:
    """a; a and b; a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def change(value: Number | None, previous: Number | None) -> Decimal | None:
    """Relative change (0.12 for +12 %); None where either is unknown or the base is 0."""
    new, old = known(value), known(previous)
    return None if new is None or not old else (new - old) / abs(old)


def span_text(length: timedelta) -> str:
    """A window's length: 15 min, 24 h, 7 d."""
    return long_duration(int(length.total_seconds()))


def in_minutes(length: timedelta) -> str:
    """A length that goes on: whole minutes once there is one, as a second more or less tells nobody anything."""
    minute = timedelta(minutes=1)
    return span_text(length - length % minute if length >= minute else max(length, timedelta()))


UNITS = {
    "USD": money,
    "ms": duration,
    "%": percent,
    "tokens": compact,
    "requests": compact,
    "calls": compact,
}


def figure(value: Number | str | None, unit: str) -> str:
    """`value` as it is said in `unit`; an unknown unit is written behind the compact number ("12.3k tokens/min")."""
    if unit in UNITS:
        return UNITS[unit](value)
    if known(value) is None:
        return UNKNOWN
    return money(value) + unit[3:] if unit.startswith("USD") else f"{compact(value)} {unit}".strip()


def figure_exact(value: Number | str | None, unit: str) -> str:
    """`value` with every digit, for data tables and titles."""
    if unit.startswith("USD"):
        return money_exact(value)
    return percent(value) if unit == "%" else exact(value)
