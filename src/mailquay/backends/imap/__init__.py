"""Mailboxes over IMAP: `driver` joins the wire core to a stream, the rest speaks the product's nouns."""
