// Who is looking, and what they do. The people here are made up on the spot and kept in this
// browser; what they do goes to the platform like anybody's.

import { get, part, post } from "../shared/api.js";

const PEOPLE = "nextup.people";
const CURRENT = "nextup.person";
const LIKED_AT_START = 4; // titles by which a ready-made person is known

const READY = [
  { name: "A newcomer" },
  { name: "A horror fan", genre: "Horror", kind: "film" },
  { name: "A reader of classics", genre: "Classics", kind: "book" },
  { name: "A friend of comedies", genre: "Comedy", kind: "film" },
];

export function people() {
  const kept = localStorage.getItem(PEOPLE);
  if (kept) return JSON.parse(kept);
  const made = READY.map((one) => ({ ...one, id: newId() }));
  localStorage.setItem(PEOPLE, JSON.stringify(made));
  return made;
}

// Somebody of whom nothing is known.
export function addPerson() {
  const visitors = people().length - READY.length;
  const all = [...people(), { name: `Visitor ${visitors + 1}`, id: newId() }];
  localStorage.setItem(PEOPLE, JSON.stringify(all));
  choose(all.at(-1).id);
}

export function person() {
  const all = people();
  return all.find((one) => one.id === localStorage.getItem(CURRENT)) ?? all[0];
}

export const choose = (id) => localStorage.setItem(CURRENT, id);

// What they did, the latest first. A ready-made person first does what makes them one.
export async function history(limit = 200) {
  const who = person();
  const path = `/v1/users/${part(who.id)}/history`;
  let answer = await get(path, { limit });
  if (!answer.history.length && who.genre && !who.began) {
    await begin(who);
    answer = await get(path, { limit });
  }
  return standing(answer.history);
}

// Without what they took back, and one entry for an item and a type.
export function standing(acts) {
  const gone = new Set();
  const seen = new Set();
  return acts.filter((act) => {
    if (act.type === "retract") gone.add(act.item_id);
    const key = `${act.item_id}\n${act.type}`;
    if (gone.has(act.item_id) || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

export const act = (type, itemId, more = {}) =>
  post("/v1/events", { type, user_id: person().id, item_id: itemId, event_id: newId(), ...more });

async function begin(who) {
  const known = await get("/v1/popular", { genre: who.genre, kind: who.kind, limit: LIKED_AT_START });
  for (const item of known.items) await act("like", item.item_id);
  const all = people().map((one) => (one.id === who.id ? { ...one, began: true } : one));
  localStorage.setItem(PEOPLE, JSON.stringify(all));
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `visitor-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
