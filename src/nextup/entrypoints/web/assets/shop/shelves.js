// The shelves of the first page: what each asks the API, and how it is drawn again in place.

import { arrange, h } from "../shared/dom.js";
import { get, part } from "../shared/api.js";
import { history, person } from "./person.js";
import { card, placeholder } from "./card.js";

const PLACES = 18;
const NEW_YEARS = 4; // before the newest title of the catalogue

// What the person did with each item: item id -> types.
export function byItem(acts) {
  const found = new Map();
  for (const one of acts) found.set(one.item_id, (found.get(one.item_id) ?? new Set()).add(one.type));
  return found;
}

export async function loadShelves(kind) {
  const [acts, popular] = await Promise.all([history(), get("/v1/popular", { kind, limit: 100 })]);
  const mine = byItem(acts);
  const own = `/v1/users/${part(person().id)}/recommendations`;
  const genres = await favourites(acts, popular.items, kind);
  const newest = Math.max(...popular.items.map((item) => item.year ?? 0));
  const liked = acts.find((one) => ["like", "rating"].includes(one.type) && (one.value ?? 5) >= 4);
  const wanted = [
    { key: "for-you", title: "For you", more: "#/for-you", explained: true,
      ask: () => get(own, { kind, limit: PLACES, explain: true }) },
    liked && { key: `because-${liked.item_id}`, title: `Because you liked ${liked.title}`,
      ask: () => get(`/v1/items/${part(liked.item_id)}/similar`, { kind, limit: PLACES + 12 }), unseen: true },
    { key: "trending", title: "Trending now", ask: () => get("/v1/trending", { kind, limit: PLACES }) },
    ...genres.map((genre) => ({ key: `genre-${genre}`, title: genre, explained: true,
      ask: () => get(own, { kind, genre, limit: PLACES, explain: true }) })),
    { key: "new", title: "New and worth a try", explained: true,
      ask: () => get(own, { kind, filter: `year >= ${newest - NEW_YEARS}`, limit: PLACES, explain: true }) },
  ].filter(Boolean);
  const answers = await Promise.all(wanted.map((shelf) => shelf.ask().catch(() => null)));
  const shelves = wanted.map((shelf, place) => ({
    ...shelf,
    list: answers[place]?.token ?? null,
    level: answers[place]?.level,
    items: (answers[place]?.items ?? [])
      .filter((item) => !shelf.unseen || !mine.has(item.item_id)).slice(0, PLACES),
  }));
  return { acts, mine, shelves: shelves.filter((shelf) => shelf.items.length), popular: popular.items };
}

// The genres that a person touches most, and then those of the best known titles.
async function favourites(acts, popular, kind) {
  const counts = new Map();
  const add = (genres, by) => genres.forEach((genre) => counts.set(genre, (counts.get(genre) ?? 0) + by));
  popular.slice(0, 40).forEach((item) => add(item.genres ?? [], 0.05));
  const recent = [...new Set(acts.map((one) => one.item_id))].slice(0, 6);
  const items = await Promise.all(recent.map((id) => get(`/v1/items/${part(id)}`).catch(() => null)));
  items.filter((item) => item && (!kind || item.kind === kind)).forEach((item) => add(item.genres, 1));
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 3).map(([genre]) => genre);
}

// Where shelves will be, so that the page stands at once.
export const waitingShelves = () =>
  [1, 2].map(() => h("section", { class: "shelf", "aria-hidden": "true" },
    h("header", {}, h("h2", { class: "waits" })), h("ul", { class: "cards" }, Array.from({ length: 8 }, placeholder))));

export function drawShelf(shelf, mine) {
  const title = `shelf-${shelf.key}`;
  return h("section", { class: "shelf", "aria-labelledby": title, "data-shelf": shelf.key },
    h("header", {},
      h("h2", { id: title }, shelf.title),
      h("p", { class: "note" }, note(shelf)),
      shelf.more && h("a", { class: "more", href: shelf.more }, "See all")),
    h("ul", { class: "cards", tabindex: "0", "aria-labelledby": title }, cards(shelf, mine)));
}

// The same shelf with other items: cards walk to their new places. Says how many changed.
export function redrawShelf(section, shelf, mine) {
  const list = section.querySelector(".cards");
  const before = [...list.children].map((child) => child.dataset.key);
  const moved = shelf.items.filter((item, place) => before[place] !== item.item_id).length;
  section.querySelector("h2").textContent = shelf.title;
  section.querySelector(".note").textContent = moved ? `${moved} of ${shelf.items.length} places changed just now` : note(shelf);
  arrange(list, cards(shelf, mine));
  return moved;
}

const cards = (shelf, mine) =>
  shelf.items.map((item) => card(item, { list: shelf.list, mine, explained: shelf.explained }));

function note(shelf) {
  const levels = { trending: "what is trending, until we know you", popular: "what is popular, until we know you", published: "as of the last run" };
  return shelf.explained ? (levels[shelf.level] ?? "") : "";
}
