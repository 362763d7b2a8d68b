// A person's list taken apart, and a served list shown again.

import { h } from "../../shared/dom.js";
import { get, part, post } from "../../shared/api.js";
import { OPERATIONS, again } from "../acting.js";
import { figure, moment, number, panel, problemOf, table } from "../parts.js";

export async function whatIf(place, userId = "", compare = "") {
  const ask = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const to = ["what-if", given.get("user"), given.get("compare") ?? ""].map(part).join("/");
    if (location.hash === `#/${to}`) again(); else location.hash = `#/${to}`;
  };
  const before = (await get(`${OPERATIONS}/models`, { limit: 1 })).previous[0];
  const answer = h("div");
  place.replaceChildren(
    h("h1", {}, "What if"),
    h("form", { class: "bar", onsubmit: ask },
      h("label", {}, "Person", h("input", { name: "user", required: true, value: userId, placeholder: "user id" })),
      h("label", {}, "Beside", h("select", { name: "compare" }, h("option", { value: "" }, "nothing"),
        h("option", { value: "previous", selected: compare === "previous", disabled: !before }, before ? `the model before, ${before}` : "the model before: there is none"))),
      h("button", { class: "main" }, "Take apart")),
    answer);
  if (userId) fill(answer, async () => {
    const told = await post(`${OPERATIONS}/what-if`, { user_id: userId, limit: 15, ...(compare && before && { compare }) });
    return [
      h("div", { class: "two" }, anatomy("The list now", told.list), told.compared && anatomy("Under the model before", told.compared)),
      h("div", { class: "two" }, told.list.sources.map(source))];
  });
  return null;
}

// The form stays while the answer is under way, and when there is none.
async function fill(place, ask) {
  place.replaceChildren(h("p", { class: "waiting" }, "Asking …"));
  place.replaceChildren(...(await ask().catch((problem) => [problemOf(problem)])));
}

const source = (one) =>
  panel(`${one.source}, weight ${number(one.weight, 3)}`,
    table([["Candidate", (item) => h("span", { class: item.allowed ? "" : "out" }, item.title || item.item_id)], ["Its score", (item) => figure(item.score), "number"], ["Of the whole", (item) => figure(item.part), "number"], ["Rules", (item) => (item.allowed ? "" : "left out")]], one.candidates.slice(0, 12), "It has no candidates for this person."));

const anatomy = (title, list) =>
  panel(title,
    h("p", { class: "soft" }, `${list.level}; ${number(list.allowed)} of ${number(list.catalogue)} items allowed, ${number(list.consumed)} known already. Rules: ${list.rules.join(", ") || "none"}.`),
    places(list.items));

const places = (items) =>
  h("ol", { class: "places" }, items.map((one) => h("li", { value: one.rank }, `${one.title || one.item_id} `, h("span", { class: "soft" }, `${number(one.score, 3)} · ${one.source}`, one.because.length ? ` · because of ${one.because.map((reason) => `${reason.title || reason.item_id} ${Math.round(reason.share * 100)} %`).join(", ")}` : "", one.rules.length ? ` · ${one.rules.join(", ")}` : ""))));

export async function replay(place, token = "") {
  place.replaceChildren(
    h("h1", {}, "Replay"),
    h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); location.hash = `#/replay/${part(new FormData(event.target).get("token"))}`; } },
      h("label", {}, "Token of a served list", h("input", { name: "token", required: true, value: token, size: 34 })),
      h("button", { class: "main" }, "Show")),
    h("div"));
  if (token) fill(place.lastElementChild, async () => {
    const found = await get(`/v1/served/${part(token)}`);
    return [panel(`What ${found.user_id || "somebody without a name"} was shown`,
      h("p", { class: "soft" }, moment(found.served_at), ` · ${found.level} · model ${found.model_id ?? "none"}`), places(found.items))];
  });
  return null;
}
