// One function a page: asks, and returns what to show and how to look again.

import { h, find } from "../shared/dom.js";
import { get, part, post, remove } from "../shared/api.js";
import { complain, toast } from "../shared/toast.js";
import { draw } from "./chart.js";
import { bytes, moment, number, panel, span, state, sure, table, tile } from "./parts.js";

const OPERATIONS = "/v1/operations";
const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);
const pairs = (counts) => Object.entries(counts).map(([name, value]) => `${name} ${number(value)}`).join(", ") || "none";
export const again = () => document.dispatchEvent(new CustomEvent("nextup:again"));

async function act(question, verb, what, done) {
  if (!(await sure(question, verb))) return;
  try {
    const answer = await what();
    toast(typeof done === "function" ? done(answer) : done);
    again();
  } catch (problem) {
    complain(problem);
  }
}

// ---- overview

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
    tile("Model", span(fresh.model_age_seconds), fresh.model_id ? `old: ${fresh.model_id}` : "none in service"),
    tile("Lists", span(fresh.generation_age_seconds), fresh.lists ? `old, for ${number(fresh.lists)} people` : "never published"),
    tile("Quarantine", number(quarantine.total), pairs(quarantine.by_rule))));
  find("[data-live=tables]", place).replaceChildren(
    panel("Served lists by level", table([["Level", ([name]) => name], ["Lists", ([, count]) => number(count), "number"]], Object.entries(stats.served), "No list was asked for.")),
    panel("Clicks by source", table([["Source", ([name]) => name], ["Clicks", ([, count]) => number(count), "number"]], Object.entries(stats.clicks), "No clicks lately.")),
    panel("Backends", table([["Port", (one) => one.port], ["Says", (one) => [state(one.healthy ? "well" : "unwell", one.healthy ? "good" : "bad"), ` ${one.says} ${one.cure ?? ""}`]], ["ms", (one) => number(one.milliseconds, 1), "number"]], backends.backends)),
    panel("Last run", fresh.last_run ? runLine(fresh.last_run) : h("p", { class: "soft" }, "The pipeline never ran."), models.models.length ? h("p", {}, models.models[0].verdict) : null));
  await draw(find("[data-live=traffic]", place), "/console/charts/traffic", { seconds: 300 }, `Traffic: ${number(sum(stats.requests))} answers, ${number(sum(stats.events))} events`);
  return 3;
}

// ---- runs

const runLine = (run) => h("p", {}, h("a", { href: `#/runs/${part(run.run_id)}` }, run.run_id), " ", state(run.outcome), ` for ${run.date}, `, span(run.seconds));

export async function runs(place, id) {
  if (id) return oneRun(place, id);
  const [found, steps] = await Promise.all([get(`${OPERATIONS}/runs`, { limit: 50 }), get(`${OPERATIONS}/steps`)]);
  const names = steps.steps.map((one) => one.step);
  if (!place.querySelector("[data-live]")) {
    const choice = (name, first) => h("select", { name }, names.map((step, at) => h("option", { value: step, selected: at === (first ? 0 : names.length - 1) }, step)));
    place.replaceChildren(
      h("h1", {}, "Pipeline"),
      h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); start(new FormData(event.target)); } },
        h("label", {}, "Day", h("input", { name: "date", type: "date" })),
        h("label", {}, "From step", choice("first", true)), h("label", {}, "To step", choice("last", false)),
        h("button", { class: "main" }, "Run")),
      panel("Seconds by step", h("div", { class: "chart", "data-live": "chart" })),
      panel("Runs", h("div", { "data-live": "table" })));
  }
  find("[data-live=table]", place).replaceChildren(table([
    ["Run", (run) => h("a", { href: `#/runs/${part(run.run_id)}` }, run.run_id)], ["Day", (run) => run.date],
    ["Outcome", (run) => state(run.outcome)], ["Started", (run) => moment(run.started_at)], ["Took", (run) => span(run.seconds), "number"],
    ["Steps", (run) => `${run.steps.filter((one) => one.outcome === "succeeded").length} of ${run.steps.length}`, "number"],
  ], found.runs, "The pipeline never ran."));
  await draw(find("[data-live=chart]", place), "/console/charts/runs", {}, "How long the last runs took, by step");
  return found.runs.some((run) => run.outcome === "running") ? 1 : 10;
}

