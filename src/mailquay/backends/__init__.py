"""Mail providers behind one small interface."""
