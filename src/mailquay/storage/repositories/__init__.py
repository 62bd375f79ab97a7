"""One repository per noun, written once over the Database interface; the dialects differ only in their SQL."""
