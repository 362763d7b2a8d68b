// Which page is shown, and how often it looks again while somebody looks at it.

import { find, h } from "../shared/dom.js";
import { Refused, signOut, signedIn } from "../shared/api.js";
import { askWho, watchForSignIn } from "../shared/sign-in.js";
import { problemOf } from "./parts.js";
import { clients } from "./pages/clients.js";
import { compare } from "./pages/compare.js";
import { data } from "./pages/data.js";
import { experiments } from "./pages/experiments.js";
import { models } from "./pages/models.js";
import { overview } from "./pages/overview.js";
import { replay, whatIf } from "./pages/what-if.js";
import { runs } from "./pages/runs.js";

const PAGES = [
  ["", "Overview", overview], ["runs", "Pipeline", runs], ["models", "Models", models], ["compare", "Compare", compare], ["experiments", "Experiments", experiments],
  ["data", "Data", data], ["what-if", "What if", whatIf], ["replay", "Replay", replay], ["clients", "Clients", clients],
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
    if (problem.status === 401) return; // the dialog is there, and shows the page when it closes
    if (!(problem instanceof Refused)) throw problem;
    if (fresh || problem.status) {
      const other = problem.status === 403 ? [h("p", {}, h("button", { onclick: askWho }, "Sign in as another client"))] : [];
      place.replaceChildren(h("h1", {}, title), problemOf(problem), ...other);
    }
    every = problem.status === 0 ? 3 : null;
  }
  if (mine !== turn) return;
  if (place.parentElement !== content) content.replaceChildren(place);
  if (every) timer = setTimeout(() => (document.hidden ? (timer = setTimeout(show, 3000)) : show()), every * 1000);
}

function drawPages(current) {
  find("#pages").replaceChildren(...PAGES.map(([path, title]) => h("a", { href: `#/${path}`, "aria-current": path === current ? "page" : null }, title)));
  find("#pages [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
}

find("#leave").addEventListener("click", () => { signOut(); show({ fresh: true }); });
addEventListener("hashchange", () => show({ fresh: true }).then(() => content.focus({ preventScroll: true })));
document.addEventListener("nextup:again", () => show());
watchForSignIn(() => show({ fresh: true }));
show({ fresh: true });
