// The storefront's other pages: everything for you, one title, search, history, a first visit.

import { h, say } from "../shared/dom.js";
import { get, part, post } from "../shared/api.js";
import { complain } from "../shared/toast.js";
import { act, addPerson, choose, history, people, person } from "./person.js";
import { card, changed, dismiss, like, linkTo, stars, takeBack } from "./card.js";
import { cover } from "./cover.js";
import { byItem, drawShelf } from "./shelves.js";
import { why } from "./why.js";

const PICKS = 3;
const PAGE = 60;
const DID = { view: "Looked at", click: "Opened", like: "Liked", rating: "Rated", dismiss: "Not for me" };

// Three titles are enough to begin with.
export function firstVisit(popular) {
  const picked = new Set();
  const left = h("p", { role: "status" }, `Pick ${PICKS}.`);
  const choice = (item) => {
    const button = h("button", {
      class: "pick", "aria-pressed": "false", "aria-label": `Pick ${item.title}`,
      onclick: async () => {
        if (picked.has(item.item_id)) return;
        picked.add(item.item_id);
        button.setAttribute("aria-pressed", "true");
        left.textContent = picked.size < PICKS ? `${PICKS - picked.size} more.` : "Here we go.";
        try {
          await act("like", item.item_id);
          if (picked.size >= PICKS) changed();
        } catch (problem) {
          complain(problem);
        }
      },
    }, cover(item));
    return h("li", {}, button);
  };
  return h("section", { class: "start", "aria-labelledby": "start-title" },
    h("h1", { id: "start-title" }, "What do you like?"),
    h("p", {}, "Nobody knows you here yet. Pick three titles, and the shelves below become yours."),
    h("p", {}, "Or look through somebody else's eyes: ", others()),
    left,
    h("ul", { class: "grid" }, varied(popular, 18).map(choice)));
}

const others = () =>
  people().filter((one) => one.genre).map((one) => h("button", { onclick: () => become(() => choose(one.id)) }, one.name));

function become(somebody) {
  somebody();
  document.dispatchEvent(new CustomEvent("nextup:person"));
}

// Well known titles, no genre more than three times.
function varied(items, limit) {
  const counts = new Map();
  return items.filter((item) => {
    const genre = item.genres?.[0] ?? "";
    counts.set(genre, (counts.get(genre) ?? 0) + 1);
    return counts.get(genre) <= 3;
  }).slice(0, limit);
}

// One list to its end: the next page is asked for when the last card comes near.
export async function forYou(kind) {
  const mine = byItem(await history());
  const own = `/v1/users/${part(person().id)}/recommendations`;
  const grid = h("ul", { class: "grid" });
  const more = h("button", { class: "main", onclick: () => load() }, "More");
  let page = null;
  let asking = false;
  async function load() {
    if (asking || page === "") return;
    asking = true;
    try {
      const answer = await get(own, page ? { page, limit: PAGE } : { kind, limit: PAGE, explain: true });
      grid.append(...answer.items.map((item) => card(item, { list: answer.token, mine, explained: true })));
      page = answer.next_page ?? "";
      more.hidden = page === "";
      say(`${grid.children.length} titles`);
    } catch (problem) {
      complain(problem);
    } finally {
      asking = false;
      near.disconnect();
      if (page) near.observe(more);
    }
  }
  // Told of changes only: observed anew after each page, for one that leaves the button in sight.
  const near = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && load(), { rootMargin: "600px" });
  await load();
  return [h("div", { class: "page-title" }, h("h1", {}, "For you")), grid, h("p", {}, more)];
}

export async function itemPage(itemId) {
  const [item, acts] = await Promise.all([get(`/v1/items/${part(itemId)}`), history()]);
  const mine = byItem(acts);
  const [similar, ranked] = await Promise.all([
    get(`/v1/items/${part(itemId)}/similar`, { limit: 18 }).catch(() => ({ items: [] })),
    post("/v1/rerank", { items: [itemId], user_id: person().id, explain: true }).catch(() => null),
  ]);
  const place = ranked?.items?.[0];
  if (place) place.because = place.because?.filter((reason) => reason.item_id !== itemId);
  const rated = acts.find((one) => one.item_id === itemId && one.type === "rating")?.value;
  const facts = [["Year", item.year], ["By", item.makers.join(", ")], ["About", item.keywords.join(", ")]];
  return [
    h("article", { class: "item" },
      cover(item),
      h("div", {},
        h("h1", {}, item.title),
        h("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
        h("p", { class: "tags" }, item.genres.map((genre) => h("a", { href: `#/search/${part(genre)}/genre` }, genre))),
        h("div", { class: "acts" }, like(item, null, mine), stars(item, null, rated), dismiss(item, null, { spelt: true })),
        place && [h("h2", {}, mine.has(itemId) ? "What speaks for it besides" : "Why it may be for you"), why(place)])),
    similar.items.length > 0 && drawShelf({ key: "similar", title: `Similar to ${item.title}`, items: similar.items }, mine),
  ];
}

export async function searchPage(words, kind, genre) {
  const asked = genre ? { filter: `genre in ["${words.replace(/["\\]/g, "\\$&")}"]` } : { q: words };
  const [found, acts] = await Promise.all([get("/v1/items", { ...asked, kind, limit: 60 }), history()]);
  const mine = byItem(acts);
  say(`${found.items.length} titles`);
  return [
    h("div", { class: "page-title" }, h("h1", {}, genre ? words : `“${words}”`),
      h("p", { class: "soft" }, found.items.length ? `${found.items.length}${found.next_cursor ? " or more" : ""} titles` : "Nothing has such a title.")),
    h("ul", { class: "grid" }, found.items.map((item) => card(item, { mine }))),
  ];
}

export async function historyPage() {
  const acts = (await history()).filter((one) => one.type !== "impression");
  const entry = (one) =>
    h("li", {},
      h("span", { class: "soft" }, DID[one.type] ?? one.type, one.value ? ` ${one.value}` : ""),
      h("a", { href: linkTo(one) }, one.title || one.item_id),
      h("time", { datetime: one.occurred_at }, new Date(one.occurred_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })),
      h("button", { onclick: () => takeBack(one) }, "Take back", h("span", { class: "hidden" }, ` ${one.title}`)));
  return [
    h("div", { class: "page-title" }, h("h1", {}, "History"), h("p", { class: "soft" }, person().name),
      h("button", { onclick: () => become(addPerson) }, "Start from nothing, as somebody new")),
    acts.length ? h("ul", { class: "history" }, acts.map(entry)) : h("p", {}, "Nothing yet. Like something, and it shows here."),
  ];
}
