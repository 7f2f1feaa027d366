"""Making and keeping the forecasts. Only `make` loads the statistics library, which web processes never need."""
