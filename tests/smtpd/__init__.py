"""The SMTP submission listener."""
