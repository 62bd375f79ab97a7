"""IMAP4rev1 and rev2, both sides, without input or output (RFC 3501, RFC 9051 and the extensions named in each module).

`client.ImapClient` and `server.ImapServer` are the connections; commands and responses are the same values for both.
Import from the module that defines a name.
"""
