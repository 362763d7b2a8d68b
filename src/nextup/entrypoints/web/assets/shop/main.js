// Which page is shown, for whom, and when it is looked at again.

import { Refused, signOut, signedIn } from "../shared/api.js";
import { find, h, keepPlace, say } from "../shared/dom.js";
import { watchForSignIn } from "../shared/sign-in.js";
import { addPerson, choose, people, person } from "./person.js";
import { drawShelf, loadShelves, redrawShelf, waitingShelves } from "./shelves.js";
import { firstVisit, forYou, historyPage, itemPage, searchPage } from "./views.js";

const KIND = "nextup.kind";
const KINDS = [["", "All"], ["film", "Films"], ["book", "Books"]];
const TYPING_MILLISECONDS = 180;
const content = find("#content");
let shown = 0; // which showing is the latest; an older one that comes late is dropped

const kind = () => sessionStorage.getItem(KIND) ?? "";
const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

async function show({ keep = false } = {}) {
  const mine = ++shown;
  const [page, ...rest] = route();
  try {
    if (!keep && page === "") put([h("p", { class: "hidden" }, "Loading …"), waitingShelves()], false);
    if (page === "") return await shelvesPage(mine, keep);
    const pages = {
      "for-you": () => forYou(kind()),
      item: () => itemPage(rest[0]),
      search: () => searchPage(rest[0] ?? "", kind(), rest[1] === "genre"),
      history: historyPage,
    };
    const made = await (pages[page] ?? notThere)();
    if (mine === shown) put(made, keep);
  } catch (problem) {
    if (!(problem instanceof Refused)) throw problem;
    if (mine === shown && problem.status !== 401) put([h("h1", {}, "That did not work"), h("p", { class: "problem", role: "alert" }, problem.message), h("p", {}, problem.status === 404 ? toShelves() : (problem.cure ?? ""))], keep);
  } finally {
    find("#leave").hidden = !signedIn();
  }
}

const toShelves = () => h("a", { href: "#/" }, "To the shelves");
const notThere = () => [h("h1", {}, "There is no such page"), h("p", {}, toShelves())];

async function shelvesPage(turn, keep) {
  const { acts, mine, shelves, popular } = await loadShelves(kind());
  if (turn !== shown) return;
  const sections = new Map([...content.querySelectorAll("[data-shelf]")].map((one) => [one.dataset.shelf, one]));
  if (!keep || !sections.size) {
    put([acts.length ? heading() : firstVisit(popular), ...shelves.map((shelf) => drawShelf(shelf, mine))], keep);
    return;
  }
  let moved = 0;
  keepPlace(content, () => {
    const wanted = shelves.map((shelf) => {
      const section = sections.get(shelf.key);
      if (section) moved += redrawShelf(section, shelf, mine);
      return section ?? drawShelf(shelf, mine);
    });
    const start = content.querySelector(".start");
    content.replaceChildren(start && !acts.length ? start : heading(), ...wanted);
  });
  say(moved ? `${moved} places on the shelves changed` : "The shelves stay as they are");
}

// The page's name, for who listens to it; the shelves say the rest.
const heading = () => h("h1", { class: "hidden" }, `The shelves of ${person().name.replace(/^A /, "a ")}`);

function put(made, keep) {
  const draw = () => content.replaceChildren(...made.flat(Infinity).filter(Boolean));
  if (keep) return keepPlace(content, draw);
  draw();
  document.title = [find("h1, h2", content)?.textContent, "Nextup"].filter(Boolean).join(" · ");
  scrollTo(0, 0);
}

function drawKinds() {
  find("#kinds").replaceChildren(...KINDS.map(([value, name]) =>
    h("a", {
      href: "#/", "aria-current": kind() === value ? "true" : null,
      onclick: (event) => { event.preventDefault(); sessionStorage.setItem(KIND, value); drawKinds(); route()[0] === "item" ? (location.hash = "#/") : show(); },
    }, name)));
}

function drawPeople() {
  const chosen = person();
  find("#who").replaceChildren(
    ...people().map((one) => h("option", { value: one.id, selected: one.id === chosen.id }, one.name)),
    h("option", { value: "" }, "Somebody new …"));
}

find("#who").addEventListener("change", (event) => {
  if (event.target.value) choose(event.target.value);
  else addPerson();
  document.dispatchEvent(new CustomEvent("nextup:person"));
});
document.addEventListener("nextup:person", () => { drawPeople(); route()[0] === "" ? show() : (location.hash = "#/"); });
find("#leave").addEventListener("click", () => { signOut(); show(); });

let typing;
find("#words").addEventListener("input", (event) => {
  clearTimeout(typing);
  const words = event.target.value.trim();
  typing = setTimeout(() => {
    const to = words ? `#/search/${encodeURIComponent(words)}` : "#/";
    history.replaceState(null, "", to);
    show();
  }, TYPING_MILLISECONDS);
});
function showWords() {
  const [page, words, by] = route();
  find("#words").value = page === "search" && !by ? (words ?? "") : "";
}
find("#search").addEventListener("submit", (event) => event.preventDefault());

addEventListener("hashchange", () => {
  showWords();
  show().then(() => content.focus({ preventScroll: true }));
});
document.addEventListener("nextup:changed", () => show({ keep: true }));
watchForSignIn(() => show());
drawKinds();
drawPeople();
showWords();
show();
