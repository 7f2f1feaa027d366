"""What everybody may read without signing in, even while the database is slow or away."""
