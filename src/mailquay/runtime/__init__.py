"""Processes at work: nodes and leases, a runner per account, workers, health, metrics, logs."""
