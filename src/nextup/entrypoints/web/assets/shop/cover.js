// A cover drawn from what the catalogue says: colour by genre, letters by kind.

import { h } from "../shared/dom.js";

const HUES = {
  horror: 350, thriller: 205, crime: 225, mystery: 250, drama: 20, romance: 335, comedy: 42,
  family: 52, children: 48, animation: 175, adventure: 145, action: 8, fantasy: 275, war: 75,
  "science fiction": 195, "sci-fi": 195, history: 32, classics: 28, biography: 38, western: 25,
  music: 300, documentary: 90, philosophy: 260, poetry: 320, "young adult": 165, nonfiction: 110,
};
const ART = ["moon", "rings", "rays", "rain", "dots", "hills"];
const LONG = 24; // characters of a title that need smaller letters

export function cover(item, attributes = {}) {
  const genre = item.genres?.[0] ?? item.kind ?? "";
  const hue = HUES[genre.toLowerCase()] ?? number(genre) % 360;
  const shift = (number(item.item_id) % 29) - 14; // two of a genre are not twins
  const title = item.title || item.item_id;
  const kinds = ["cover", item.kind, ART[number(title) % ART.length], title.length > LONG && "long"].filter(Boolean).join(" ");
  return h(
    attributes.href ? "a" : "div",
    { class: kinds, ...attributes, css: { "--hue": String(hue + shift), "--spot": `${20 + (number(item.item_id) % 60)}%` } },
    h("b", {}, title),
    h("span", {}, [genre, item.year].filter(Boolean).join(" · ")),
  );
}

function number(text) {
  let sum = 7;
  for (const letter of text ?? "") sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum;
}
