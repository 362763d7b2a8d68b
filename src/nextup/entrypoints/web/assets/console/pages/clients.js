// Who may call the API, and how much they did.

import { h } from "../../shared/dom.js";
import { get, part, post, remove } from "../../shared/api.js";
import { complain } from "../../shared/toast.js";
import { act, again } from "../acting.js";
import { moment, number, panel, state, table } from "../parts.js";

const SCOPES = ["read", "write", "operate", "admin"];
let made = null; // the key of who was just registered, for this visit of the page

export async function clients(place) {
  if (!place.firstChild) made = null;
  const found = await get("/v1/clients");
  const uses = await Promise.all(found.clients.map((one) => get(`/v1/clients/${part(one.client_id)}/usage`).catch(() => ({ days: [] }))));
  const used = new Map(found.clients.map((one, at) => [one.client_id, uses[at].days.reduce((all, day) => all + day.requests, 0)]));
  const register = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    try {
      made = await post("/v1/clients", { client_id: given.get("id"), scopes: given.getAll("scope") });
      again();
    } catch (problem) {
      complain(problem);
    }
  };
  place.replaceChildren(
    h("h1", {}, "Clients"),
    h("form", { class: "bar", onsubmit: register },
      h("label", {}, "Name", h("input", { name: "id", required: true, pattern: "[a-z0-9][a-z0-9_.\\-]*" })),
      h("fieldset", {}, h("legend", {}, "Scopes"), SCOPES.map((scope) => h("label", {}, h("input", { type: "checkbox", name: "scope", value: scope, checked: scope === "read" }), scope))),
      h("button", { class: "main" }, "Register")),
    h("p", { id: "made", role: "status" }, made && [`The key of ${made.client_id}, shown only now: `, h("code", {}, made.api_key)]),
    panel("Registered", table([["Client", (one) => one.client_id], ["Tenant", (one) => one.tenant], ["Scopes", (one) => one.scopes.join(", ")], ["Per second", (one) => number(one.per_second, 1), "number"], ["Per day", (one) => number(one.per_day), "number"], ["Requests lately", (one) => number(used.get(one.client_id)), "number"], ["Since", (one) => moment(one.created_at)],
      ["", (one) => (one.revoked_at ? state("revoked", "bad") : h("button", { class: "danger", onclick: () => act(`Revoke ${one.client_id}? It is refused from its next request on.`, "Revoke", () => remove(`/v1/clients/${part(one.client_id)}`), "Revoked.") }, "Revoke"))]], found.clients, "No client is registered.")));
  return null;
}
