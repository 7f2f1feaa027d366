"""Re-pricing history: asking for a run, estimating it, and running it in chunks that survive any crash."""
