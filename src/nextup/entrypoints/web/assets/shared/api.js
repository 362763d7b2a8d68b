// The API, as any client uses it. Where the server wants to know who asks, the visitor signs in
// with a client of the platform. The token stays in this tab and ends with it; what was typed is
// only held by this page, so that a token that ends is renewed without asking again.

const TOKEN = "nextup.token";
const KEY = /^nxk_/; // a key is sent as it is: it needs no token
let known = null;
let renewing = null;

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.status = problem.status;
    this.cure = problem.cure || "";
    this.problem = problem;
  }
}

export const signedIn = () => sessionStorage.getItem(TOKEN) !== null;

export function signOut() {
  sessionStorage.removeItem(TOKEN);
  known = null;
}

export async function signIn(clientId, secret) {
  if (KEY.test(secret)) {
    await tryKey(secret);
    return;
  }
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: clientId, client_secret: secret });
  const answer = await ask("POST", "/v1/token", body);
  sessionStorage.setItem(TOKEN, answer.access_token);
  known = { clientId, secret };
}

// A key that may not read is a good key all the same.
async function tryKey(key) {
  const answer = await fetch("/v1/items?limit=1", { headers: { Authorization: `Bearer ${key}` } });
  if (answer.status === 401) throw new Refused({ status: 401, detail: "This key is not known here, or was revoked." });
  sessionStorage.setItem(TOKEN, key);
}

// Several requests find the token ended at once; one renews it for all. Resolves to whether it did.
function renew() {
  if (!known) return Promise.resolve(false);
  const { clientId, secret } = known;
  known = null; // a password that was changed is tried once
  renewing ??= signIn(clientId, secret).then(() => true, () => false).finally(() => (renewing = null));
  return renewing;
}

export const get = (path, parameters) => ask("GET", withQuery(path, parameters));
export const post = (path, body) => ask("POST", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

export const part = encodeURIComponent;

function withQuery(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function ask(method, path, body, again = true) {
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token && path !== "/v1/token") headers.Authorization = `Bearer ${token}`;
  const form = body instanceof URLSearchParams;
  if (body !== undefined && !form) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined || form ? body : JSON.stringify(body) });
  } catch {
    throw new Refused({ status: 0, detail: "The server does not answer.", cure: "See whether it runs, then try again." });
  }
  const text = await answer.text();
  const content = text && answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  if (!answer.ok) {
    if (answer.status === 401 && path !== "/v1/token") {
      const newer = sessionStorage.getItem(TOKEN) !== token; // another request renewed it meanwhile
      if (again && (newer || (await (renewing ?? renew())))) return ask(method, path, body, false);
      signOut();
      document.dispatchEvent(new CustomEvent("nextup:sign-in", { detail: { ended: token !== null } }));
    }
    throw new Refused(content?.title ? content : { status: answer.status, detail: `The server answered ${answer.status}.` });
  }
  return content;
}
