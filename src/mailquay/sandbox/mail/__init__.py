"""The mail that lies in the sandbox's mailboxes at the start: made by code, the same for the same seed and time."""
