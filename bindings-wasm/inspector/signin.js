/** Who the user is at registries: asked for in a dialog, kept in this page's memory and nowhere else. */
// @ts-check

import { byId } from "./words.js";

/** Whether signing in, or signing in as somebody else, may help. @param {any} error */
export const mayHelp = (error) => ["unauthorized", "denied"].includes(error.code);

/** @typedef {{ username: string, password: string }} Given */

export class SignIn {
  /** By registry: what one is told the others never hear. @type {Map<string, Given>} */
  #known = new Map();
  /** Whom the dialog is about, and what is done once more when it is answered. @type {{ registry: string, again: () => void } | undefined} */
  #open;

  constructor() {
    byId("signin-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("signin-cancel").addEventListener("click", () => this.close());
    // However it is closed, what was typed does not stay in the page.
    byId("signin").addEventListener("close", () => (byId("signin-password").value = ""));
  }

  /** @param {string} registry */
  credentials(registry) {
    return this.#known.get(registry);
  }

  /**
   * Something failed that signing in may help against: the user is asked, unless the registry knows who it is.
   * @param {any} error @param {string} registry @param {Given | undefined} given @param {() => void} again
   */
  failed(error, registry, given, again) {
    if (given && error.code !== "unauthorized") return;
    this.#known.delete(registry);
    this.show(registry, again, given && { username: given.username, why: error.message });
  }

  /** @param {string} registry @param {() => void} again @param {{ username: string, why: string }} [refused] */
  show(registry, again, refused) {
    const user = byId("signin-user");
    const why = byId("signin-why");
    byId("signin-registry").textContent = registry;
    why.textContent = refused?.why ?? "";
    why.hidden = !refused;
    byId("signin-password").setAttribute("aria-invalid", String(refused !== undefined));
    // Who left the dialog and comes back to it types no name again.
    const typed = this.#open?.registry === registry ? user.value : "";
    user.value = refused?.username ?? this.#known.get(registry)?.username ?? typed;
    this.#open = { registry, again };
    if (!byId("signin").open) byId("signin").showModal();
    (user.value ? byId("signin-password") : user).focus();
  }

  close() {
    byId("signin").close();
  }

  #submit() {
    if (!this.#open) return;
    const { registry, again } = this.#open;
    this.#known.set(registry, { username: byId("signin-user").value, password: byId("signin-password").value });
    this.close();
    again();
  }
}
