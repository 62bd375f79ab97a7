"""Repositories over SQL. Only this ring knows keys, tables and SQL."""
