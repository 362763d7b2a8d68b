// Models over time, one model, and a change of which serves.

import { find, h } from "../../shared/dom.js";
import { get, part, post } from "../../shared/api.js";
import { OPERATIONS, act, again } from "../acting.js";
import { draw } from "../chart.js";
import { moment, number, panel, state, table, unchanged } from "../parts.js";

const LOOKS_AGAIN_SECONDS = 10;

export async function models(place, id) {
  if (id) return oneModel(place, id);
  const [found, made] = await Promise.all([get(`${OPERATIONS}/models`, { limit: 50 }), get(`${OPERATIONS}/generations`)]);
  const metrics = Object.keys(found.models[0]?.quality?.candidate ?? {});
  const shown = find("#metric")?.value || metrics.find((name) => name.startsWith("ndcg")) || metrics[0] || "";
  if (unchanged(place, found, made, shown)) return LOOKS_AGAIN_SECONDS;
  place.replaceChildren(
    h("h1", {}, "Models"),
    h("div", { class: "bar" },
      h("label", {}, "Metric", h("select", { id: "metric", onchange: again }, metrics.map((name) => h("option", { selected: name === shown }, name)))),
      found.previous.length > 0 && h("button", { onclick: () => act(`Go back from ${found.current} to ${found.previous[0]}?`, "Roll back", () => post(`${OPERATIONS}/rollback?expected=${part(found.current)}`, {}), "The model before is in service.") }, "Roll back")),
    panel(`${shown || "Quality"} over time`, h("div", { class: "chart", id: "quality" })),
    panel("Registry", table([
      ["Model", (one) => h("a", { href: `#/models/${part(one.model_id)}` }, one.model_id)], ["State", (one) => (one.in_service ? state("in service", "good") : one.passed ? "passed" : state("held back", "bad"))],
      ["Made", (one) => moment(one.created_at)], ["Of", (one) => one.component], [shown || "quality", (one) => number(one.quality.candidate?.[shown], 4), "number"],
      ["Gate", (one) => one.verdict], ["", (one) => !one.in_service && promote(one)],
    ], found.models, "No model was trained yet.")),
    panel("Published lists", table([
      ["Generation", (one) => one.generation], ["State", (one) => (one.in_service ? state("in service", "good") : one.stored ? "stored" : "gone")], ["Lists", (one) => number(one.lists), "number"], ["Published", (one) => moment(one.published_at)],
      ["", (one) => one.stored && !one.in_service && h("button", { onclick: () => act(`Serve the lists of ${one.generation}?`, "Switch", () => post(`${OPERATIONS}/generations/${part(one.generation)}/switch`, {}), "Switched.") }, "Switch")],
    ], made.generations, "Nothing was published yet.")));
  await draw(find("#quality", place), "/console/charts/quality", { metric: shown }, `${shown} of the last models`);
  return LOOKS_AGAIN_SECONDS;
}

const promote = (one) =>
  h("button", { onclick: () => act(`Put ${one.model_id} in service? ${one.passed ? "" : "The gate held it back."}`, "Promote", () => post(`${OPERATIONS}/models/${part(one.model_id)}/promote`, {}), `${one.model_id} is in service.`) }, "Promote");

async function oneModel(place, id) {
  const one = await get(`${OPERATIONS}/models/${part(id)}`);
  const names = [...new Set(Object.values(one.quality).flatMap(Object.keys))];
  place.replaceChildren(
    h("h1", {}, one.model_id),
    h("p", {}, one.in_service ? state("in service", "good") : one.passed ? state("passed", "good") : state("held back", "bad"), ` ${one.verdict}`),
    !one.in_service && h("p", {}, promote(one)),
    panel("Quality on its test", table([["Who", ([who]) => who], ...names.map((name) => [name, ([, figures]) => number(figures[name], 4), "number"])], Object.entries(one.quality))),
    h("div", { class: "two" }, panel("All figures, with intervals", h("pre", { tabindex: "0" }, JSON.stringify(one.metrics, null, 2))), panel("Where it comes from", h("pre", { tabindex: "0" }, JSON.stringify(one.lineage, null, 2)))));
  return null;
}
