// Every new model is an experiment: what it was tried against before it might serve, and what came
// of it.

import { find, h } from "../../shared/dom.js";
import { get, part } from "../../shared/api.js";
import { OPERATIONS } from "../acting.js";
import { draw } from "../chart.js";
import { moment, number, panel, signed, state, table, unchanged } from "../parts.js";

const LOOKS_AGAIN_SECONDS = 10;
const RIVALS = { popularity: "popularity", in_service: "the one in service", fixed_blend: "fixed weights" };
const FOUND = { better: "good", worse: "bad", "no difference shown": "warn" };

export async function experiments(place) {
  const { models } = await get(`${OPERATIONS}/models`, { limit: 50 });
  if (unchanged(place, models)) return LOOKS_AGAIN_SECONDS;
  const tried = models.flatMap((model) => model.experiments.map((one) => ({ ...one, model })));
  place.replaceChildren(
    h("h1", {}, "Experiments"),
    h("p", { class: "soft" }, "Before a new model may serve, it ranks a past that it has not seen, for the same people as what it would replace. The difference counts, person by person, with the interval within which chance moves it. Nobody is served by an experiment: everybody sees the model in service."),
    panel("Differences and their intervals", h("div", { class: "chart", id: "differences" })),
    panel("Trials", table([
      ["Model", ({ model }) => h("a", { href: `#/models/${part(model.model_id)}` }, model.model_id)], ["Made", ({ model }) => moment(model.created_at)],
      ["Against", (one) => RIVALS[one.against] ?? one.against],
      ["Difference", (one) => [`${signed(one.mean)} ${one.metric}`, h("span", { class: "soft" }, ` (${signed(one.low)} to ${signed(one.high)})`)], "number"],
      ["People", (one) => number(one.people), "number"], ["Found", (one) => state(one.found, FOUND[one.found])],
      ["Then", ({ model }) => (model.in_service ? "in service" : model.passed ? "passed" : "held back")],
    ], tried, "The gate has tried no model yet. The next run of the pipeline does.")),
    panel("By hand",
      h("p", {}, "Any two recipes, or a model and a recipe, can be tried against each other on the same past, without changing anything; a page with plots comes of it:"),
      h("pre", { tabindex: "0" }, "nextup evaluate --compare configured item_item --report trial.html")));
  await draw(find("#differences", place), "/console/charts/experiments", {}, "How much better the last models were than their rivals");
  return LOOKS_AGAIN_SECONDS;
}
