"""The database backend of the settings: Django's for PostgreSQL, with a health check that costs no round trip."""
