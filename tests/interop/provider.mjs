// A real authorization server, for client credentials: it issues bearer, DPoP-bound and certificate-bound JWTs.
// Reads its brief, one line of JSON, on stdin; prints its port; ends when stdin ends.
import { createInterface } from 'node:readline';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
const brief = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
process.stdin.on('end', () => process.exit(0)).resume();

const tls = { key: brief.key, cert: brief.certificate, ca: brief.authority, requestCert: true, rejectUnauthorized: false };
const server = createServer(tls);
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  server.on('request', provider(issuer).callback());
  console.log(issuer);
});

function provider(issuer) {
  const client = (id, more) => ({
    client_id: id,
    client_secret: brief.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
    ...more,
  });
  return new Provider(issuer, {
    clients: [
      client('plain'),
      client('dpop', { dpop_bound_access_tokens: true }),
      client('mtls', { tls_client_certificate_bound_access_tokens: true }),
    ],
    jwks: { keys: [brief.jwk] },
    scopes: ['mail:read'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => brief.nonce },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate()?.toString(),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'mail:read',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
}
