// Two models side by side, metric by metric, as far as their tests can be compared.

import { h } from "../../shared/dom.js";
import { get, part } from "../../shared/api.js";
import { OPERATIONS } from "../acting.js";
import { moment, number, panel, signed, state, table } from "../parts.js";

const DIGITS = 4;
// What the gate tested against one another, with the interval of the difference.
const DUELS = [
  ["over_popularity", "over popularity"], ["over_in_service", "over the model in service then"], ["over_fixed_blend", "over the fixed blend"],
];

export async function compare(place, first = "", second = "") {
  const { models } = await get(`${OPERATIONS}/models`, { limit: 50 });
  const one = first || models[0]?.model_id;
  const other = second || models.find((model) => model.model_id !== one)?.model_id;
  const choice = (name, chosen) => h("select", { name }, models.map((model) => h("option", { value: model.model_id, selected: model.model_id === chosen }, model.model_id)));
  const show = (event) => {
    const given = new FormData(event.currentTarget);
    location.hash = `#/compare/${part(given.get("first"))}/${part(given.get("second"))}`;
  };
  const drawn = [h("h1", {}, "Compare")];
  if (models.length < 2) {
    place.replaceChildren(...drawn, h("p", { class: "soft" }, "There are fewer than two models. The next run of the pipeline makes one more."));
    return null;
  }
  drawn.push(h("form", { class: "bar", onchange: show }, h("label", {}, "Model", choice("first", one)), h("label", {}, "Beside", choice("second", other))));
  const found = await Promise.all([one, other].map((id) => get(`${OPERATIONS}/models/${part(id)}`)));
  place.replaceChildren(...drawn, head(found), quality(found), duels(found));
  return null;
}

const head = (found) =>
  h("div", { class: "two" }, found.map((model) => panel(model.model_id,
    h("p", {}, model.in_service ? state("in service", "good") : model.passed ? "passed" : state("held back", "bad"), " made ", moment(model.created_at)),
    h("p", {}, `${model.component}. ${model.verdict}`),
    h("p", { class: "soft" }, `Tested ${model.metrics.test ?? "in a way that was not recorded"}, on ${number(model.metrics.people)} people.`))));

function quality(found) {
  const [a, b] = found.map((model) => model.metrics.candidate ?? {});
  const rows = [...new Set([...Object.keys(a), ...Object.keys(b)])].map((name) => [name, read(a[name]), read(b[name])]);
  return panel("Quality, each on its own test",
    h("p", { class: "soft" }, "Models of different days were tested on different days, so a difference counts as clear only where the intervals do not touch."),
    table([
      ["Metric", ([name]) => name], [found[0].model_id, ([, mine]) => told(mine), "number"], [found[1].model_id, ([, , its]) => told(its), "number"],
      ["Difference", ([, mine, its]) => (mine && its ? signed(mine.value - its.value) : "–"), "number"], ["", ([, mine, its]) => clear(mine, its)],
    ], rows, "Neither was tested."));
}

function duels(found) {
  const rows = DUELS.filter(([key]) => found.some((model) => model.metrics[key]));
  const cell = (model, key) => {
    const one = model.metrics[key];
    return one ? `${signed(one.mean)} (${signed(one.low)} to ${signed(one.high)})` : "–";
  };
  return panel("Differences that the gate measured, person by person",
    table([["", ([, name]) => name], ...found.map((model) => [model.model_id, ([key]) => cell(model, key), "number"])], rows, "None was recorded."));
}

function read(figure) {
  if (figure === undefined || figure === null) return null;
  const [value, low, high] = Array.isArray(figure) ? figure : [figure];
  return { value, low, high };
}

const told = (one) =>
  !one ? "–" : [number(one.value, DIGITS), one.low !== undefined && h("span", { class: "soft" }, ` (${number(one.low, DIGITS)} to ${number(one.high, DIGITS)})`)];

function clear(mine, its) {
  if (mine?.low === undefined || its?.low === undefined) return "";
  return mine.low > its.high || mine.high < its.low ? state("clear", "good") : h("span", { class: "soft" }, "within the noise");
}
