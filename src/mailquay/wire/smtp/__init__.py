"""SMTP without a socket: replies, commands, dot-stuffing and the client's phases (RFC 5321)."""
