"""Charts as data: what a page says about its figures, drawn by static/js/charts.js. Imports no app."""

from aiops_site.charts.bars import Bar, Bars
from aiops_site.charts.colours import slots
from aiops_site.charts.model import Chart, Marker, Series, Table, Threshold
from aiops_site.charts.strips import Slot, heat_strip, sparkline

__all__ = ["Bar", "Bars", "Chart", "Marker", "Series", "Slot", "Table", "Threshold", "heat_strip", "slots", "sparkline"]
