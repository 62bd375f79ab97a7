"""SASL mechanisms: challenge in, answer out, the same for IMAP, SMTP and POP3 (RFC 4422).

Base64 is the business of the carrying protocol: mechanisms see and give raw bytes.
"""

from mailquay.wire.sasl.choice import Credentials, choose_mechanism
from mailquay.wire.sasl.login import LoginClient
from mailquay.wire.sasl.mechanism import SaslClient, decode_base64, encode_base64
from mailquay.wire.sasl.oauthbearer import OAuthBearerClient, parse_oauthbearer
from mailquay.wire.sasl.plain import PlainClient, PlainCredentials, parse_plain
from mailquay.wire.sasl.scram import ScramSha256Client
from mailquay.wire.sasl.xoauth2 import XOAuth2Client, parse_xoauth2

__all__ = [
    "Credentials",
    "LoginClient",
    "OAuthBearerClient",
    "PlainClient",
    "PlainCredentials",
    "SaslClient",
    "ScramSha256Client",
    "XOAuth2Client",
    "choose_mechanism",
    "decode_base64",
    "encode_base64",
    "parse_oauthbearer",
    "parse_plain",
    "parse_xoauth2",
]
