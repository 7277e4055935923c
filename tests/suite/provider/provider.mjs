// An OpenID provider for tests: issues access tokens to one client, and changes its keys when it is told to.
//
//   node provider.mjs MODULES PORT CERTIFICATE KEY
//
// Words on standard input, each answered by one line that starts with `told`: `rotate` signs with a new key and still publishes the old one,
// `fetches` says how often the keys were fetched. The end of the input is its end.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, port, certificate, key] = process.argv.slice(2);
const found = createRequire(`${modules}/`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(found));

const issuer = `https://localhost:${port}`;
const keys = [];
let fetches = 0;
let answer;

function rotate() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  // The first that fits signs.
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' });
  const provider = new Provider(issuer, {
    jwks: { keys },
    ttl: { ClientCredentials: 600 },
    clients: [{
      client_id: 'etl-1',
      client_secret: 'only-for-tests',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          audience: 'billing-api',
          scope: 'accounts:read',
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: () => ({ roles: ['clerk'], jurisdiction_scope: ['County_A'] }),
  });
  answer = provider.callback();
}

rotate();
const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
const server = createServer(tls, (request, response) => {
  if (request.url === '/jwks') fetches += 1;
  answer(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log('told ready'));

const words = createInterface({ input: process.stdin });
words.on('line', (word) => {
  if (word === 'rotate') {
    rotate();
    console.log(`told ${keys[0].kid}`);
  } else {
    console.log(`told ${fetches}`);
  }
});
words.on('close', () => process.exit(0));
