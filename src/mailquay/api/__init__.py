"""The REST API: requests in, one service called, answers out. Public JSON names live here alone."""
