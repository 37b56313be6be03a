"""Keys that carry the mark of who issued them, as rows of the table of patterns.

A prefix that a vendor publishes tells a key from any other text. Lengths are lower bounds, since vendors make their
keys longer over the years. A mark of few letters needs what else is known: the exact length, a digit, a full stop.
"""

from __future__ import annotations

from typing import Final

from .pattern import Pattern, fake, long_pattern, marked_pattern, pattern

_APART = "(?<![+-])"
"""Before a weak mark: not within base64."""
_END = r"(?![A-Za-z0-9_-])"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def _hex(length: int) -> str:
    return ("c0ffee42" * (length // 8 + 1))[:length]


def _key(rule: str, expression: str, marks: str, example: str) -> Pattern:
    return marked_pattern(rule, expression, marks, f"used {example}")


def _weak(rule: str, expression: str, marks: str, example: str) -> Pattern:
    return marked_pattern(rule, f"{_APART}(?:{expression}){_END}", marks, f"used {example}")


def _inside(rule: str, expression: str, keyword: str, example: str) -> Pattern:
    """Return a row whose mark stands within the key."""
    return long_pattern(rule, rf"\b{_APART}(?:{expression}){_END}", keyword, f"used {example}")


_CODE: Final = (
    _key("atlassian", "AT(?:[AC]TT3|STT3|BB)[A-Za-z0-9_=-]{20,}", "atatt3 atctt3 atstt3 atbb", f"ATATT3{fake(180)}"),
    _key("docker", "dckr_[po]at_[A-Za-z0-9_-]{20,}", "dckr_", f"dckr_pat_{fake(27)}"),
    _key("rubygems", "rubygems_[A-Za-z0-9]{40,}", "rubygems_", f"rubygems_{_hex(48)}"),
    _weak("crates", "cio[A-Za-z0-9]{32}", "cio", f"cio{fake(32)}"),
    _weak("nuget", "oy2[a-z0-9]{43}", "oy2", f"oy2{_hex(43)}"),
    _key("clojars", "(?:CLOJARS|clojars)_[A-Za-z0-9]{50,}", "clojars_", f"CLOJARS_{_hex(60)}"),
    _weak("artifactory", "AKCp[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{59}", "akcp cmvmd", f"AKCp{fake(69)}"),
    _inside("azure_devops", "[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", "azdo", f"{fake(76)}AZDOabcd"),
    _key("gitlab_runner", "GR1348941[A-Za-z0-9_-]{20,}", "gr1348941", f"GR1348941{fake(20)}"),
    _key("sourcegraph", "sgp_[A-Za-z0-9_]{40,}", "sgp_", f"sgp_{_hex(40)}"),
    _key("sonar", "sq[upa]_[A-Za-z0-9]{40,}", "squ_ sqp_ sqa_", f"squ_{_hex(40)}"),
    _key("build", "CCI(?:PAT|PRJ)_[A-Za-z0-9_]{30,}|bkua_[a-z0-9]{40,}", "ccipat_ cciprj_ bkua_", f"CCIPAT_{fake(40)}"),
    _key("postman", "PMAK-[A-Za-z0-9-]{40,}", "pmak-", f"PMAK-{_hex(24)}-{_hex(34)}"),
    _key("octopus", "API-[A-Z0-9]{26,}", "api-", f"API-{'EXAMPLE0' * 3}AB"),
)

_CLOUDS: Final = (
    _key("digitalocean", "do[opr]_v1_[A-Fa-f0-9]{40,}", "dop_v1_ doo_v1_ dor_v1_", f"dop_v1_{_hex(64)}"),
    _key("databricks", "dapi[a-f0-9]{32}(?:-[0-9])?", "dapi", f"dapi{_hex(32)}"),
    _weak("alibaba", "LTAI[A-Za-z0-9]{16,24}", "ltai", f"LTAI{fake(20)}"),
    _weak("tencent", "AKID[A-Za-z0-9]{32}", "akid", f"AKID{fake(32)}"),
    _weak("scaleway", "SCW[A-Z0-9]{17}", "scw", "SCWEXAMPLE0EXAMPLE0A"),
    _inside(
        "terraform", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}", ".atlasv1.", f"{fake(14)}.atlasv1.{fake(48)}"
    ),
    _key("pulumi", "pul-[a-f0-9]{40}", "pul-", f"pul-{_hex(40)}"),
    _key(
        "doppler",
        r"dp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9._-]{30,}",
        "dp.pt. dp.st. dp.sa. dp.ct. dp.scim. dp.audit.",
        f"dp.pt.{fake(43)}",
    ),
    _key("fly", "fo1_[A-Za-z0-9_-]{40,}|fm(?:1[ar]|2)_[A-Za-z0-9+/=]{60,}", "fo1_ fm1 fm2_", f"fo1_{fake(43)}"),
    _weak("vercel", "vc[aikpr]_[A-Za-z0-9]{24,}", "vca_ vci_ vck_ vcp_ vcr_", f"vcp_{fake(56)}"),
    _key("heroku", "HRKU-[A-Za-z0-9_-]{30,}", "hrku-", f"HRKU-AA{fake(58)}"),
    _key(
        "cloudflare",
        r"v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}|cf(?:ut|at|k)_[A-Za-z0-9]{40,}",
        "v1.0- cfut_ cfat_ cfk_",
        f"v1.0-{_hex(24)}-{_hex(146)}",
    ),
    _key("netlify", "nf[bcopu]_[A-Za-z0-9]{36,}", "nfb_ nfc_ nfo_ nfp_ nfu_", f"nfp_{fake(36)}"),
    _weak("render", "rnd_[A-Za-z0-9]{28,}", "rnd_", f"rnd_{fake(28)}"),
    _key("supabase", "sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,}", "sbp_ sb_secret_", f"sbp_{_hex(40)}"),
    _key("planetscale", r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32,}", "pscale_", f"pscale_tkn_{fake(43)}"),
    _key("neon", "napi_[a-z0-9]{50,}", "napi_", f"napi_{_hex(64)}"),
    _key("openshift", "sha256~[A-Za-z0-9_-]{43}", "sha256~", f"sha256~{fake(43)}"),
    _key("tailscale", "tskey-[a-z]{2,10}-[A-Za-z0-9-]{16,}", "tskey-", f"tskey-auth-{fake(16)}-{fake(32)}"),
    _key(
        "onepassword",
        "ops_eyJ[A-Za-z0-9+/]{100,}={0,3}|A3-[A-Z0-9]{6}-[A-Z0-9]{6}(?:-?[A-Z0-9]{5}){4}",
        "ops_eyj a3-",
        f"ops_eyJ{fake(250)}",
    ),
    _weak("confluent", "cflt[A-Za-z0-9+/]{56,}", "cflt", f"cflt{fake(60)}"),
    _key("prefect", "pn[ub]_[A-Za-z0-9]{36,}", "pnu_ pnb_", f"pnu_{fake(36)}"),
    _weak("clickhouse", "4b1d[A-Za-z0-9]{38}", "4b1d", f"4b1d{fake(38)}"),
)

_MODELS: Final = (
    _key("groq", "gsk_[A-Za-z0-9]{40,}", "gsk_", f"gsk_{fake(52)}"),
    _key("xai", "xai-[A-Za-z0-9]{60,}", "xai-", f"xai-{fake(80)}"),
    _key("replicate", "r8_[A-Za-z0-9]{30,}", "r8_", f"r8_{fake(37)}"),
    _key("perplexity", "pplx-[A-Za-z0-9]{40,}", "pplx-", f"pplx-{fake(48)}"),
    _key("nvidia", "nvapi-[A-Za-z0-9_-]{40,}", "nvapi-", f"nvapi-{fake(64)}"),
    _key("together", "tgp_v[0-9]_[A-Za-z0-9_-]{40,}", "tgp_v", f"tgp_v1_{fake(43)}"),
    _key("cerebras", "csk-[a-z0-9]{40,}", "csk-", f"csk-{_hex(48)}"),
    _key("tavily", "tvly-[A-Za-z0-9_-]{20,}", "tvly-", f"tvly-dev-{fake(32)}"),
    _weak("firecrawl", "fc-[a-f0-9]{32}", "fc-", f"fc-{_hex(32)}"),
    _weak("fireworks", "fw_[A-Za-z0-9]{22,24}", "fw_", f"fw_{fake(24)}"),
    _key("pinecone", "pcsk_[A-Za-z0-9_]{40,}", "pcsk_", f"pcsk_{fake(70)}"),
    _key("jina", "jina_[A-Za-z0-9_-]{40,}", "jina_", f"jina_{fake(60)}"),
    _weak("voyage", "pa-[A-Za-z0-9_-]{43}", "pa-", f"pa-{fake(43)}"),
    _key("e2b", "e2b_[a-f0-9]{40}", "e2b_", f"e2b_{_hex(40)}"),
    _key("langsmith", "lsv2_[a-z]{2}_[a-f0-9]{32}_[a-f0-9]{10}", "lsv2_", f"lsv2_pt_{_hex(32)}_{_hex(10)}"),
    _key("logfire", "pylf_v[0-9]_[a-z]{2}_[A-Za-z0-9]{30,}", "pylf_v", f"pylf_v1_eu_{fake(43)}"),
    _key("google_gemini", r"AQ\.[A-Za-z0-9_-]{40,}", "aq.", f"AQ.Ab8{fake(48)}"),
)

_MONITORING: Final = (
    _key(
        "dynatrace",
        r"dt0[a-z][0-9]{2}\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}",
        "dt0",
        f"dt0c01.{'EXAMPLE0' * 3}.{'EXAMPLE0' * 8}",
    ),
    _key(
        "grafana",
        "gl(?:sa|c)_[A-Za-z0-9+/_]{32,}={0,3}|eyJrIjoi[A-Za-z0-9+/]{50,}={0,3}",
        "glsa_ glc_ eyjrijoi",
        f"glsa_{fake(32)}_{_hex(8)}",
    ),
    _key("sentry", "sntry[su]_[A-Za-z0-9+/=_-]{40,}", "sntrys_ sntryu_", f"sntryu_{_hex(64)}"),
    _key(
        "new_relic",
        "NR(?:AK|II|JS|RA|BR)-[A-Za-z0-9_-]{18,}",
        "nrak- nrii- nrjs- nrra- nrbr-",
        f"NRAK-{'EXAMPLE0' * 3}ABC",
    ),
    _inside("new_relic_license", "[a-z0-9]{36}NRAL", "nral", f"{_hex(36)}NRAL"),
    _key("honeycomb", "hc(?:ai|al|xi)k_[a-z0-9]{50,}", "hcaik_ hcalk_ hcxik_", f"hcaik_{_hex(58)}"),
    _key("posthog", "ph[xsa]_[A-Za-z0-9]{32,}", "phx_ phs_ pha_", f"phx_{fake(43)}"),
    _key("infracost", "ico-[A-Za-z0-9]{32}", "ico-", f"ico-{fake(32)}"),
    _key("readme", "rdme_[a-z0-9]{60,}", "rdme_", f"rdme_{_hex(70)}"),
)

_SERVICES: Final = (
    _key("sendgrid", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,}", "sg.", f"SG.{fake(22)}.{fake(43)}"),
    _key("twilio", "SK[a-f0-9]{32}", " ".join(f"sk{digit}" for digit in "0123456789abcdef"), f"SK{_hex(32)}"),
    _weak("mailgun", "(?:pub)?key-[a-f0-9]{32}", "key- pubkey-", f"key-{_hex(32)}"),
    _inside("mailchimp", "[a-f0-9]{32}-us[0-9]{1,2}", "-us", f"{_hex(32)}-us21"),
    _key(
        "brevo",
        "x(?:key|smtp)sib-[a-f0-9]{64}-[A-Za-z0-9]{16,}",
        "xkeysib- xsmtpsib-",
        f"xkeysib-{_hex(64)}-{_hex(16)}",
    ),
    _weak("resend", "re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", "re_", f"re_{fake(8)}_{fake(24)}"),
    _key(
        "shopify", "shp(?:at|ca|pa|ss|ua)_[A-Fa-f0-9]{32,}", "shpat_ shpca_ shppa_ shpss_ shpua_", f"shpat_{_hex(32)}"
    ),
    _key("square", "sq0[a-z]{3}-[A-Za-z0-9_-]{22,}", "sq0", f"sq0csp-{fake(43)}"),
    _weak("square_facebook", "EAA(?!A{6})[A-Za-z0-9][A-Za-z0-9_-]{40,}", "eaa", f"EAAA{fake(60)}"),
    _key(
        "braintree",
        r"access_token\$[a-z]{4,12}\$[a-z0-9]{16}\$[a-f0-9]{32}",
        "access_token$",
        f"access_token$sandbox${_hex(16)}${_hex(32)}",
    ),
    _key(
        "plaid",
        f"access-(?:sandbox|development|production)-{_UUID}",
        "access-",
        f"access-sandbox-{_hex(8)}-c0ff-c0ff-c0ff-{_hex(12)}",
    ),
    _key("flutterwave", "FLWSECK(?:_TEST)?-[A-Za-z0-9-]{12,}", "flwseck", f"FLWSECK_TEST-{_hex(32)}-X"),
    _key("duffel", "duffel_(?:test|live)_[A-Za-z0-9_=-]{40,}", "duffel_", f"duffel_test_{fake(43)}"),
    _key("shippo", "shippo_(?:live|test)_[A-Fa-f0-9]{40}", "shippo_", f"shippo_test_{_hex(40)}"),
    _weak("easypost", "EZ[AT]K[A-Za-z0-9]{54}", "ezak eztk", f"EZTK{fake(54)}"),
    _weak("lob", "(?:live|test)_[a-f0-9]{35}", "live_ test_", f"test_{_hex(35)}"),
    _weak("gocardless", "live_[A-Za-z0-9_=-]{40}", "live_", f"live_{fake(40)}"),
    _key("linear", "lin_(?:api|oauth)_[A-Za-z0-9]{40,}", "lin_", f"lin_api_{fake(40)}"),
    _key("notion", "ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}", "ntn_ secret_", f"ntn_{fake(46)}"),
    pattern(
        "airtable",  # whose mark alone begins too many words
        r"(?i:airtable)[^\r\n]{0,20}?\b(pat[A-Za-z0-9]{14}\.[a-f0-9]{64})\b",
        ("airtable",),
        f"AIRTABLE=pat{fake(14)}.{_hex(64)}",
    ),
    _key(
        "harness",
        r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
        "pat. sat.",
        f"pat.{fake(22)}.{fake(24)}.{fake(20)}",
    ),
    _key("hubspot", f"pat-[a-z]{{2}}[0-9]-{_UUID}", "pat-", f"pat-eu1-{_hex(8)}-c0ff-c0ff-c0ff-{_hex(12)}"),
    _key("figma", "fig[dou]r?_[A-Za-z0-9_-]{40,}", "figd_ figo_ figu_ figdr_ figor_ figur_", f"figd_{fake(43)}"),
    _key("typeform", r"tfp_[A-Za-z0-9_.=-]{40,}", "tfp_", f"tfp_{fake(59)}"),
    _key("contentful", "CFPAT-[A-Za-z0-9_-]{40,}", "cfpat-", f"CFPAT-{fake(43)}"),
    _key("frameio", "fio-u-[A-Za-z0-9_=-]{60,}", "fio-u-", f"fio-u-{fake(64)}"),
    _key(
        "mapbox", r"[ps]k\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}", "sk.eyj pk.eyj", f"sk.eyJ{fake(57)}.{fake(22)}"
    ),
    _key("dropbox", r"sl\.(?:u\.)?[A-Za-z0-9_=-]{100,}", "sl.", f"sl.{fake(135)}"),
    _inside("telegram", "[0-9]{6,12}:AA[A-Za-z0-9_-]{32,35}", ":aa", f"123456789:AA{fake(33)}"),
    _inside(
        "discord",  # its second part counts the seconds since 2011: F to H from 2021 to 2027
        r"[MNO][DTjz][A-Za-z0-9_-]{21,28}\.[F-H][A-Za-z0-9_-]{5}\.[A-Za-z0-9_-]{27,40}",
        ".f .g .h",
        f"MTA{fake(23)}.GExamp.{fake(38)}",
    ),
    long_pattern(
        "webhook",
        r"discord(?:app)?\.com/api/webhooks/[0-9]+/([A-Za-z0-9_-]{30,})"
        r"|\.webhook\.office\.com/webhookb2/([A-Za-z0-9@/-]{60,})",
        "/webhooks/ /webhookb2/",
        f"https://discord.com/api/webhooks/1234567890/{fake(68)}",
    ),
    _key("adobe", "p8e-[A-Za-z0-9]{32}", "p8e-", f"p8e-{_hex(32)}"),
    _inside("maxmind", "[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", "_mmk", f"{fake(6)}_{fake(29)}_mmk"),
    _key("scalingo", "tk-us-[A-Za-z0-9_-]{40,}", "tk-us-", f"tk-us-{fake(48)}"),
    _key("settlemint", "sm_[aps]at_[A-Za-z0-9]{16,}", "sm_aat_ sm_pat_ sm_sat_", f"sm_aat_{fake(16)}"),
    _key("intra42", "s-s4t2[a-z]{2}-[a-f0-9]{64}", "s-s4t2", f"s-s4t2ud-{_hex(64)}"),
    _key("defined", "dnkey-[A-Za-z0-9_=-]{26}-[A-Za-z0-9_=-]{40,}", "dnkey-", f"dnkey-{fake(26)}-{fake(52)}"),
    _key(
        "yandex",
        r"t1\.[A-Za-z0-9_-]{10,}={0,2}\.[A-Za-z0-9_-]{86}={0,2}|AQVN[A-Za-z0-9_-]{35,38}",
        "t1. aqvn",
        f"AQVN{fake(36)}",
    ),
    _key(
        "authress",
        r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,}",
        "sc_ ext_ scauth_ authress_",
        f"sc_abcdef.abcd.acc_{_hex(12)}.{fake(40)}",
    ),
)

VENDORS: Final = (*_CODE, *_CLOUDS, *_MODELS, *_MONITORING, *_SERVICES)
