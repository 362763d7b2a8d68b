// A short message at the edge of the page, with a way back where there is one.

import { h, find, say } from "./dom.js";

const SHOWN_MILLISECONDS = 8000;
let timer;

export function toast(text, undo) {
  clearTimeout(timer);
  const place = find("#toast");
  const hide = () => place.replaceChildren();
  place.replaceChildren(
    h("p", {}, text),
    undo && h("button", { onclick: () => { hide(); undo(); } }, "Undo"),
    h("button", { class: "quiet", "aria-label": "Close the message", onclick: hide }, "×"),
  );
  say(text);
  timer = setTimeout(hide, SHOWN_MILLISECONDS);
}

export const complain = (problem) => toast([problem.message, problem.cure].filter(Boolean).join(" "));
