"""Messages as bytes (RFC 5322, RFC 2045 to 2049): reading what anybody may send, writing what we send."""
