// What the console's pages are built of.

import { h } from "../shared/dom.js";

export const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : Number(value).toLocaleString(undefined, { maximumFractionDigits: digits });

// Large figures without digits that say nothing, small ones with those that do.
export const figure = (value) =>
  value === null || value === undefined ? "–" : Number(value).toLocaleString(undefined, Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 });
export const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 4)}`;

// Whether a page that looks again is told the same as before, and can stay as it stands.
export function unchanged(place, ...told) {
  const text = JSON.stringify(told);
  const same = place.told === text;
  place.told = text;
  return same;
}

export const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);
export const pairs = (counts) => Object.entries(counts).map(([name, value]) => `${name} ${number(value)}`).join(", ") || "none";

export const moment = (text) =>
  text ? h("time", { datetime: text, title: text }, new Date(text).toLocaleString()) : "–";

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value ? Math.min(Math.floor(Math.log10(value) / 3), 4) : 0;
  return `${(value / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

const STATES = { succeeded: "good", running: "warn", failed: "bad", interrupted: "bad" };
export const state = (text, kind = STATES[text] ?? "warn") => h("span", { class: `state ${kind}` }, text);

export const tile = (name, value, more = "") =>
  h("dl", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "more" }, more));

// What scrolls sideways in it is called as it is: a listener can tell one table from the next.
export function panel(title, ...content) {
  const made = h("section", { class: "panel" }, h("h2", {}, title), content);
  for (const region of made.querySelectorAll("[role=region]")) region.setAttribute("aria-label", title);
  return made;
}

export const problemOf = (problem) =>
  h("div", {}, h("p", { class: "problem", role: "alert" }, problem.message), problem.cure && h("p", {}, problem.cure));

// Columns are [heading, row -> cell, "number"?].
export function table(columns, rows, empty = "Nothing yet.") {
  if (!rows.length) return h("p", { class: "soft" }, empty);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map(([name, , kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "hidden" }, "More"))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, cell, kind]) => h("td", { class: kind }, cell(row))))))));
}

// Asks before something changes; resolves to whether to go on.
export function sure(question, act) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "sure", onclose: () => { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      h("form", { method: "dialog" },
        h("h2", { id: "sure" }, question),
        h("div", { class: "acts" },
          h("button", { class: "main", value: "yes" }, act),
          h("button", { value: "no", autofocus: true }, "Leave it"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}
