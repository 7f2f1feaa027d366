"""The traffic of drills: simulated callers that ask the guard and report through the ingest."""
