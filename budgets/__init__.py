"""The budgets room: budgets, the guard, rate limits, forecast, spend anomalies and reports."""
