"""Bytes to values and back, after the RFCs. Nothing in here knows a socket, a clock, a task or a log."""
