"""The closed vocabularies of a record: each member is the field's own term, with the document that defines it.

Names follow the RFCs. ``member.source`` says where a term comes from, so that a reviewer can look it up, or what it
means where no document defines it.
"""

from __future__ import annotations

from .terms import Vocabulary


class Kind(Vocabulary):
    """The five kinds of event."""

    CREDENTIAL_USE = "credential_use", "a credential was presented to a resource"
    CREDENTIAL_CHANGE = "credential_change", "a credential came to be, changed or ended"
    APPROVAL = "approval", "an approval was requested or decided"
    COMPROMISE = "compromise", "a report that a token or key leaked"
    LOG = "log", "the log's own life"


class Observer(Vocabulary):
    """From where an event was seen. One use has a stub on each side."""

    AGENT = "agent", "RFC 6749 §1.1 (client)"
    RESOURCE_SERVER = "resource_server", "RFC 6749 §1.1"
    AUTHORIZATION_SERVER = "authorization_server", "RFC 6749 §1.1"
    GATEWAY = "gateway", "RFC 9110 §3.7"


class TokenClass(Vocabulary):
    """What kind of credential was presented."""

    BEARER_OPAQUE = "bearer_opaque", "RFC 6750"
    BEARER_JWT_AT = "bearer_jwt_at", "RFC 9068"
    JWT_UNPROFILED = "jwt_unprofiled", "RFC 7519"
    DPOP_BOUND_ACCESS = "dpop_bound_access", "RFC 9449 §6"
    MTLS_BOUND_ACCESS = "mtls_bound_access", "RFC 8705 §3"
    DUAL_BOUND_ACCESS = "dual_bound_access", "RFC 9449 §6, RFC 8705 §3"
    REFRESH_TOKEN = "refresh_token", "RFC 6749 §6"
    AUTHORIZATION_CODE = "authorization_code", "RFC 6749 §4.1.3"
    TOKEN_EXCHANGE = "token_exchange", "RFC 8693 §2.1"
    TXN_TOKEN = "txn_token", "draft-ietf-oauth-transaction-tokens"
    ID_TOKEN = "id_token", "OpenID Connect Core §2"
    CLIENT_SECRET = "client_secret", "RFC 6749 §2.3.1"
    CLIENT_ASSERTION = "client_assertion", "RFC 7523 §2.2"
    CLIENT_ATTESTATION = "client_attestation", "draft-ietf-oauth-attestation-based-client-auth"
    BASIC_PASSWORD = "basic_password", "RFC 7617"
    API_KEY = "api_key", "no specification"
    COOKIE_SESSION = "cookie_session", "RFC 6265"
    SIGNED_URL = "signed_url", "vendor"
    SIGV4_REQUEST = "sigv4_request", "vendor"
    HTTP_MESSAGE_SIGNATURE = "http_message_signature", "RFC 9421"
    WIT_WPT = "wit_wpt", "draft-ietf-wimse-workload-creds"
    JWT_SVID = "jwt_svid", "SPIFFE JWT-SVID"
    X509_SVID = "x509_svid", "SPIFFE X.509-SVID"
    CLIENT_CERT = "client_cert", "RFC 8446 §4.4.2"
    SAML_ASSERTION = "saml_assertion", "RFC 7522"
    DEVICE_CODE = "device_code", "RFC 8628 §3.4"
    CLOUD_IDENTITY = "cloud_identity", "vendor"
    ENVIRONMENT_CREDENTIAL = "environment_credential", "MCP 2025-11-25, stdio transport"
    DELEGATED_BROWSER_SESSION = "delegated_browser_session", "no specification"
    NONE = "none", "no credential was presented"
    UNKNOWN = "unknown", "not classifiable"


class TokenFormat(Vocabulary):
    """How the credential is written down."""

    JWT = "jwt", "RFC 7519"
    JWE = "jwe", "RFC 7516"
    OPAQUE = "opaque", "RFC 6749 §1.4"
    CERTIFICATE = "certificate", "RFC 5280"
    SAML = "saml", "OASIS SAML 2.0"
    UNKNOWN = "unknown", "not seen, or not recognised"


