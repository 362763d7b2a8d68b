// What broke a contract, and what lies in the lake.

import { find, h } from "../../shared/dom.js";
import { get, post } from "../../shared/api.js";
import { OPERATIONS, act, again } from "../acting.js";
import { bytes, moment, number, pairs, panel, sum, table, unchanged } from "../parts.js";

const LOOKS_AGAIN_SECONDS = 10;

export async function data(place) {
  const rule = find("#rule")?.value ?? "";
  const [found, all, lake] = await Promise.all([get(`${OPERATIONS}/quarantine`, { rule, limit: 50 }), get(`${OPERATIONS}/quarantine`, { limit: 1 }), get(`${OPERATIONS}/lake`)]);
  if (unchanged(place, found, all, lake, rule)) return LOOKS_AGAIN_SECONDS;
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
  return LOOKS_AGAIN_SECONDS;
}