function start(given) {
  const body = { first: given.get("first"), last: given.get("last") };
  if (given.get("date")) body.date = given.get("date");
  act(`Run the pipeline from ${body.first} to ${body.last}?`, "Run", async () => {
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

// ---- models

export async function models(place, id) {
  if (id) return oneModel(place, id);
  const [found, made] = await Promise.all([get(`${OPERATIONS}/models`, { limit: 50 }), get(`${OPERATIONS}/generations`)]);
  const metrics = Object.keys(found.models[0]?.quality?.candidate ?? {});
  const shown = find("#metric")?.value || metrics[0] || "";
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
  return null;
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

// ---- data: quarantine and lake

export async function data(place) {
  const rule = find("#rule")?.value ?? "";
  const [found, all, lake] = await Promise.all([get(`${OPERATIONS}/quarantine`, { rule, limit: 50 }), get(`${OPERATIONS}/quarantine`, { limit: 1 }), get(`${OPERATIONS}/lake`)]);
  const readmit = (body, what) => act(`Judge ${what} again?`, "Judge again", () => post(`${OPERATIONS}/quarantine/readmit`, body),
    (answer) => `${answer.readmitted} of ${answer.looked_at} are in the log now${sum(answer.still_broken) ? `; still broken: ${pairs(answer.still_broken)}` : ""}.`);
  place.replaceChildren(
    h("h1", {}, "Data"),
    panel("Quarantine",
      h("div", { class: "bar" },
        h("label", {}, "Rule", h("select", { id: "rule", onchange: again }, h("option", { value: "" }, `all (${number(all.total)})`), Object.entries(all.by_rule).map(([name, count]) => h("option", { value: name, selected: name === rule }, `${name} (${number(count)})`)))),
        found.total > 0 && h("button", { onclick: () => readmit(rule ? { rule } : { all: true }, rule ? `all that broke ${rule}` : "all of them") }, "Judge these again")),
      found.waiting > 0 && h("p", { class: "soft" }, `${number(found.waiting)} more are still in the log and come with the next run.`),
      table([["Rule", (one) => one.rule], ["Reason", (one) => one.reason], ["Record", (one) => h("code", {}, one.record.slice(0, 300))], ["From", (one) => one.source], ["At", (one) => moment(one.rejected_at)],
        ["", (one) => (one.readmitted_at ? "re-admitted" : h("button", { onclick: () => readmit({ rejected_ids: [one.rejected_id] }, "this record") }, "Judge again"))]], found.records, "Nothing broke a contract.")),
    panel("Lake", table([["Table", (one) => h("span", { title: one.description }, one.table)], ["Version", (one) => number(one.version), "number"], ["Rows", (one) => number(one.rows), "number"], ["Files", (one) => number(one.files), "number"], ["Size", (one) => bytes(one.bytes), "number"], ["Changed", (one) => moment(one.changed_at)]], lake.tables)));
  return null;
}

// ---- what if, and replay

export async function whatIf(place, userId = "", compare = "") {
  const ask = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const to = ["what-if", given.get("user"), given.get("compare") ?? ""].map(part).join("/");
    if (location.hash === `#/${to}`) again(); else location.hash = `#/${to}`;
  };
  const told = userId && (await post(`${OPERATIONS}/what-if`, { user_id: userId, limit: 15, ...(compare && { compare }) }));
  place.replaceChildren(
    h("h1", {}, "What if"),
    h("form", { class: "bar", onsubmit: ask },
      h("label", {}, "Person", h("input", { name: "user", required: true, value: userId, placeholder: "user id" })),
      h("label", {}, "Beside", h("select", { name: "compare" }, h("option", { value: "" }, "nothing"), h("option", { value: "previous", selected: compare === "previous" }, "the model before"))),
      h("button", { class: "main" }, "Take apart")),
    told && h("div", { class: "two" }, anatomy("The list now", told.list), told.compared && anatomy("Under the model before", told.compared)),
    told && told.list.sources.map((one) => panel(`${one.source}, weight ${number(one.weight, 3)}`,
      table([["Candidate", (item) => h("span", { class: item.allowed ? "" : "out" }, item.title || item.item_id)], ["Its score", (item) => number(item.score, 4), "number"], ["Of the whole", (item) => number(item.part, 4), "number"], ["Rules", (item) => (item.allowed ? "" : "left out")]], one.candidates.slice(0, 12)))));
  return null;
}

const anatomy = (title, list) =>
  panel(title,
    h("p", { class: "soft" }, `${list.level}; ${number(list.allowed)} of ${number(list.catalogue)} items allowed, ${number(list.consumed)} known already. Rules: ${list.rules.join(", ") || "none"}.`),
    places(list.items));

const places = (items) =>
  h("ol", { class: "places" }, items.map((one) => h("li", { value: one.rank }, `${one.title || one.item_id} `, h("span", { class: "soft" }, `${number(one.score, 3)} · ${one.source}`, one.because.length ? ` · because of ${one.because.map((reason) => `${reason.title || reason.item_id} ${Math.round(reason.share * 100)} %`).join(", ")}` : "", one.rules.length ? ` · ${one.rules.join(", ")}` : ""))));

export async function replay(place, token = "") {
  const found = token && (await get(`/v1/served/${part(token)}`));
  place.replaceChildren(
    h("h1", {}, "Replay"),
    h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); location.hash = `#/replay/${part(new FormData(event.target).get("token"))}`; } },
      h("label", {}, "Token of a served list", h("input", { name: "token", required: true, value: token, size: 34 })),
      h("button", { class: "main" }, "Show")),
    found && panel(`What ${found.user_id || "somebody without a name"} was shown`, h("p", { class: "soft" }, moment(found.served_at), ` · ${found.level} · model ${found.model_id ?? "none"}`), places(found.items)));
  return null;
}

