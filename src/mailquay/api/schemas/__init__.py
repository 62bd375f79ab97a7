"""What requests may hold and what answers look like, one file per resource."""
