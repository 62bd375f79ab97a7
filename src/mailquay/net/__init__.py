"""Outgoing connections: byte streams, TLS, proxies, HTTP, and the policy that says where we may connect."""
