// Asks who the visitor is, once the server wants to know.

import { h, find } from "./dom.js";
import { signIn } from "./api.js";

export function watchForSignIn(again) {
  document.addEventListener("nextup:sign-in", (event) => {
    if (find("#sign-in")) return;
    const dialog = form(again, event.detail?.ended);
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Also for who is known, and wants to be another.
export const askWho = () => document.dispatchEvent(new CustomEvent("nextup:sign-in"));

function form(again, ended) {
  const said = h("p", { class: "problem", role: "alert" });
  const dialog = h(
    "dialog",
    { id: "sign-in", "aria-labelledby": "sign-in-title", onclose: () => dialog.remove() },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          const given = new FormData(event.target);
          try {
            await signIn(given.get("client"), given.get("secret"));
            dialog.close();
            again();
          } catch (problem) {
            said.textContent = `${problem.message} ${problem.cure ?? ""}`;
          }
        },
      },
      h("h2", { id: "sign-in-title" }, "Sign in"),
      ended && h("p", { class: "ended" }, "Your sign-in has ended. Sign in again, and this page goes on."),
      h("p", {}, "With a client of this platform, such as the one that its first start printed."),
      h("label", {}, "Client", h("input", { name: "client", required: true, autocomplete: "username" })),
      h("label", {}, "Password or key", h("input", { name: "secret", type: "password", required: true, autocomplete: "current-password" })),
      said,
      h("button", { class: "main" }, "Sign in"),
    ),
  );
  return dialog;
}