class Presentation(Vocabulary):
    """Where in the request the credential stood."""

    AUTHORIZATION_HEADER = "authorization_header", "RFC 6750 §2.1"
    FORM_BODY = "form_body", "RFC 6750 §2.2"
    QUERY = "query", "RFC 6750 §2.3; forbidden by RFC 9700 §4.3.2"
    COOKIE = "cookie", "RFC 6265 §4.2"
    CUSTOM_HEADER = "custom_header", "a header of the vendor's own, such as X-API-Key"
    MTLS = "mtls", "RFC 8705"
    SIGNATURE = "signature", "RFC 9421"
    ENVIRONMENT = "environment", "an environment variable given to a process"
    NONE = "none", "no credential was presented"
    UNKNOWN = "unknown", "not seen"


class Basis(Vocabulary):
    """How the facts of a token are known."""

    VERIFIED_JWT = "verified_jwt", "RFC 9068 §4"
    UNVERIFIED_CLAIMS = "unverified_claims", "RFC 7519, read without trust"
    INTROSPECTION = "introspection", "RFC 7662 §2.2"
    TOKEN_RESPONSE = "token_response", "RFC 6749 §5.1"
    CONFIGURATION = "configuration", "the caller or the deployment says so"
    UNKNOWN = "unknown", "nobody said"


class BindingMethod(Vocabulary):
    """What ties a credential to its sender."""

    NONE = "none", "a bearer credential: whoever has it can use it"
    DPOP = "dpop", "RFC 9449"
    MTLS = "mtls", "RFC 8705"
    HTTP_SIGNATURE = "http_signature", "RFC 9421"
    WIT_WPT = "wit_wpt", "draft-ietf-wimse-workload-creds"
    SIGV4_HMAC = "sigv4_hmac", "vendor; a shared secret"
    CLIENT_AUTHENTICATION = "client_authentication", "RFC 9449 §5, RFC 8705 §7.1"
    ROTATION = "rotation", "RFC 9700 §4.14.2; detects, does not bind"
    AUDIENCE_ONLY = "audience_only", "RFC 8707; restricts where, not who"
    CHANNEL_COOKIE = "channel_cookie", "a cookie tied to the channel it was set in"
    IP_OR_NETWORK = "ip_or_network", "tied to a network address"
    UNKNOWN = "unknown", "nobody said"


class CustodyStore(Vocabulary):
    """Where the proof key or the secret is kept. Always asserted by somebody: it is not on the wire."""

    HARDWARE_NONEXPORTABLE = "hardware_nonexportable", "a secure element, TPM or HSM"
    OS_KEYSTORE_NONEXPORTABLE = "os_keystore_nonexportable", "the key store of the operating system"
    KMS_REMOTE_SIGN = "kms_remote_sign", "a key service that signs on request"
    SOFTWARE_PROCESS_MEMORY = "software_process_memory", "memory of the process"
    SOFTWARE_FILE = "software_file", "a file"
    ENVIRONMENT_VARIABLE = "environment_variable", "an environment variable"
    BROWSER_WEBCRYPTO_NONEXTRACTABLE = "browser_webcrypto_nonextractable", "W3C Web Cryptography API"
    SHARED_SIDECAR = "shared_sidecar", "a sidecar that serves several processes"
    TLS_STACK = "tls_stack", "the TLS library or terminator"
    UNKNOWN = "unknown", "nobody said"


class Isolation(Vocabulary):
    """Who else can use the same key."""

    TASK = "task", "one task"
    AGENT = "agent", "one agent"
    TOOL = "tool", "one tool"
    TENANT = "tenant", "one tenant"
    HOST = "host", "everything on one host"
    SHARED = "shared", "shared beyond one host or tenant"
    UNKNOWN = "unknown", "nobody said"


class AssertedBy(Vocabulary):
    """Where a fact that is not on the wire comes from."""

    SELF_ASSERTED = "self_asserted", "the process itself"
    CONFIGURED = "configured", "the configuration of the deployment"
    PLATFORM_ATTESTED = "platform_attested", "the platform, with evidence"
    UNKNOWN = "unknown", "nobody said"


class ProofResult(Vocabulary):
    """How the proof of possession ended as a whole."""

    PASS = "pass", "no check failed and the required ones ran"
    FAIL = "fail", "a check failed"
    NOT_APPLICABLE = "not_applicable", "the credential needs no proof"
    NOT_PERFORMED = "not_performed", "a proof was due and was not checked"
    ERROR = "error", "the checking itself failed"
    UNKNOWN = "unknown", "nobody said"


