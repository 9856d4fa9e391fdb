// The identity provider of the tests: npm `oidc-provider`, which the OpenID Foundation certified, on a free loopback port.
//
// What is strange here stays strange: pages, PKCE, rotation, reuse detection, introspection and errors are the library's.
// Ours are the store, the `interval` and `slow_down` of RFC 8628, and the tests' knobs:
//
//   POST /test/settings  {"access": 2, ...}   any of the SETTINGS below, from now on; what is not named goes back to normal
//   POST /test/fail      {"status": 503, "times": 1, "headers": {}, "body": ""}   how the next token requests are answered
//   POST /test/end-access-tokens               every access token, before its time; the sign-ins live on
//   POST /test/revoke                          every sign-in there is
//   POST /test/client  {"client_id": ...}   one more client, with the metadata of RFC 7591
//   GET  /test/log                             what was asked since the settings were last set
//
// It says READY and its issuer on one line.
import http from 'node:http';
import { text } from 'node:stream/consumers';

// Node 20 came without it, and the library calls it.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);
const { Provider } = await import('oidc-provider');

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const SETTINGS = Object.freeze({
  access: 300, // seconds an access token lives
  refresh: 86400, // seconds a refresh token lives
  rotate: true, // a refresh gives a new refresh token; the old one, used again, ends the whole sign-in
  tokenBits: 256, // an access token has a sixth as many characters; 16000 is as long as Microsoft's
  interval: 1, // seconds between two polls of the device flow
});
let settings = SETTINGS;
let failure = { times: 0 };
let log = [];

// The bundled store forgets after 1000 items; this one does not.
const rows = new Map();
const grants = new Map();
class Store {
  constructor(kind) { this.kind = kind; }
  #key(id) { return `${this.kind} ${id}`; }
  #get(key) {
    const row = rows.get(key);
    return row && row.until > Date.now() ? row.payload : undefined;
  }
  async upsert(id, payload, seconds) {
    const key = this.#key(id);
    rows.set(key, { payload, until: seconds ? Date.now() + seconds * 1000 : Infinity });
    if (payload.uid) rows.set(`uid ${payload.uid}`, { payload: key, until: Infinity });
    if (payload.userCode) rows.set(`code ${payload.userCode}`, { payload: key, until: Infinity });
    if (payload.grantId) {
      if (!grants.has(payload.grantId)) grants.set(payload.grantId, new Set());
      grants.get(payload.grantId).add(key);
    }
  }
  async find(id) { return this.#get(this.#key(id)); }
  async findByUid(uid) { return this.#get(this.#get(`uid ${uid}`)); }
  async findByUserCode(code) { return this.#get(this.#get(`code ${code}`)); }
  async consume(id) { rows.get(this.#key(id)).payload.consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { rows.delete(this.#key(id)); }
  async revokeByGrantId(id) {
    for (const key of grants.get(id) ?? []) rows.delete(key);
    rows.delete(`Grant ${id}`);
    grants.delete(id);
  }
}

// RFC 8252 section 7.3: a native client's loopback redirect matches on any port.
const redirects = ['127.0.0.1', 'localhost', '[::1]'].flatMap((host) => [`http://${host}/`, `http://${host}/callback`]);
const app = { application_type: 'native', redirect_uris: redirects, grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE] };
const service = { redirect_uris: [], response_types: [] };
const clients = [
  { client_id: 'app', token_endpoint_auth_method: 'none', ...app },
  { client_id: 'app-with-secret', client_secret: 'not so secret: 1+1=2', ...app },
  { client_id: 'newsletter', client_secret: 'newsletter-secret', grant_types: ['client_credentials'], ...service },
  { client_id: 'mail-server', client_secret: 'mail-server-secret', grant_types: [], ...service }, // may introspect
];

function configuration() {
  return {
    adapter: Store,
    clients,
    scopes: ['openid', 'offline_access', 'email', 'profile', 'smtp', 'https://mail.google.com/', 'https://outlook.office.com/SMTP.Send'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
    cookies: { keys: ['one run of the tests'] },
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true }, // pages that take any login with any password
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    ttl: {
      AccessToken: () => settings.access,
      ClientCredentials: () => settings.access,
      RefreshToken: () => settings.refresh,
      DeviceCode: 600, Grant: 86400, IdToken: 3600, Interaction: 3600, Session: 86400,
    },
    rotateRefreshToken: () => settings.rotate,
    issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    formats: { bitsOfOpaqueRandomness: (ctx, token) => (token.kind === 'AccessToken' ? settings.tokenBits : 256) },
    // Dovecot reads the mailbox from the introspection's `username`.
    extraTokenClaims: (ctx, token) => ({ username: token.accountId ?? `${token.clientId}@example.test` }),
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id, email_verified: true, name: id.split('@')[0], preferred_username: id }),
    }),
  };
}

async function knobs(ctx, next) {
  const [, test, knob] = ctx.path.split('/');
  if (test !== 'test') return next();
  const asked = ctx.method === 'POST' ? JSON.parse((await text(ctx.req)) || '{}') : {};
  if (knob === 'settings') {
    [settings, failure, log] = [{ ...SETTINGS, ...asked }, { times: 0 }, []];
  } else if (knob === 'client') {
    await new Store('Client').upsert(asked.client_id, asked);
  } else if (knob === 'fail') {
    failure = { times: 1, headers: {}, body: '', ...asked };
  } else if (knob === 'end-access-tokens') {
    for (const key of rows.keys()) if (key.startsWith('AccessToken ')) rows.delete(key);
  } else if (knob === 'revoke') {
    for (const id of [...grants.keys()]) await new Store('Grant').revokeByGrantId(id);
  }
  ctx.body = knob === 'log' ? log : {};
}

async function plannedFailures(ctx, next) {
  if (ctx.path !== '/token' || failure.times < 1) return next();
  failure.times -= 1;
  ctx.status = failure.status;
  ctx.set(failure.headers);
  ctx.body = failure.body;
  log.push({ path: ctx.path, status: ctx.status });
}

// RFC 8628 section 3.2 `interval` and section 3.5 `slow_down`, which the library leaves to others.
const lastPoll = new Map();
function pace(ctx) {
  const { route, params } = ctx.oidc ?? {};
  if (route === 'device_authorization' && ctx.status === 200) ctx.body = { ...ctx.body, interval: settings.interval };
  if (route !== 'token' || ctx.body?.error !== 'authorization_pending') return;
  const before = lastPoll.get(params.device_code);
  lastPoll.set(params.device_code, Date.now());
  if (before && Date.now() - before < settings.interval * 1000 - 50) ctx.body = { error: 'slow_down' };
}

async function watched(ctx, next) {
  await next();
  pace(ctx);
  const { params, client } = ctx.oidc ?? {};
  log.push({ path: ctx.path, status: ctx.status, grant: params?.grant_type, client: client?.clientId, error: ctx.body?.error });
}

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  for (const step of [knobs, plannedFailures, watched]) provider.use(step);
  server.on('request', provider.callback());
  console.log(`READY ${issuer}`);
});
