"""Private keys and assertions in their text forms, as rows of the table of patterns."""

from __future__ import annotations

from typing import Final

from .pattern import fake, marked_pattern, pattern

_TITLE = r"[A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?"

KEYS: Final = (
    pattern(
        "pem",
        rf"-----BEGIN {_TITLE}-----[\s\S]*?(?:-----END {_TITLE}-----|\Z)",
        ("-----begin",),
        f"-----BEGIN PRIVATE KEY-----\n{fake(64)}\n-----END PRIVATE KEY-----",
    ),
    pattern(
        "pem_ssh",  # RFC 4716 has four hyphens
        rf"---- BEGIN SSH2 {_TITLE} ----[\s\S]*?(?:---- END SSH2 {_TITLE} ----|\Z)",
        ("---- begin ssh2",),
        f"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{fake(64)}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
    ),
    marked_pattern(
        "pem_base64",  # not of certificates and public keys, which begin with C and PUB
        "LS0tLS1CRUdJTiB(?!DRVJU|QVUJM)[A-Za-z0-9+/]{40,}={0,2}",
        "ls0tls1crudjtib",
        f"client-key-data: LS0tLS1CRUdJTiBQUklWQVRF{fake(64)}",
    ),
    pattern(
        "putty",
        r"\bPrivate-Lines: [0-9]{1,4}\s+((?:[A-Za-z0-9+/=]{1,80}\s{1,4})*[A-Za-z0-9+/=]{1,80})",
        ("private-lines:",),
        f"Private-Lines: 1\n{fake(64)}\nPrivate-MAC: 00",
    ),
    pattern(
        "signify",
        r"\b(?i:secret key)[^\r\n]{0,120}\r?\n(R[A-Za-z0-9+/]{60,400}={0,2})",
        ("secret key",),
        f"untrusted comment: minisign encrypted secret key\nR{fake(120)}",
    ),
    marked_pattern(
        "age",
        r"(?i:AGE-SECRET-KEY-(?:[A-Z]{2,8}-)?1[A-Z0-9]{58,})",
        "age-secret-key-",
        f"AGE-SECRET-KEY-1{'EXAMPLE0' * 8}",
    ),
    marked_pattern("nostr", r"nsec1[a-z0-9]{58}\b", "nsec1", f"nsec1{'example0' * 7}ex"),
    marked_pattern(
        "note_key",
        r"PRIVATE\+KEY\+[!-*,-~]{1,256}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{16,}={0,2}",
        "private+key+",
        f"signed with PRIVATE+KEY+example.com/agents+00000000+{fake(44)}",
    ),
    marked_pattern("jwt_base64", r"ZXlK[A-Za-z0-9+/_-]{60,}={0,2}", "zxlk", f"ZXlK{fake(120)}"),
    marked_pattern("saml", r"PHNhbW[wx][A-Za-z0-9+/%]{60,}(?:=|%3D){0,2}", "phnhbw", f"PHNhbWxw{fake(120)}"),
    pattern(
        "saml_assertion",
        r"<(?:[A-Za-z0-9]{1,16}:)?Assertion\s[^>]{0,999}SAML:[12][\s\S]*?(?:</(?:[A-Za-z0-9]{1,16}:)?Assertion>|\Z)",
        ("saml:",),
        '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><a/></saml:Assertion>',
    ),
)
