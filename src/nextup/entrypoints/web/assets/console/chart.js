// A chart that the server drew: put into the page, and told point by point to who hovers or walks
// along it with the arrow keys.

import { h, say } from "../shared/dom.js";
import { get } from "../shared/api.js";

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

export async function draw(place, path, parameters, label) {
  const old = place.querySelector(".tip");
  if (old && !old.hidden) return; // somebody is reading it
  const text = await get(path, parameters).catch(() => "");
  if (!text) return;
  const drawn = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  drawn.setAttribute("aria-hidden", "true");
  const tip = h("p", { class: "tip", hidden: true });
  const points = [...drawn.querySelectorAll(".tooltip-trigger")];
  for (const point of points) {
    point.addEventListener("pointerenter", () => tell(point, tip, place));
    point.addEventListener("pointerleave", () => (tip.hidden = true));
  }
  place.tabIndex = 0;
  place.setAttribute("role", "group");
  place.setAttribute("aria-roledescription", "chart");
  place.setAttribute("aria-label", `${label}. The arrow keys walk along its points.`);
  place.onkeydown = (event) => walk(event, points, tip, place);
  place.onblur = () => { tip.hidden = true; };
  place.replaceChildren(drawn, tip);
}

function walk(event, points, tip, place) {
  if (event.key === "Escape") tip.hidden = true;
  if (!(event.key in STEPS) || !points.length) return;
  event.preventDefault();
  const at = Number(place.dataset.at ?? -1) + STEPS[event.key];
  const next = Math.min(Math.max(at, 0), points.length - 1);
  place.dataset.at = String(next);
  say(tell(points[next], tip, place));
}

function tell(point, tip, place) {
  const of = (name) => point.parentElement.querySelector(`:scope > desc.${name}`)?.textContent ?? "";
  const told = [of("value"), of("label"), of("x_label")].filter(Boolean).join(" · ");
  const box = point.getBoundingClientRect();
  const frame = place.getBoundingClientRect();
  tip.textContent = told;
  tip.hidden = false;
  const half = tip.offsetWidth / 2;
  const left = box.left + box.width / 2 - frame.left;
  tip.style.setProperty("left", `${Math.min(Math.max(left, half), frame.width - half)}px`);
  tip.style.setProperty("top", `${box.top - frame.top}px`);
  return told;
}
