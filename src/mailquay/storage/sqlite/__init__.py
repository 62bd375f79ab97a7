"""The Sqlite adapter."""
