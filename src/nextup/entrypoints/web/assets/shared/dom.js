// Elements from plain calls. Text always becomes text, so no title can become markup.

export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "css") {
      for (const [property, to] of Object.entries(value)) element.style.setProperty(property, to);
    } else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (selector, within = document) => within.querySelector(selector);

// A person who listens to the page hears what changed.
export function say(text) {
  const place = find("#said");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

// What has the focus is drawn anew: the focus goes to what stands in its place, or to the whole.
export function keepPlace(root, change) {
  const path = [];
  const inside = root !== document.activeElement && root.contains(document.activeElement);
  for (let at = document.activeElement; inside && at !== root; at = at.parentElement) path.unshift([...at.parentElement.children].indexOf(at));
  change();
  if (!inside || root.contains(document.activeElement)) return;
  let at = root;
  for (const place of path) at = at.children[Math.min(place, at.children.length - 1)] ?? at;
  (at.matches("a[href], button, input, select, [tabindex]") ? at : root).focus({ preventScroll: true });
}

// Children by key: what stays moves to its new place, visibly; what is new fades in.
export function arrange(parent, wanted) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const before = new Map([...old].map(([key, child]) => [key, child.getBoundingClientRect()]));
  const next = wanted.map((child) => {
    const kept = old.get(child.dataset.key);
    if (kept?.contains(document.activeElement)) kept.replaceChildren(...child.children);
    return kept?.contains(document.activeElement) ? kept : child;
  });
  parent.replaceChildren(...next);
  if (calm) return;
  for (const child of next) {
    const from = before.get(child.dataset.key);
    const to = child.getBoundingClientRect();
    if (!from) {
      child.animate([{ opacity: 0, transform: "scale(.92)" }, { opacity: 1 }], 350);
    } else if (Math.abs(from.left - to.left) + Math.abs(from.top - to.top) > 1) {
      const by = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
      child.animate([{ transform: by }, { transform: "none" }], { duration: 450, easing: "ease-out" });
    }
  }
}
