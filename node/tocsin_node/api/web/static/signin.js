// The first page: a key, or the public's view.
import { h } from "./dom.js";

/** Why the last key was refused. */
export const refused = { text: "" };

export function signInPage() {
  return [
    h("h1", {}, "Tocsin"),
    h("p", { class: "lead" }, "Signals, incidents and containment of this node."),
    h(
      "form",
      { class: "panel signin", id: "sign-in" },
      h("input", {
        type: "text",
        name: "username",
        value: "tocsin",
        autocomplete: "username",
        class: "hidden",
        tabindex: -1,
        "aria-hidden": "true",
        readonly: true,
      }),
      h("label", { for: "key" }, "Key of this feed"),
      h("input", {
        id: "key",
        name: "key",
        type: "password",
        autocomplete: "current-password",
        spellcheck: "false",
        autocapitalize: "off",
        required: true,
        "aria-describedby": "about-key refused",
      }),
      h("p", { id: "refused", role: "alert", class: refused.text ? "note bad" : "" }, refused.text),
      h(
        "p",
        { class: "buttons" },
        h("button", { type: "submit" }, "Sign in"),
        h("button", { type: "button", class: "quiet", "data-do": "public" }, "Look without a key"),
      ),
      h(
        "p",
        { id: "about-key", class: "faint" },
        "One is made at the node: ",
        h("code", {}, "tocsin feed key"),
        ". The operator's shows everything. It is kept out of this page's reach, for twelve hours at most, and arms or approves nothing.",
      ),
    ),
  ];
}
