"""The formats of credentials that the corpus holds, and how to invent one of each."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shapes import drawn, encoded, filled, jws, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random


@dataclass(frozen=True)
class Format:
    """One format."""

    name: str
    group: str
    make: Callable[[Random], str]
    """Invents one."""
    formless: bool = False
    """Whether nothing in it tells it from any other text: only a name can."""
    secrets: Callable[[str], list[str]] = field(default=lambda made: [made])
    """What of it must not stay, if not all."""


TOKENS: Final = "OAuth, OpenID Connect and JOSE"
CODE: Final = "code hosts, packages, builds"
CLOUDS: Final = "clouds and infrastructure"
MODELS: Final = "models and their tools"
SERVICES: Final = "mail, chat, payment, monitoring"
KEYS: Final = "private keys as text"
FORMLESS: Final = "without a form of their own"

_SHAPES: Final = {
    TOKENS: """
        google_access        ya29.{url:120}
        google_refresh       1//0{url:80}
        google_client        GOCSPX-{url:28}
        github_app_token     ghs_{dig:6}_eyJ{url:40}.eyJ{url:120}.{url:342}
    """,
    CODE: """
        github_personal      ghp_{an:36}
        github_oauth         gho_{an:36}
        github_user          ghu_{an:36}
        github_refresh       ghr_{an:76}
        github_fine_grained  github_pat_{an:22}_{an:59}
        gitlab_personal      glpat-{url:20}
        gitlab_routable      glpat-{url:27}.01.{low:9}
        gitlab_deploy        gldt-{url:20}
        gitlab_runner        glrt-{url:20}
        gitlab_job           glcbt-{an:2}_{url:20}
        gitlab_registration  GR1348941{url:20}
        atlassian            ATATT3{url:186}
        bitbucket            ATBB{an:32}
        npm                  npm_{an:36}
        pypi                 pypi-AgEIcHlwaS5vcmc{url:120}
        rubygems             rubygems_{hex:48}
        crates               cio{an:32}
        nuget                oy2{low:43}
        clojars              CLOJARS_{low:60}
        docker               dckr_pat_{url:27}
        artifactory_key      AKCp{an:69}
        artifactory_ref      cmVmd{an:59}
        azure_devops         {an:76}AZDO{an:4}
        sourcegraph          sgp_{hex:16}_{hex:40}
        sonar                squ_{hex:40}
        circleci             CCIPAT_{an:22}_{hex:40}
        buildkite            bkua_{hex:40}
        postman              PMAK-{hex:24}-{hex:34}
        octopus              API-{up:26}
    """,
    CLOUDS: """
        aws_key_id           AKIA{b32:16}
        aws_session_key_id   ASIA{b32:16}
        aws_bedrock          ABSK{b64:120}
        aws_bedrock_short    bedrock-api-key-{b64:200}
        google_api           AIza{url:35}
        google_gemini        AQ.Ab8{url:48}
        azure_ad             {an:3}8Q~{url:34}
        azure_storage        DefaultEndpointsProtocol=https;AccountName=example;AccountKey={b64:86}==
        azure_sas            https://example.invalid/box/file?sv=2026-01-01&sp=r&sig={an:43}%3D
        azure_bus            Endpoint=sb://example.invalid/;SharedAccessKeyName=all;SharedAccessKey={b64:43}=
        vault                hvs.{url:90}
        vault_batch          hvb.{url:140}
        digitalocean         dop_v1_{hex:64}
        databricks           dapi{hex:32}-2
        alibaba              LTAI{an:20}
        tencent              AKID{an:32}
        scaleway             SCW{up:17}
        terraform            {an:14}.atlasv1.{url:67}
        pulumi               pul-{hex:40}
        doppler              dp.pt.{an:43}
        doppler_service      dp.st.dev.{an:40}
        fly                  fo1_{url:43}
        fly_macaroon         fm2_{b64:200}
        vercel               vcp_{an:56}
        heroku               HRKU-AA{url:58}
        cloudflare_origin    v1.0-{hex:24}-{hex:146}
        netlify              nfp_{an:36}
        render               rnd_{an:28}
        supabase             sbp_{hex:40}
        planetscale          pscale_tkn_{url:43}
        neon                 napi_{low:64}
        openshift            sha256~{url:43}
        tailscale            tskey-auth-{an:17}-{an:32}
        onepassword          ops_eyJ{b64:300}
        onepassword_key      A3-{up:6}-{up:6}-{up:5}-{up:5}-{up:5}-{up:5}
        confluent            cflt{b64:60}
        prefect              pnu_{an:36}
        clickhouse           4b1d{an:38}
    """,
    MODELS: """
        openai               sk-{an:20}T3BlbkFJ{an:20}
        openai_project       sk-proj-{url:74}T3BlbkFJ{url:74}
        openai_service       sk-svcacct-{url:74}T3BlbkFJ{url:74}
        anthropic            sk-ant-api03-{url:93}AA
        anthropic_oauth      sk-ant-oat01-{url:93}AA
        anthropic_admin      sk-ant-admin01-{url:93}AA
        openrouter           sk-or-v1-{hex:64}
        langfuse             sk-lf-{uuid}
        elevenlabs           sk_{hex:48}
        hugging_face         hf_{an:34}
        groq                 gsk_{an:52}
        xai                  xai-{an:80}
        replicate            r8_{an:37}
        perplexity           pplx-{an:48}
        nvidia               nvapi-{url:64}
        together             tgp_v1_{url:43}
        cerebras             csk-{low:48}
        tavily               tvly-dev-{an:32}
        firecrawl            fc-{hex:32}
        fireworks            fw_{an:24}
        pinecone             pcsk_{an:6}_{an:63}
        jina                 jina_{an:60}
        voyage               pa-{url:43}
        e2b                  e2b_{hex:40}
        langsmith            lsv2_pt_{hex:32}_{hex:10}
        logfire              pylf_v1_eu_{an:43}
    """,
    SERVICES: """
        slack_bot            xoxb-{dig:12}-{dig:12}-{an:24}
        slack_user           xoxp-{dig:12}-{dig:12}-{dig:12}-{hex:32}
        slack_app            xapp-1-{up:11}-{dig:13}-{hex:64}
        slack_hook           https://hooks.slack.com/services/T{up:8}/B{up:8}/{an:24}
        discord              MT{an:24}.G{url:5}.{url:38}
        discord_hook         https://discord.com/api/webhooks/{dig:18}/{url:68}
        telegram             {dig:10}:AA{url:33}
        teams_hook           https://example.webhook.office.com/webhookb2/{uuid}@{uuid}/IncomingWebhook/{hex:32}/{uuid}
        sendgrid             SG.{url:22}.{url:43}
        twilio               SK{hex:32}
        mailgun              key-{hex:32}
        mailchimp            {hex:32}-us21
        brevo                xkeysib-{hex:64}-{an:16}
        resend               re_{an:8}_{an:24}
        stripe_secret        sk_live_{an:24}
        stripe_restricted    rk_test_{an:99}
        stripe_hook          whsec_{an:32}
        shopify              shpat_{hex:32}
        square               sq0csp-{url:43}
        square_access        EAAA{url:60}
        facebook             EAAC{an:120}
        braintree            access_token$production${low:16}${hex:32}
        plaid                access-production-{uuid}
        flutterwave          FLWSECK_TEST-{hex:32}-X
        duffel               duffel_test_{url:43}
        shippo               shippo_live_{hex:40}
        easypost             EZAK{an:54}
        lob                  live_{hex:35}
        gocardless           live_{url:40}
        linear               lin_api_{an:40}
        notion               ntn_{dig:11}{an:35}
        notion_old           secret_{an:43}
        harness              pat.{url:22}.{an:24}.{an:20}
        hubspot              pat-eu1-{uuid}
        figma                figd_{url:43}
        typeform             tfp_{url:59}
        contentful           CFPAT-{url:43}
        mapbox               sk.eyJ{an:60}.{url:22}
        dropbox              sl.{url:135}
        adobe                p8e-{low:32}
        dynatrace            dt0c01.{up:24}.{up:64}
        grafana              glsa_{an:32}_{hex:8}
        grafana_cloud        glc_{b64:100}
        sentry_user          sntryu_{hex:64}
        sentry_org           sntrys_eyJ{an:120}_{b64:43}
        new_relic            NRAK-{up:27}
        new_relic_license    {hex:36}NRAL
        honeycomb            hcaik_{low:58}
        posthog              phx_{an:43}
        readme               rdme_{low:70}
        yandex               AQVN{url:36}
    """,
    KEYS: """
        age                  AGE-SECRET-KEY-1{BECH:58}
        nostr                nsec1{bech:58}
        c2sp_note            PRIVATE+KEY+example.com/agents+{hex:8}+{b64:44}
    """,
    FORMLESS: """
        opaque_short         {an:10}
        opaque               {url:43}
        aws_secret           {b64:40}
        datadog              {hex:32}
        okta                 00{url:40}
        heroku_old           {uuid}
        twilio_auth          {hex:32}
        cloudflare_old       {url:40}
        mcp_session          {uuid}
        password             {az:8}-{az:6}
        pin                  {dig:6}
    """,
}


_AFTER: Final = {
    "azure_storage": "AccountKey=",
    "azure_sas": "sig=",
    "azure_bus": "SharedAccessKey=",
    "slack_hook": "services/",
    "discord_hook": "/",
    "teams_hook": "IncomingWebhook/",
    "braintree": "$",
}
"""What of these is public ends here."""


def _last(mark: str) -> Callable[[str], list[str]]:
    return lambda made: [made.rpartition(mark)[2]]


def _shaped() -> Iterator[Format]:
    for group, table in _SHAPES.items():
        for line in table.split("\n"):
            if line.strip():
                name, shape = line.split()
                yield Format(name, group, _of(shape), group == FORMLESS, _last(_AFTER.get(name, "\0")))


def _of(shape: str) -> Callable[[Random], str]:
    return lambda random: filled(shape, random)


def _claims(random: Random) -> dict[str, object]:
    return {"iss": "https://as.example", "sub": "dana", "aud": "https://api.example", "jti": drawn("url", 16, random)}


def _access_token(random: Random) -> str:
    return jws({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, _claims(random), random)


def _dpop_proof(random: Random) -> str:
    jwk = {"kty": "EC", "crv": "P-256", "x": drawn("url", 43, random), "y": drawn("url", 43, random)}
    claims = {"jti": drawn("url", 16, random), "htm": "GET", "htu": "https://api.example/mail", "iat": 1_780_000_000}
    return jws({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, claims, random)


def _unsecured(random: Random) -> str:
    return f"{encoded({'alg': 'none'})}.{encoded(_claims(random))}."


def _spaced(random: Random) -> str:
    header = json.dumps({"alg": "ES256"}, indent=2).encode()
    return f"{encoded(header)}.{encoded(_claims(random))}.{encoded(random.randbytes(64))}"


def _jwe(random: Random) -> str:
    header = encoded({"alg": "RSA-OAEP-256", "enc": "A256GCM"})
    return ".".join([header, *(encoded(random.randbytes(size)) for size in (256, 12, 200, 16))])


def _jwe_direct(random: Random) -> str:
    header = encoded({"alg": "dir", "enc": "A256GCM"})
    return ".".join([header, "", *(encoded(random.randbytes(size)) for size in (12, 90, 16))])


def _encoded_jwt(random: Random) -> str:
    return b64encode(_access_token(random).encode()).decode()


def _saml(random: Random) -> str:
    body = f'<samlp:Response ID="_{drawn("hex", 32, random)}"><saml:Assertion/></samlp:Response>'
    return b64encode(body.encode() + b" " * 40).decode()


def _saml_assertion(random: Random) -> str:
    signature = b64encode(random.randbytes(128)).decode()
    return (
        '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">'
        f"<ds:SignatureValue>{signature}</ds:SignatureValue></saml:Assertion>"
    )


def _basic(random: Random) -> str:
    pair = f"agent:{drawn('an', 20, random)}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _bearer(random: Random) -> str:
    return f"Bearer {drawn('an', 12, random)}"


def _userinfo(random: Random) -> str:
    return f"postgresql://app:{drawn('an', 16, random)}@db.invalid/app"


def _after_colon(made: str) -> list[str]:
    return [made.split("app:")[1].split("@", maxsplit=1)[0]]


def _sigv4(random: Random) -> str:
    return f"AWS4-HMAC-SHA256 SignedHeaders=host;x-amz-date, Signature={drawn('hex', 64, random)}"


def _jwk(kind: str) -> Callable[[Random], str]:
    private = {"EC": ("d",), "OKP": ("d",), "oct": ("k",), "RSA": ("d", "p", "q", "dp", "dq", "qi")}[kind]

    def make(random: Random) -> str:
        return json.dumps({"kty": kind, **{name: drawn("url", 43, random) for name in private}})

    return make


def _of_jwk(made: str) -> list[str]:
    return [value for name, value in json.loads(made).items() if name != "kty"]


def _service_account(random: Random) -> str:
    key = pem("PRIVATE KEY", random)
    return json.dumps({"type": "service_account", "private_key_id": drawn("hex", 40, random), "private_key": key})


def _of_service_account(made: str) -> list[str]:
    return json.loads(made)["private_key"].split("\n")[1:-2]


def _pem(title: str, size: int = 300) -> Callable[[Random], str]:
    return lambda random: pem(title, random, size=size)


def _pem_in_base64(random: Random) -> str:
    return b64encode(pem("RSA PRIVATE KEY", random).encode()).decode()


def _putty(random: Random) -> str:
    lines = "\n".join(drawn("b64", 64, random) for _ in range(3))
    return f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 3\n{lines}\nPrivate-MAC: {'0' * 64}"


def _of_putty(made: str) -> list[str]:
    return made.split("\n")[3:-1]


def _minisign(random: Random) -> str:
    return f"untrusted comment: minisign encrypted secret key\nRWRTY0Iy{drawn('b64', 204, random)}"


def _of_lines(made: str) -> list[str]:
    return made.split("\n")[1:]


def _ssh2(random: Random) -> str:
    return (
        pem("SSH2 ENCRYPTED PRIVATE KEY", random)
        .replace("-----B", "---- B")
        .replace("-----E", "---- E")
        .replace("KEY-----", "KEY ----")
    )


FORMATS: Final = (
    Format("jwt_access_token", TOKENS, _access_token),
    Format("dpop_proof", TOKENS, _dpop_proof),
    Format("jws_unsecured", TOKENS, _unsecured),
    Format("jws_spaced_header", TOKENS, _spaced),
    Format("jwe", TOKENS, _jwe),
    Format("jwe_direct", TOKENS, _jwe_direct),
    Format("jwt_in_base64", TOKENS, _encoded_jwt),
    Format("saml_response", TOKENS, _saml),
    Format("saml_assertion", TOKENS, _saml_assertion, secrets=lambda made: [made.split("Value>")[1].split("<")[0]]),
    Format("basic", TOKENS, _basic, secrets=lambda made: [made.split()[1]]),
    Format("bearer_short", TOKENS, _bearer, secrets=lambda made: [made.split()[1]]),
    Format("userinfo", TOKENS, _userinfo, secrets=_after_colon),
    Format("aws_signature", CLOUDS, _sigv4, secrets=lambda made: [made[-64:]]),
    Format("google_service_account", CLOUDS, _service_account, secrets=_of_service_account),
    *(Format(f"jwk_{kind.lower()}", KEYS, _jwk(kind), secrets=_of_jwk) for kind in ("EC", "OKP", "oct", "RSA")),
    Format("pem_pkcs8", KEYS, _pem("PRIVATE KEY")),
    Format("pem_encrypted", KEYS, _pem("ENCRYPTED PRIVATE KEY")),
    Format("pem_rsa", KEYS, _pem("RSA PRIVATE KEY", 1200)),
    Format("pem_ec", KEYS, _pem("EC PRIVATE KEY", 120)),
    Format("pem_dsa", KEYS, _pem("DSA PRIVATE KEY")),
    Format("pem_openssh", KEYS, _pem("OPENSSH PRIVATE KEY")),
    Format("pem_pgp", KEYS, _pem("PGP PRIVATE KEY BLOCK")),
    Format("pem_ssh2", KEYS, _ssh2),
    Format("pem_in_base64", KEYS, _pem_in_base64),
    Format("putty", KEYS, _putty, secrets=_of_putty),
    Format("minisign", KEYS, _minisign, secrets=_of_lines),
    *_shaped(),
)
