"""Pages of the budgets room."""