class CheckOutcome(Vocabulary):
    """How one check ended. That nothing failed does not mean that anything was checked."""

    PASS = "pass", "performed, and good"
    FAIL = "fail", "performed, and not good"
    NOT_APPLICABLE = "not_applicable", "does not concern this request"
    NOT_PERFORMED = "not_performed", "concerns it, and was left out or had no input"
    ERROR = "error", "could not be finished"


class CheckId(Vocabulary):
    """Each check of a proof or a token, by a stable id."""

    DPOP_SINGLE_HEADER = "dpop.01_single_header", "RFC 9449 §4.3 item 1"
    DPOP_WELL_FORMED = "dpop.02_well_formed", "RFC 9449 §4.3 item 2"
    DPOP_REQUIRED_CLAIMS = "dpop.03_required_claims", "RFC 9449 §4.3 item 3"
    DPOP_TYP = "dpop.04_typ", "RFC 9449 §4.3 item 4"
    DPOP_ALG = "dpop.05_alg", "RFC 9449 §4.3 item 5"
    DPOP_SIGNATURE = "dpop.06_signature", "RFC 9449 §4.3 item 6"
    DPOP_NO_PRIVATE_KEY = "dpop.07_no_private_key", "RFC 9449 §4.3 item 7"
    DPOP_HTM = "dpop.08_htm", "RFC 9449 §4.3 item 8"
    DPOP_HTU = "dpop.09_htu", "RFC 9449 §4.3 item 9"
    DPOP_NONCE = "dpop.10_nonce", "RFC 9449 §4.3 item 10"
    DPOP_TIME = "dpop.11_time", "RFC 9449 §4.3 item 11, §11.1"
    DPOP_ATH = "dpop.12a_ath", "RFC 9449 §4.3 item 12"
    DPOP_JKT = "dpop.12b_jkt", "RFC 9449 §4.3 item 12"
    DPOP_JTI_REPLAY = "dpop.13_jti_replay", "RFC 9449 §11.1"
    DPOP_SCHEME = "dpop.14_scheme", "RFC 9449 §7.2"
    DPOP_SINGLE_TOKEN_METHOD = "dpop.15_single_token_method", "RFC 9449 §7.2, RFC 6750 §2"
    DPOP_NONCE_DOWNGRADE = "dpop.16_nonce_downgrade", "RFC 9449 §11.3"
    MTLS_CERT_PRESENT = "mtls.01_cert_present", "RFC 8705 §3"
    MTLS_CNF_PRESENT = "mtls.02_cnf_present", "RFC 8705 §3.1, §3.2"
    MTLS_X5T_MATCH = "mtls.03_x5t_match", "RFC 8705 §3"
    MTLS_CERT_SOURCE_TRUSTED = "mtls.04_cert_source_trusted", "RFC 9440 §4"
    MTLS_CERT_VALIDITY = "mtls.05_cert_validity", "RFC 5280 §4.1.2.5; information only"
    MTLS_CHAIN = "mtls.06_chain", "RFC 8705 §2.1; client authentication only"
    JOSE_CRIT = "jose.crit", "RFC 7515 §4.1.11"
    JOSE_KEY = "jose.key", "RFC 7517 §4, RFC 7518 §6.2.1.2, §6.3.1.1"
    JOSE_ALG_KEY = "jose.alg_key", "RFC 7518 §3.4"
    JOSE_RSA_BITS = "jose.rsa_bits", "RFC 7518 §3.3"
    JOSE_DUPLICATE_MEMBER = "jose.duplicate_member", "RFC 7515 §4"
    JOSE_BASE64URL = "jose.base64url", "RFC 7515 §2"
    JOSE_SIZE = "jose.size", "RFC 9449 §11.1"
    HTTP_SIGNATURE_WELL_FORMED = "http_signature.01_well_formed", "RFC 9421 §4.1, §4.2"
    HTTP_SIGNATURE_COVERAGE = "http_signature.02_coverage", "RFC 9421 §3.2.1, §7.2.1"
    HTTP_SIGNATURE_KEY = "http_signature.03_key", "RFC 9421 §3.2 item 4"
    HTTP_SIGNATURE_ALG = "http_signature.04_alg", "RFC 9421 §3.2 item 6"
    HTTP_SIGNATURE_TIME = "http_signature.05_time", "RFC 9421 §2.3, §3.2"
    HTTP_SIGNATURE_SIGNATURE = "http_signature.06_signature", "RFC 9421 §3.2 item 8"
    HTTP_SIGNATURE_CONTENT_DIGEST = "http_signature.07_content_digest", "RFC 9530 §2, RFC 9421 §7.2.8"
    WIMSE_WIT_WELL_FORMED = "wimse.01_wit_well_formed", "draft-ietf-wimse-workload-creds"
    WIMSE_WIT_SIGNATURE = "wimse.02_wit_signature", "draft-ietf-wimse-workload-creds"
    WIMSE_WIT_TIME = "wimse.03_wit_time", "draft-ietf-wimse-workload-creds"
    WIMSE_WIT_KEY = "wimse.04_wit_key", "draft-ietf-wimse-workload-creds (cnf.jwk with alg)"
    WIMSE_WPT_WELL_FORMED = "wimse.05_wpt_well_formed", "draft-ietf-wimse-wpt"
    WIMSE_WPT_SIGNATURE = "wimse.06_wpt_signature", "draft-ietf-wimse-wpt"
    WIMSE_AUD = "wimse.07_aud", "draft-ietf-wimse-wpt"
    WIMSE_TIME = "wimse.08_time", "draft-ietf-wimse-wpt"
    WIMSE_WTH = "wimse.09_wth", "draft-ietf-wimse-wpt"
    WIMSE_ATH = "wimse.10_ath", "draft-ietf-wimse-wpt"
    WIMSE_OTHER_HASHES = "wimse.11_other_hashes", "draft-ietf-wimse-wpt (tth, oth)"
    WIMSE_JTI_REPLAY = "wimse.12_jti_replay", "draft-ietf-wimse-wpt"
    CNF_AMBIGUOUS = "cnf.ambiguous", "RFC 7800 §3"
    TOKEN_SIGNATURE = "token.signature", "RFC 9068 §4"
    TOKEN_ISSUER = "token.issuer", "RFC 9068 §4"
    TOKEN_AUDIENCE = "token.audience", "RFC 9068 §4, RFC 9700 §2.3"
    TOKEN_TIME = "token.time", "RFC 9068 §4"
    TOKEN_TYP = "token.typ", "RFC 9068 §4"
    TOKEN_SCOPE = "token.scope", "RFC 6750 §3.1"
    TOKEN_ACTIVE = "token.active", "RFC 7662 §2.2"


