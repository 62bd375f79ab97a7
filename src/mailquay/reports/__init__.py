"""What mail servers tell of a message that was sent: bounces, delivery reports, complaints. Bytes in, findings out."""
