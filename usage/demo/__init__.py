"""The demo data: thirty days of made-up AI traffic of four made-up teams, ending now.

Everything but `load` is pure: a seed, a moment and the end of the window give the same events on every machine, hour
by hour. Nothing here is customer data; every demo team carries `Team.is_demo`, which is what removal goes by.
"""
