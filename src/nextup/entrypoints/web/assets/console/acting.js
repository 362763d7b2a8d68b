// What changes something: asked before, told after.

import { complain, toast } from "../shared/toast.js";
import { sure } from "./parts.js";

export const OPERATIONS = "/v1/operations";
export const again = () => document.dispatchEvent(new CustomEvent("nextup:again"));

export async function act(question, verb, what, done) {
  if (!(await sure(question, verb))) return;
  try {
    const answer = await what();
    toast(typeof done === "function" ? done(answer) : done);
    again();
  } catch (problem) {
    complain(problem);
  }
}
