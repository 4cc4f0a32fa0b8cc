// What the pages of the demos share: elements, requests, the feed, and what just happened. No build step, no package.

/** Return an element: el("p", {className: "dim", onclick: …}, "text", child). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const $ = (selector, root = document) => root.querySelector(selector);
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

/** Ask the server; an answer that is a problem is thrown as an Error with its sentence. */
export async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) {
    const fields = (answer?.errors ?? []).map((error) => `${error.pointer.slice(1)}: ${error.detail}`);
    throw Object.assign(new Error(fields.join(" ") || answer?.detail || response.statusText), { status: response.status });
  }
  return answer;
}

/** Follow the feed, through restarts of the server; `lost` is called when the place is gone: read the lists again. */
export function follow(path, { commit, lost, state }) {
  let place = null;
  let source = null;
  const open = () => {
    source = new EventSource(place ? `${path}?since=${encodeURIComponent(place)}` : path);
    source.addEventListener("commit", (event) => {
      place = event.lastEventId;
      commit(JSON.parse(event.data));
    });
    source.addEventListener("bookmark", (event) => {
      place = event.lastEventId;
      state?.(true);
    });
    source.addEventListener("restart", () => again());
    source.addEventListener("error", () => again());
  };
  const again = async () => {
    source.close();
    state?.(false);
    await new Promise((resolve) => setTimeout(resolve, 400));
    // An EventSource doesn't tell why it failed: 410 is a place that the server doesn't know any more.
    try {
      const probe = new AbortController();
      const response = await fetch(place ? `${path}?since=${encodeURIComponent(place)}` : path, { signal: probe.signal });
      probe.abort();
      if (response.status === 410) {
        place = null;
        lost?.();
      }
    } catch {
      // The server is away; try again.
    }
    open();
  };
  open();
}

let hiding = 0;
/** Say what happened, for ten seconds, with something to do about it. */
export function toast(text, { label, act, bad = false } = {}) {
  clearTimeout(hiding);
  document.getElementById("toast")?.remove();
  const box = el("div", { id: "toast", role: bad ? "alert" : "status", className: bad ? "bad" : "" }, el("span", {}, text));
  const button = el("button", { type: "button", onclick: () => (box.remove(), act?.()) }, label ?? "Close");
  box.append(button);
  document.body.append(box);
  hiding = setTimeout(() => box.remove(), 10_000);
}

/** Run what a button does; while it runs the button is off, and what goes wrong is said. */
export async function doing(button, act) {
  if (button) button.disabled = true;
  try {
    return await act();
  } catch (error) {
    toast(error.message, { bad: true });
  } finally {
    if (button) button.disabled = false;
  }
}

/** Show whether the feed is there. */
export function live(element) {
  return (on) => {
    element.classList.toggle("on", on);
    element.textContent = on ? "Live" : "Away, coming back";
  };
}

const signs = { insert: ["+", "added"], replace: ["~", "changed"], delete: ["−", "removed"] };
/** Return a commit as a list item: who, when, and each change, field by field. */
export function commitItem(commit, names, undo) {
  const changes = commit.changes.slice(0, 4).map((change) => {
    const [sign, className] = signs[change.kind];
    const row = change.after ?? change.before;
    const fields = change.kind !== "replace" ? [] : Object.keys(row).filter(
      (name) => JSON.stringify(change.before[name]) !== JSON.stringify(change.after[name]));
    const told = fields.map((name) => ` ${name} ${short(change.before[name])} → ${short(change.after[name])}`).join(",");
    return el("div", { className: "what" }, el("span", { className }, sign), ` ${change.table} `, el("b", {}, names(change.table, row)), told);
  });
  if (commit.changes.length > 4) changes.push(el("div", { className: "what dim" }, `… and ${commit.changes.length - 4} more`));
  const head = el("div", { className: "row small" }, el("span", { className: "mono dim" }, `#${commit.sequence}`),
    el("span", { className: "grow" }, commit.actor ?? commit.via?.split("/").slice(0, 3).join("/") ?? ""), el("span", { className: "dim" }, clock(commit.at)));
  if (undo) head.append(el("button", { type: "button", "aria-label": `Undo commit ${commit.sequence}`, onclick: (event) => undo(commit, event.currentTarget) }, "Undo"));
  return el("li", { className: "flash" }, head, ...changes);
}

function short(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