// ---- clients

export async function clients(place) {
  const found = await get("/v1/clients");
  const uses = await Promise.all(found.clients.map((one) => get(`/v1/clients/${part(one.client_id)}/usage`).catch(() => ({ days: [] }))));
  const used = new Map(found.clients.map((one, at) => [one.client_id, uses[at].days.reduce((all, day) => all + day.requests, 0)]));
  const made = h("p", { role: "status" });
  const register = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    try {
      const answer = await post("/v1/clients", { client_id: given.get("id"), scopes: given.getAll("scope") });
      again();
      setTimeout(() => find("#made")?.replaceChildren("Its key, shown this once: ", h("code", {}, answer.api_key)), 300);
    } catch (problem) {
      complain(problem);
    }
  };
  made.id = "made";
  place.replaceChildren(
    h("h1", {}, "Clients"),
    h("form", { class: "bar", onsubmit: register },
      h("label", {}, "Name", h("input", { name: "id", required: true, pattern: "[a-z0-9][a-z0-9_.\\-]*" })),
      ["read", "write", "operate", "admin"].map((scope) => h("span", {}, h("input", { type: "checkbox", name: "scope", value: scope, id: `scope-${scope}`, checked: scope === "read" }), h("label", { for: `scope-${scope}` }, ` ${scope}`))),
      h("button", { class: "main" }, "Register")),
    made,
    panel("Registered", table([["Client", (one) => one.client_id], ["Tenant", (one) => one.tenant], ["Scopes", (one) => one.scopes.join(", ")], ["Per second", (one) => number(one.per_second, 1), "number"], ["Per day", (one) => number(one.per_day), "number"], ["Requests lately", (one) => number(used.get(one.client_id)), "number"], ["Since", (one) => moment(one.created_at)],
      ["", (one) => (one.revoked_at ? state("revoked", "bad") : h("button", { class: "danger", onclick: () => act(`Revoke ${one.client_id}? It is refused from its next request on.`, "Revoke", () => remove(`/v1/clients/${part(one.client_id)}`), "Revoked.") }, "Revoke"))]], found.clients, "No client is registered.")));
  return null;
}