class ReplayScope(Vocabulary):
    """Within what a proof's jti was checked to be new."""

    KEY = "key", "stricter than RFC 9449 §11.1"
    URI = "uri", "RFC 9449 §11.1"
    NONE = "none", "not checked to be new"
    UNKNOWN = "unknown", "nobody said"


class HtuSource(Vocabulary):
    """From where the server took the URI that it compared with htu. An untrusted one proves nothing."""

    ABSOLUTE_FORM = "absolute_form", "RFC 9112 §3.2.2"
    HOST_HEADER = "host_header", "RFC 9110 §7.2"
    FORWARDED = "forwarded", "RFC 7239"
    CONFIGURED = "configured", "the configuration of the server"
    UNKNOWN = "unknown", "nobody said"


class CertificateSource(Vocabulary):
    """From where the server took the client certificate."""

    TLS_LAYER = "tls_layer", "RFC 8705 §3"
    CLIENT_CERT_HEADER = "client_cert_header", "RFC 9440"
    VENDOR_HEADER = "vendor_header", "a header of the proxy's own"
    UNKNOWN = "unknown", "nobody said"


class Requirement(Vocabulary):
    """Whether the action needed an approval."""

    REQUIRED = "required", "the caller's policy asks for one"
    NOT_REQUIRED = "not_required", "the caller's policy asks for none"
    UNKNOWN = "unknown", "nobody said"


