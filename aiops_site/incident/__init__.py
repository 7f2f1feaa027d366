"""The incident view: what an on-call engineer opens first."""
