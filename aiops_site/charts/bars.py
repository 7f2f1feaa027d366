"""Bars by category, drawn as HTML and SVG without a script."""

from dataclasses import dataclass
from decimal import Decimal

from aiops_site import formats
from aiops_site.charts.colours import colours

Value = Decimal | float | int | None


@dataclass(frozen=True)
class Bar:
    """One category; `previous` draws a tick where it was, `note` stands beside the figure."""

    name: str
    value: Value
    url: str = ""
    note: str = ""
    previous: Value = None
    tone: str = ""


@dataclass(frozen=True)
class Row:
    """A bar ready to draw: lengths in per cent of the widest."""

    bar: Bar
    width: float | None
    tick: float | None
    share: str
    swatch: str
    text: str
    exact: str


@dataclass(frozen=True)
class Bars:
    """A list of bars with one unit. `coloured` gives each name its category colour, else all have the accent's."""

    title: str
    unit: str
    bars: list[Bar]
    coloured: bool = False
    note: str = ""
    url: str = ""
    more_label: str = "All"
    share: bool = True

    @property
    def rows(self) -> list[Row]:
        values = [formats.known(b.value) for b in self.bars]
        before = [formats.known(b.previous) for b in self.bars]
        widest = max((v for v in (*values, *before) if v is not None), default=Decimal(0))
        total = sum((v for v in values if v is not None), Decimal(0))
        colour = colours([b.name for b in self.bars])
        return [self._row(b, v, widest, total, colour) for b, v in zip(self.bars, values, strict=True)]

    def _row(self, bar: Bar, value: Decimal | None, widest: Decimal, total: Decimal, colour: dict[str, str]) -> Row:
        named = colour[bar.name].removeprefix("var(--").removesuffix(")") if self.coloured else "accent"
        return Row(
            bar=bar,
            width=length(value, widest),
            tick=length(formats.known(bar.previous), widest),
            share=formats.percent(value / total) if self.share and value is not None and total else "",
            swatch=bar.tone or named,
            text=formats.figure(bar.value, self.unit),
            exact=formats.figure_exact(bar.value, self.unit),
        )


def length(value: Decimal | None, widest: Decimal) -> float | None:
    """Per cent of the widest; None where there is nothing to draw."""
    return None if value is None or not widest else round(float(max(value, Decimal(0)) / widest * 100), 2)
