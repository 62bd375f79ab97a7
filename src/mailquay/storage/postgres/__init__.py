"""The Postgres adapter."""
