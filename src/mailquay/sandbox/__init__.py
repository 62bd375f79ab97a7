"""The mail servers that come with the program: IMAP and SMTP on loopback, over mailboxes in memory."""
