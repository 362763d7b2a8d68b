// A chart that the server drew: put into the page, and told point by point to who hovers or tabs.

import { h } from "../shared/dom.js";
import { get } from "../shared/api.js";

export async function draw(place, path, parameters, label) {
  const text = await get(path, parameters).catch(() => "");
  if (!text) return;
  const drawn = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", label);
  const tip = h("p", { class: "tip", hidden: true });
  for (const point of drawn.querySelectorAll(".tooltip-trigger")) watch(point, tip, place);
  place.replaceChildren(drawn, tip);
}

function watch(point, tip, place) {
  const told = [...point.parentElement.querySelectorAll(":scope > desc")];
  const of = (name) => told.find((one) => one.classList.contains(name))?.textContent ?? "";
  const series = point.closest("[class*='serie-']")?.getAttribute("class")?.match(/serie-(\d+)/)?.[1];
  point.addEventListener("pointerenter", () => {
    const name = place.querySelector(`#activate-serie-${series} text, .legends .legend:nth-of-type(${Number(series) + 1}) text`)?.textContent ?? "";
    const box = point.getBoundingClientRect();
    const frame = place.getBoundingClientRect();
    tip.textContent = [name, of("x_label"), of("value")].filter(Boolean).join(" · ");
    tip.style.setProperty("left", `${box.left + box.width / 2 - frame.left}px`);
    tip.style.setProperty("top", `${box.top - frame.top}px`);
    tip.hidden = false;
  });
  point.addEventListener("pointerleave", () => (tip.hidden = true));
}
