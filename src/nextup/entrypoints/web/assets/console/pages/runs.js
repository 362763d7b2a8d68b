// The pipeline: its runs, one run, and a way to begin one.

import { find, h } from "../../shared/dom.js";
import { get, part, post } from "../../shared/api.js";
import { OPERATIONS, act } from "../acting.js";
import { draw } from "../chart.js";
import { moment, number, pairs, panel, span, state, table } from "../parts.js";

export const runLine = (run) => h("p", {}, h("a", { href: `#/runs/${part(run.run_id)}` }, run.run_id), " ", state(run.outcome), ` for ${run.date}, `, span(run.seconds));

export async function runs(place, id) {
  if (id) return oneRun(place, id);
  const [found, steps] = await Promise.all([get(`${OPERATIONS}/runs`, { limit: 50 }), get(`${OPERATIONS}/steps`)]);
  if (!place.querySelector("[data-live]")) {
    const pipeline = h("select", { name: "pipeline", onchange: () => chooseSteps(place, pipeline.value) }, steps.pipelines.map((name) => h("option", { value: name }, name)));
    const choice = (name) => h("select", { name }, stepOptions(steps.steps, name === "last"));
    place.replaceChildren(
      h("h1", {}, "Pipeline"),
      h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); start(new FormData(event.target)); } },
        h("label", {}, "Pipeline", pipeline),
        h("label", {}, "Day", h("input", { name: "date", type: "date" })),
        h("label", {}, "From step", choice("first")), h("label", {}, "To step", choice("last")),
        h("button", { class: "main" }, "Run")),
      panel("Seconds by step", h("div", { class: "chart", "data-live": "chart" })),
      panel("Runs", h("div", { "data-live": "table" })));
  }
  find("[data-live=table]", place).replaceChildren(table([
    ["Run", (run) => h("a", { href: `#/runs/${part(run.run_id)}` }, run.run_id)], ["Pipeline", (run) => run.pipeline], ["Day", (run) => run.date],
    ["Outcome", (run) => state(run.outcome)], ["Started", (run) => moment(run.started_at)], ["Took", (run) => span(run.seconds), "number"],
    ["Steps", (run) => `${run.steps.filter((one) => one.outcome === "succeeded").length} of ${run.steps.length}`, "number"],
  ], found.runs, "The pipeline never ran."));
  await draw(find("[data-live=chart]", place), "/console/charts/runs", {}, "How long the last runs took, by step");
  return found.runs.some((run) => run.outcome === "running") ? 1 : 10;
}

const stepOptions = (steps, last) => steps.map((one, at) => h("option", { value: one.step, selected: at === (last ? steps.length - 1 : 0) }, one.step));

async function chooseSteps(place, pipeline) {
  const { steps } = await get(`${OPERATIONS}/steps`, { pipeline });
  for (const name of ["first", "last"]) find(`[name=${name}]`, place).replaceChildren(...stepOptions(steps, name === "last"));
}

function start(given) {
  const body = { pipeline: given.get("pipeline"), first: given.get("first"), last: given.get("last") };
  if (given.get("date")) body.date = given.get("date");
  act(`Run ${body.pipeline} from ${body.first} to ${body.last}?`, "Run", async () => {
    const run = await post(`${OPERATIONS}/runs`, body);
    location.hash = `#/runs/${part(run.run_id)}`;
  }, "The run has begun.");
}

async function oneRun(place, id) {
  const run = await get(`${OPERATIONS}/runs/${part(id)}`);
  const live = run.outcome === "running";
  place.replaceChildren(
    h("h1", {}, `Run ${run.run_id}`),
    h("p", {}, state(run.outcome), ` for ${run.date}, begun `, moment(run.started_at), `, ${span(run.seconds)}`),
    run.progress && h("p", {}, `${run.progress.what}: ${number(run.progress.done)} of ${number(run.progress.total)}`, h("progress", { value: run.progress.done, max: run.progress.total || 1, "aria-label": run.progress.what })),
    live && h("p", {}, h("button", { class: "danger", onclick: () => act("Cancel this run? What is in service stays.", "Cancel it", () => post(`${OPERATIONS}/runs/${part(id)}/cancel`, {}), "It ends after the step under way.") }, "Cancel")),
    panel("Steps", table([["Step", (one) => one.step], ["Outcome", (one) => state(one.outcome)], ["Took", (one) => span(one.seconds), "number"], ["Counts", (one) => pairs(one.counts)], ["Remark", (one) => one.message]], run.steps)));
  return live ? 1 : null;
}
