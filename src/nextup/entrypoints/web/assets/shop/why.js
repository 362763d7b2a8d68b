// Why something is on a shelf, in words.

import { h } from "../shared/dom.js";
import { part } from "../shared/api.js";

const SOURCES = {
  als: "people whose taste is like yours",
  item_item: "what goes with titles you chose",
  ease: "what goes with titles you chose",
  spectral: "people whose taste is like yours",
  content: "the same genres, makers and themes",
  trending: "what many people choose at the moment",
  popularity: "what most people like",
  published: "your list of last night",
};
const RULES = {
  pinned: "Put here by hand.",
  diversified: "Moved up to keep this shelf varied.",
};

export function why(place) {
  const shares = Object.entries(place.sources ?? {}).sort((a, b) => b[1] - a[1]);
  const total = shares.reduce((sum, [, score]) => sum + Math.max(score, 0), 0);
  const from = SOURCES[place.source] ?? place.source?.replaceAll("_", " ") ?? "this shelf's list";
  return h(
    "div",
    { class: "why" },
    place.because?.length
      ? [
          h("p", {}, "Because of what you did with"),
          h("ul", {}, place.because.map((reason) => h("li", {}, h("a", { href: `#/item/${part(reason.item_id)}` }, reason.title || reason.item_id), " ", share(reason.share)))),
        ]
      : h("p", {}, `It comes from ${from}.`),
    shares.length > 1 &&
      h("p", { class: "soft" }, "Who spoke for it: ",
        shares.filter(([, score]) => score > 0 && total > 0)
          .map(([name, score]) => `${name.replaceAll("_", "-")} ${Math.round((100 * score) / total)}\u00a0%`).join(", ")),
    place.rules?.map((rule) => h("p", { class: "soft" }, RULES[rule] ?? `Rule: ${rule}.`)),
  );
}

function share(of) {
  const percent = Math.round(100 * of);
  return [h("meter", { min: 0, max: 100, value: percent, "aria-hidden": "true" }), h("span", { class: "share" }, `${percent} %`)];
}
