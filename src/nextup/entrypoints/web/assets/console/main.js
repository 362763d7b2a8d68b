// Which page is shown, and how often it looks again while somebody looks at it.

import { find, h } from "../shared/dom.js";
import { signOut, signedIn } from "../shared/api.js";
import { watchForSignIn } from "../shared/sign-in.js";
import * as pages from "./pages.js";

const PAGES = [
  ["", "Overview", pages.overview], ["runs", "Pipeline", pages.runs], ["models", "Models", pages.models], ["data", "Data", pages.data],
  ["what-if", "What if", pages.whatIf], ["replay", "Replay", pages.replay], ["clients", "Clients", pages.clients],
];
const content = find("#content");
let timer;
let turn = 0;

const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

async function show({ fresh = false } = {}) {
  clearTimeout(timer);
  const mine = ++turn;
  const [name, ...rest] = route();
  const [, title, page] = PAGES.find(([path]) => path === name) ?? PAGES[0];
  if (fresh) {
    content.replaceChildren(h("p", { class: "waiting" }, "Loading …"));
    document.title = `${title} · Nextup console`;
    drawPages(name);
  }
  find("#leave").hidden = !signedIn();
  const place = fresh ? h("div") : (content.firstElementChild ?? h("div"));
  let every = null;
  try {
    every = await page(place, ...rest);
  } catch (problem) {
    if (problem.status === 401) return;
    if (fresh || problem.status) place.replaceChildren(h("h1", {}, title), h("p", { class: "problem", role: "alert" }, problem.message), h("p", {}, problem.cure ?? ""));
    every = problem.status === 0 ? 3 : null;
  }
  if (mine !== turn) return;
  if (place.parentElement !== content) content.replaceChildren(place);
  if (every) timer = setTimeout(() => (document.hidden ? (timer = setTimeout(show, 3000)) : show()), every * 1000);
}

function drawPages(current) {
  find("#pages").replaceChildren(...PAGES.map(([path, title]) => h("a", { href: `#/${path}`, "aria-current": path === current ? "page" : null }, title)));
}

find("#leave").addEventListener("click", () => { signOut(); show({ fresh: true }); });
addEventListener("hashchange", () => show({ fresh: true }).then(() => content.focus({ preventScroll: true })));
document.addEventListener("nextup:again", () => show());
watchForSignIn(() => show({ fresh: true }));
show({ fresh: true });
