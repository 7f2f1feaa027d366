"""Replays public LLM traces, or a file of events, through the desk's own HTTP ingest. See docs/replay.md."""
