// The API, as any client uses it. Where the server wants to know who asks, the visitor signs in
// with a client of the platform; the token stays in this tab and ends with it.

const TOKEN = "nextup.token";

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.status = problem.status;
    this.cure = problem.cure || "";
    this.problem = problem;
  }
}

export const signedIn = () => sessionStorage.getItem(TOKEN) !== null;
export const signOut = () => sessionStorage.removeItem(TOKEN);

export async function signIn(clientId, secret) {
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: clientId, client_secret: secret });
  const answer = await ask("POST", "/v1/token", body);
  sessionStorage.setItem(TOKEN, answer.access_token);
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

async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
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
    if (answer.status === 401 && !path.startsWith("/v1/token")) {
      signOut();
      document.dispatchEvent(new CustomEvent("nextup:sign-in"));
    }
    throw new Refused(content?.title ? content : { status: answer.status, detail: `The server answered ${answer.status}.` });
  }
  return content;
}
