"""Words by which servers say why they refuse a message; each stands in the text in lower case, as written here.

The categories stand in the order in which they are tried: a reply that names a blocklist and says "rejected" is about
the blocklist.
"""

from __future__ import annotations

PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "virus_detected",
        (
            *("virus found", "virus detected", "contains a virus", "infected with", "malware", "a virus was", "trojan"),
            *("attachment type not allowed", "prohibited attachment", "forbidden attachment", "blocked attachment"),
            *("potentially executable", "illegal attachment", "5.7.0 our system detected an illegal"),
            *("its content presents a potential security issue", "contains content that presents a potential"),
        ),
    ),
    (
        "greylisting",
        (
            *("greylist", "graylist", "grey-list", "gray-list", "grey listed", "try again later, greylisted"),
            *("please try again later to deliver", "temporarily deferred, try again", "first time sender"),
        ),
    ),
    (
        "auth_failure",
        (
            *(
                "dmarc",
                "authentication information",
                "ip name lookup failed",
                "unverifyable sending",
                "mismatches client ip",
                "spf check",
                "spf fail",
                "(spf)",
                "sender policy framework",
                "dkim",
                "spf record",
                "spf)",
            ),
            *("failed spf", "unauthenticated email", "unauthenticated mail", "authentication required"),
            *("authentication failed", "does not pass authentication", "must be authenticated", "sender id (pra)"),
            *("required authentication level", "authentication credentials invalid", "not authenticated"),
            *(
                "reverse dns",
                "ptr record",
                "rdns",
                "no ptr",
                "hostname lookup failed",
                "client host rejected: cannot find",
            ),
            *("fcrdns", "forward-confirmed", "is not allowed to send mail from", "reverse hostname"),
            *("spf validation", "authentication checks", "openspf", "envelope blocked - user domain entry"),
        ),
    ),
    (
        "geo_blocked",
        (
            *("country is blocked", "from your country", "your country", "geographic", "geoip", "geo-block"),
            *("geo location", "country not allowed", "blocked by country"),
        ),
    ),
    (
        "domain_blacklisted",
        (
            *("dbl.spamhaus", "spamhaus dbl", "uribl", "surbl", "domain is blacklisted", "domain is blocked"),
            *("domain has been blacklisted", "sender domain is listed", "domain is listed", "domain blacklist"),
            *("sender domain has poor reputation", "sending domain has been blocked", "blacklisted url", "bad domain"),
            *("domain reputation", "blocked domain", "sender's domain is blocked", "url blocklist"),
        ),
    ),
    (
        "ip_blacklisted",
        (
            *("spamhaus", "spamcop", "barracuda", "sorbs", "dnsbl", "invaluement", "hostkarma", "s3150"),
            *(" rbl", "(rbl", "ip is listed", "ip address is listed", "ip has been blocked", "listed in a blocklist"),
            *("blacklisted", "blocklisted", "black list", "block list", "blacklist", "blocklist", "banned sending ip"),
            *("your ip", "ip reputation", "poor reputation", "low reputation", "bad reputation", "reputation of"),
            *("is on our block list", "part of their network is on", "ip address has been", "blocked - see http"),
            *(
                "ip address is not allowed",
                "client host blocked",
                "has been blocked by",
                "connection refused by policy",
            ),
            *(
                "weren't sent. please contact your internet service provider",
                "too many unwanted messages have been sent",
            ),
            *("unusual rate of unsolicited", "sender ip", "blocked using", "access denied, banned"),
        ),
    ),
    (
        "mailbox_full",
        (
            *("mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded quota"),
            *("exceeds quota", "quota exceed", "exceeded storage", "storage allocation", "insufficient storage"),
            *(
                "mailfolder is full",
                "inbox is full",
                "mailbox has exceeded",
                "exceeded the local limit",
                "over its quota",
            ),
            *(
                "out of storage",
                "not enough storage",
                "mailbox size limit",
                "no space left",
                "disk quota",
                "over the quota",
            ),
            *("quota usage exceeded", "mailbox limit", "quotaexceeded", "mailbox exceeded", "usermailboxfull"),
            *("account is full", "over the maximum allowed mailbox", "exceeded his", "full mailbox", "casilla llena"),
            *("too much mail data", "mailboxfull", "quota full", "exceeded mailbox"),
        ),
    ),
    (
        "server_error",
        (
            *("delivery temporarily suspended", "service not available", "service currently unavailable"),
            *("refused to talk to me: 4", "host not found, try again"),
        ),
    ),
    (
        "mailbox_disabled",
        (
            *(
                "account disabled",
                "temporary locked",
                "temporarily locked",
                "account is blocked",
                "disabled recipient",
                "account is disabled",
                "mailbox disabled",
                "mailbox is disabled",
                "been disabled",
            ),
            *(
                "account has been suspended",
                "suspended",
                "deactivated",
                "inactive",
                "account is locked",
                "account expired",
                "mailbox expired",
            ),
            *("mailbox is inactive", "account is not active", "account closed", "is no longer active", "ha expirado"),
            *("mailbox currently unavailable because", "disabled or discontinued", "has been locked", "frozen"),
            *("mail receiving disabled", "dormant", "account terminated", "recipient is disabled"),
        ),
    ),
    (
        "rate_limited",
        (
            *(
                "too many messages",
                "too many connections",
                "rate limit",
                "frequency limited",
                "rate-limit",
                "ratelimit",
                "throttl",
            ),
            *("sending too fast", "too many recipients", "exceeded the rate", "too many emails", "too much mail"),
            *("unusual rate", "too many sessions", "too many concurrent", "sending limit", "messages per hour"),
            *("hourly limit", "daily limit", "connection limit", "too many mails", "receiving mail too quickly"),
            *(
                "receiving email at a rate",
                "receiving mail at a rate",
                "excessive number",
                "deferred due to",
            ),
            *("temporarily rate", "temporarily deferred due to", "recipient limit"),
        ),
    ),
    (
        "relay_denied",
        (
            *(
                "relay access denied",
                "not configured to relay",
                "relaying denied",
                "relay denied",
                "unable to relay",
                "not permitted to relay",
            ),
            *(
                "relay not permitted",
                "relaying not allowed",
                "we do not relay",
                "relay not allowed",
                "relaying is prohibited",
            ),
            *(
                "not allowed to relay",
                "cannot relay",
                "no relaying",
                "relay prohibited",
                "relaying mail to",
                "not relay",
            ),
            *("isn't in my list of allowed rcpthosts", "not in my list of allowed rcpthosts", "rcpthosts"),
            *("not a registered gateway user", "not a gateway", "through this server without authentication"),
        ),
    ),
    (
        "spam_blocked",
        (
            *("spam", "unsolicited", "junk mail", "bulk mail", "content rejected", "message content", "ofr_5", "ube "),
            *("looks like", "message rejected as", "content filter", "high probability", "suspicious", "phishing"),
        ),
    ),
    (
        # It is not the recipient that is wrong with these: nobody should be removed for them.
        "policy_blocked",
        (
            *("domain of sender", "sender address rejected", "sender rejected", "unroutable sender", "sender domain"),
            *("from: domain is invalid", "valid from:", "protocol violation", "header error", "syntax of the message"),
        ),
    ),
    (
        "invalid_address",
        (
            *("host unknown", "unknown host", "host not found", "domain not found", "name or service not known"),
            *(
                "domain does not",
                "no such domain",
                "unrouteable mail domain",
                "unrouteable address",
                "domain is not reachable",
                "name service error",
                "bad address syntax",
            ),
            *(
                "bad recipient address syntax",
                "malformed",
                "syntax error",
                "nxdomain",
                "name not found",
                "null mx",
                "nullmx",
            ),
            *("no mx", "mx record", "illegal host", "invalid domain", "couldn't find any host"),
            *("could not find a gateway", "no route to host", "domain name not found", "invalid address syntax"),
            *("does not like recipient", "not a valid address", "dns error", "dns lookup", "no smtp service"),
        ),
    ),
    (
        "user_unknown",
        (
            *("user unknown", "unknown user", "no such user", "no such mailbox", "no such address", "no such person"),
            *(
                "does not exist",
                "doesn't exist",
                "do not exist",
                "not exist",
                "no mailbox here",
                "no mailbox by that name",
            ),
            *("recipient not found", "user not found", "mailbox not found", "address not found", "unknown recipient"),
            *("recipient unknown", "unknown address", "unknown mailbox", "invalid recipient", "invalid mailbox"),
            *(
                "unknown local",
                "unknown in local",
                "in virtual mailbox table",
                "in virtual alias table",
                "unknown alias",
            ),
            *("not a valid mailbox", "not a valid user", "no account", "doesn't have a", "no such recipient"),
            *("unknown or illegal alias", "recipnotfound", "recipientnotfound", "recipient name is not recognized"),
            *(
                "resolver.adr",
                "user invalid",
                "invalid user",
                "mailbox unavailable",
                "unavailable mailbox",
                "nosuchuser",
            ),
            *(
                "not listed in",
                "recipient address rejected: undeliverable",
                "recipient verify failed",
                "is not a known user",
            ),
            *(
                "unknown account",
                "bad destination mailbox",
                "email address wasn't found",
                "isn't a valid",
                "user doesn't",
            ),
            *(
                "cannot find your recipient",
                "this address no longer accepts",
                "no longer available",
                "no longer valid",
                "no longer on server",
                "not our user",
            ),
            *("recipient address rejected: access denied", "not our customer", "not known here"),
            *(
                "invalid final delivery userid",
                "invalid address",
                "address unknown",
                "user not known",
                "address could not be found",
            ),
            *("not a user", "no valid recipients", "addressee unknown"),
            *("user has left", "left the company", "no longer works here"),
        ),
    ),
    (
        "server_error",
        (
            *(
                "timed out",
                "requests to connect",
                "network error",
                "message expired",
                "does not support tls",
                "timeout",
                "connection refused",
                "connection reset",
                "lost connection",
                "broken pipe",
            ),
            *(
                "unable to connect",
                "could not connect",
                "couldn't connect",
                "no answer from host",
                "network is unreachable",
            ),
            *(
                "connection dropped",
                "connection was closed",
                "service unavailable",
                "temporarily unavailable",
                "host not reachable",
            ),
            *(
                "internal error",
                "system error",
                "local error",
                "server error",
                "try again later",
                "insufficient system",
            ),
            *(
                "queue too long",
                "retry time",
                "not running",
                "temporary failure",
                "temporary error",
                "system resources",
            ),
            *(
                "mail loop",
                "routing loop",
                "too many hops",
                "hop count",
                "delivery expired",
                "envelope expired",
                "could not deliver for the last",
                "multiple retries",
                "expired after",
                "establish an smtp connection",
            ),
            *("can't create", "can not connect", "starttls", "initiate smtp conversation"),
            *("message could not be delivered for", "could not be delivered within", "mailer error", "i/o error"),
        ),
    ),
    (
        "policy_blocked",
        (
            *("message too large", "size limit", "too big", "exceeds size", "message size", "message length exceeds"),
            *("administrative prohibition", "local policy", "policy reasons", "policy violation", "security policy"),
        ),
    ),
)

WEAK_PHRASES: tuple[str, ...] = (
    *("policy", "not permitted", "prohibited", "not allowed", "denied", "rejected", "restricted"),
    *("not authorized", "blocked", "permission", "banned"),
)
"""Words that stand in refusals of any kind: they mean `policy_blocked` where no enhanced code says more."""
