"""Submission over SMTP: connections, their reuse, and what their failures mean for a message."""