class Decision(Vocabulary):
    """How an approval ended."""

    GRANTED = "granted", "somebody said yes"
    DENIED = "denied", "somebody said no"
    EXPIRED = "expired", "nobody decided in time"
    AUTOMATIC = "automatic", "a rule decided, no person"
    NONE = "none", "no decision is known"


class ApprovalState(Vocabulary):
    """What an approval event reports."""

    REQUESTED = "requested", "somebody was asked"
    GRANTED = "granted", "somebody said yes"
    DENIED = "denied", "somebody said no"
    EXPIRED = "expired", "nobody decided in time"
    AUTOMATIC = "automatic", "a rule decided, no person"


class Phase(Vocabulary):
    """Which half of an action an entry tells."""

    INTENT = "intent", "before the action"
    OUTCOME = "outcome", "after it"
    COMPLETE = "complete", "both in one entry, written afterwards"


class Outcome(Vocabulary):
    """How the action ended."""

    EXECUTED = "executed", "it was done"
    REFUSED = "refused", "the other side said no"
    FAILED = "failed", "it broke off with an error"
    PENDING = "pending", "not known yet: the entry is an intent, or the other side asked for more first"
    UNKNOWN = "unknown", "nobody said"


class Change(Vocabulary):
    """What happened to a credential."""

    ISSUED = "issued", "RFC 6749 §5.1"
    REFRESHED = "refreshed", "RFC 6749 §6"
    EXCHANGED = "exchanged", "RFC 8693"
    ROTATED = "rotated", "RFC 9700 §4.14.2"
    REVOKED = "revoked", "RFC 7009"
    EXPIRED = "expired", "its lifetime ended"


class Leaked(Vocabulary):
    """What is reported to have leaked."""

    TOKEN = "token", "the credential alone"
    KEY = "key", "the proof key alone"
    BOTH = "both", "credential and proof key"
    UNKNOWN = "unknown", "nobody said"


class LeakPlace(Vocabulary):
    """Where a credential was found."""

    PROMPT_LOG = "prompt_log", "a log of prompts or conversations"
    TOOL_TRACE = "tool_trace", "a trace of tool calls"
    BROWSER_STATE = "browser_state", "cookies or storage of a browser"
    ERROR_REPORT = "error_report", "a crash or error report"
    CACHE = "cache", "a cache"
    SCREENSHOT = "screenshot", "a screenshot or recording"
    REPOSITORY = "repository", "a source repository"
    CONNECTOR = "connector", "a connector between systems"
    OTHER = "other", "somewhere else; how_known says where"
    UNKNOWN = "unknown", "nobody said"


class LogChange(Vocabulary):
    """What happened to the log itself."""

    CREATED = "created", "the log begins"
    OPENED = "opened", "a process opened it"
    CLOSED = "closed", "a process closed it"
    GAP = "gap", "entries are missing; count, first and last say which"
    DISK_FULL = "disk_full", "the disk was full"
    KEY_ROTATED = "key_rotated", "fingerprints are made under another key"
    SIGNING_KEY_ROTATED = "signing_key_rotated", "checkpoints are signed with another key"
    PRUNED = "pruned", "old bodies were removed"
    ERASED = "erased", "a body was removed on request"


class Severity(Vocabulary):
    """How bad something is, as OCSF counts it (``severity_id``)."""

    INFORMATIONAL = "informational", "OCSF severity_id 1"
    LOW = "low", "OCSF severity_id 2"
    MEDIUM = "medium", "OCSF severity_id 3"
    HIGH = "high", "OCSF severity_id 4"
    CRITICAL = "critical", "OCSF severity_id 5"


class RedactionAction(Vocabulary):
    """What became of a removed value."""

    MASK = "mask", "a marker stands in its place"
    DROP = "drop", "nothing stands in its place"
    FINGERPRINT = "fingerprint", "its keyed fingerprint stands in its place"
    TRUNCATE = "truncate", "its beginning stays, without what is a secret by another rule"


class LengthClass(Vocabulary):
    """How long a removed value was, roughly: an exact length can tell which secret it was."""

    UP_TO_16 = "1-16", "up to 16 characters"
    UP_TO_64 = "17-64", "17 to 64 characters"
    UP_TO_256 = "65-256", "65 to 256 characters"
    UP_TO_4096 = "257-4096", "257 to 4,096 characters"
    LONGER = "4097-", "longer"
