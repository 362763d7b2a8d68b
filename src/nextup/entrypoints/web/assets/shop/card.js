// One title, with what a person can do to it in place.

import { h } from "../shared/dom.js";
import { complain, toast } from "../shared/toast.js";
import { part } from "../shared/api.js";
import { act } from "./person.js";
import { cover } from "./cover.js";
import { why } from "./why.js";

export const linkTo = (item) => `#/item/${part(item.item_id)}`;

// What has changed is told to the page, which looks at its shelves again.
export const changed = () => document.dispatchEvent(new CustomEvent("nextup:changed"));

let asked = 0; // reasons so far, for their ids

export function card(item, { list = null, mine = new Map(), explained = false } = {}) {
  return h(
    "li",
    { class: "card", "data-key": item.item_id },
    cover(item, { href: linkTo(item), tabindex: "-1", "aria-hidden": "true" }),
    h("a", { class: "name", href: linkTo(item) }, item.title || item.item_id),
    h("p", { class: "facts" }, [item.year, ...(item.genres ?? []).slice(0, 2)].filter(Boolean).join(" · ")),
    h("div", { class: "acts" }, like(item, list, mine), dismiss(item, list), explained && reasons(item)),
  );
}

// A card that is still to come.
export const placeholder = () =>
  h("li", { class: "card waits", "aria-hidden": "true" }, h("div", { class: "cover" }), h("p", { class: "name" }), h("p", { class: "facts" }));

// The reasons float over the shelf; Escape or a look elsewhere closes them.
function reasons(item) {
  const id = `why-${++asked}`;
  const told = h("div", {
    id, class: "reasons", popover: "auto", role: "note", "aria-label": `Why ${item.title || item.item_id}`,
    onbeforetoggle: (event) => event.newState === "open" && !told.firstChild && told.append(why(item)),
    ontoggle: (event) => event.newState === "open" && placeBelow(told, button),
  });
  const button = h("button", { popovertarget: id }, "Why?", h("span", { class: "hidden" }, ` ${item.title || item.item_id}`));
  return [button, told];
}

const GAP = 8; // pixels

function placeBelow(told, button) {
  const at = button.getBoundingClientRect();
  const left = Math.min(at.left, document.documentElement.clientWidth - told.offsetWidth - GAP);
  const below = at.bottom + GAP + told.offsetHeight <= innerHeight;
  const top = below ? at.bottom + GAP : Math.max(GAP, at.top - told.offsetHeight - GAP);
  told.style.setProperty("left", `${Math.max(GAP, left) + scrollX}px`);
  told.style.setProperty("top", `${top + scrollY}px`);
}

export function like(item, list, mine) {
  const liked = mine.get(item.item_id)?.has("like") ?? false;
  return h("button", {
    "aria-pressed": String(liked),
    onclick: () => (liked ? takeBack(item) : tell(item, "like", `You like “${item.title}”.`, list)),
  }, liked ? "♥ Liked" : "♡ Like", h("span", { class: "hidden" }, ` ${item.title}`));
}

export function dismiss(item, list, { spelt = false } = {}) {
  return h("button", {
    title: "Not for me",
    onclick: () => tell(item, "dismiss", `“${item.title}” will not come again.`, list),
  }, spelt ? "✕ Not for me" : "✕", h("span", { class: "hidden" }, spelt ? `: ${item.title}` : ` Not for me: ${item.title}`));
}

export function stars(item, list, rated) {
  return h("fieldset", { class: "stars" },
    h("legend", { class: "hidden" }, `Rate ${item.title}`),
    [1, 2, 3, 4, 5].map((value) =>
      h("button", {
        class: value <= (rated ?? 0) ? "lit" : "",
        "aria-pressed": String(value === rated),
        onclick: () => tell(item, "rating", `${value} of 5 for “${item.title}”.`, list, { value }),
      }, value <= (rated ?? 0) ? "★" : "☆", h("span", { class: "hidden" }, ` ${value} of 5`))));
}

async function tell(item, type, said, list, more = {}) {
  try {
    await act(type, item.item_id, { ...more, ...(list && { recommendation_id: list }) });
    toast(said, () => takeBack(item));
    changed();
  } catch (problem) {
    complain(problem);
  }
}

export async function takeBack(item) {
  try {
    await act("retract", item.item_id);
    toast(`Taken back: “${item.title}”.`);
    changed();
  } catch (problem) {
    complain(problem);
  }
}
