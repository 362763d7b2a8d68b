// Is it healthy, is it fresh, is it busy?

import { find, h } from "../../shared/dom.js";
import { get } from "../../shared/api.js";
import { OPERATIONS } from "../acting.js";
import { draw } from "../chart.js";
import { number, pairs, panel, span, state, sum, table, tile } from "../parts.js";
import { runLine } from "./runs.js";

export async function overview(place) {
  const [stats, fresh, backends, quarantine, models] = await Promise.all([
    get(`${OPERATIONS}/stats`, { seconds: 300 }), get(`${OPERATIONS}/freshness`), get(`${OPERATIONS}/backends`),
    get(`${OPERATIONS}/quarantine`, { limit: 1 }), get(`${OPERATIONS}/models`, { limit: 1 }),
  ]);
  const lag = Math.max(0, ...fresh.lags.map((one) => one.events ?? 0));
  const sick = backends.backends.filter((one) => !one.healthy);
  const errors = stats.series.reduce((all, one) => all + one.errors, 0);
  const p99 = stats.latency_seconds.p99;
  if (!place.querySelector("[data-live]")) {
    place.replaceChildren(
      h("h1", {}, "Overview"),
      h("div", { "data-live": "tiles" }),
      panel("Traffic of the last five minutes", h("div", { class: "chart", "data-live": "traffic" })),
      h("div", { "data-live": "tables", class: "two" }));
  }
  find("[data-live=tiles]", place).replaceChildren(h("div", { class: "tiles" },
    tile("Healthy", sick.length ? state(sick.map((one) => one.port).join(", "), "bad") : state("yes", "good"), `${backends.backends.length} backends asked`),
    tile("Events per second", number(stats.events_per_second, 1), pairs(stats.events)),
    tile("Answers per second", number(stats.requests_per_second, 1), `99 of 100 within ${span(p99)}`),
    tile("Errors", errors ? state(number(errors), "bad") : "0", "answers of 500 and above, 5 minutes"),
    tile("Waiting events", number(lag), fresh.lags.map((one) => `${one.group} ${number(one.events)}`).join(", ")),
    tile("Age of the model", span(fresh.model_age_seconds), fresh.model_id ?? "none in service"),
    tile("Age of the lists", span(fresh.generation_age_seconds), fresh.lists ? `for ${number(fresh.lists)} people` : "never published"),
    tile("Quarantine", number(quarantine.total), pairs(quarantine.by_rule))));
  find("[data-live=tables]", place).replaceChildren(
    panel("Served lists by level", table([["Level", ([name]) => name], ["Lists", ([, count]) => number(count), "number"]], Object.entries(stats.served), "No list was asked for.")),
    panel("Clicks by source", table([["Source", ([name]) => name], ["Clicks", ([, count]) => number(count), "number"]], Object.entries(stats.clicks), "No clicks lately.")),
    panel("Backends", table([["Port", (one) => one.port], ["Says", (one) => [state(one.healthy ? "well" : "unwell", one.healthy ? "good" : "bad"), ` ${one.says} ${one.cure ?? ""}`]], ["ms", (one) => number(one.milliseconds, 1), "number"]], backends.backends)),
    panel("Last run", fresh.last_run ? runLine(fresh.last_run) : h("p", { class: "soft" }, "The pipeline never ran."), models.models.length ? h("p", {}, models.models[0].verdict) : null));
  await draw(find("[data-live=traffic]", place), "/console/charts/traffic", { seconds: 300 }, `Traffic: ${number(sum(stats.requests))} answers, ${number(sum(stats.events))} events`);
  return 3;
}
