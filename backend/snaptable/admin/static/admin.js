// The admin's script: what makes the pages quicker to use. Without it every page reads, and a row can be edited.

const meta = document.querySelector('meta[name="admin"]');
export const base = meta.content;
export const token = meta.dataset.token;
export const one = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Make an element: `make("button", {class: "button"}, "Save")`. Texts are texts, never markup. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Ask for JSON; a plain object as body is sent as JSON, URLSearchParams as a form. Throws an Error that says why not. */
export async function ask(path, body) {
  const options = { headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    const isForm = body instanceof URLSearchParams;
    options.method = "POST";
    options.headers["Content-Type"] = isForm ? "application/x-www-form-urlencoded" : "application/json";
    options.headers["X-Admin-Token"] = token;
    options.body = isForm ? body.toString() : JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw Object.assign(new Error(answer.detail || response.statusText), { status: response.status, answer });
  }
  return answer;
}

// ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────────

const TOAST_MILLISECONDS = 10_000;

/** Say something for ten seconds. */
export function say(text, kind = "") {
  const toast = make("div", { class: `toast ${kind}` }, make("span", {}, text));
  one("#toasts").append(toast);
  setTimeout(() => toast.remove(), TOAST_MILLISECONDS);
}

function watchToasts() {
  for (const toast of all("#toasts .toast:not([data-watched])")) {
    toast.dataset.watched = "";
    if (toast.dataset.undo) sessionStorage.setItem("admin:last", toast.dataset.undo);
    setTimeout(() => toast.remove(), TOAST_MILLISECONDS);
  }
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(history.state, "", here);
  }
}

async function undoLast() {
  const sequence = sessionStorage.getItem("admin:last");
  if (!sequence) return say("There is nothing of yours to undo here.");
  try {
    const { sequence: done } = await ask(`${base}/undo`, new URLSearchParams({ sequence }));
    await go(withDone(done));
  } catch (error) {
    if (error.answer?.commit) location.assign(error.answer.commit);
    else say(error.message, "removed");
  }
}

function withDone(sequence) {
  const here = new URL(location.href);
  if (sequence) here.searchParams.set("done", sequence);
  return here;
}

// ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Show another address in the place of this one: what stands in the frame is exchanged, the frame stays. */
export async function go(to, { push = true } = {}) {
  const main = one("main");
  main.setAttribute("aria-busy", "true");
  let response;
  try {
    response = await fetch(to, { credentials: "same-origin", headers: { Accept: "text/html" } });
  } catch {
    main.removeAttribute("aria-busy");
    return say("The server can't be reached.", "removed");
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (!one("main.main", page)) return location.assign(response.url);
  const scrolled = one(".content")?.scrollLeft ?? 0;
  const focused = sameAs(document.activeElement);
  for (const part of ["main.main", ".side nav", "#foot", "#toasts"]) one(part).replaceWith(one(part, page));
  document.title = page.title;
  if (push && response.url !== location.href) history.pushState(null, "", response.url);
  if (one(".content")) one(".content").scrollLeft = scrolled;
  setUp();
  focused?.()?.focus({ preventScroll: true });
}

/** What finds in the next page what is in focus now, so that keys go on from there; undefined if nothing is. */
function sameAs(element) {
  if (!element || !one("main").contains(element)) return undefined;
  const heading = element.closest("th[data-column]")?.dataset.column;
  if (heading) return () => one(`th[data-column="${CSS.escape(heading)}"] a`) ?? one("main");
  const id = element.closest(".drawer") && element.id;
  return () => (id && document.getElementById(id)) || current() || one("#filter") || one("main");
}

addEventListener("popstate", () => go(location.href, { push: false }));

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.matches("[data-swap]")) {
    event.preventDefault();
    go(link.href);
  } else if (link.matches("[data-drawer-link]") && one(".grid-frame")) {
    event.preventDefault();
    openDrawer(link.href);
  } else if (link.matches("[data-close]") && one(".grid-frame")) {
    event.preventDefault();
    closeDrawer();
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return event.preventDefault();
  if (form.matches("[data-filters]")) {
    event.preventDefault();
    const asked = new URLSearchParams(new FormData(form));
    if (asked.get("filter")?.trim()) go(`${form.action}?${asked}`);
  } else if (form.matches("[data-row-form]") && one(".grid-frame")) {
    event.preventDefault();
    saveRow(form);
  }
});

// ── the drawer ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function openDrawer(href, part = "") {
  const address = new URL(href, location.href);
  address.searchParams.set("part", "drawer");
  const response = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const drawer = one(".drawer", page);
  if (!drawer) return location.assign(href);
  one(".drawer")?.remove();
  one("main").append(drawer);
  mark();
  if (drawer.dataset.key !== undefined) {
    const here = new URL(location.href);
    here.searchParams.set("row", drawer.dataset.key);
    if (here.href !== location.href) history.pushState(null, "", here);
  }
  setUpDrawer();
  fetchHistory(drawer, href).then(() => part === "history" && one("#history", drawer)?.scrollIntoView());
  if (part) one(`#${part}`, drawer)?.scrollIntoView();
  drawer.tabIndex = -1; // keys lead on from it: [ and ] to its neighbours, Enter into its fields
  (drawer.dataset.new === undefined ? drawer : firstField(drawer) ?? drawer).focus({ preventScroll: true });
}

const firstField = (drawer) => one("input:not([type=hidden]), textarea, select", drawer);

/** Put the history into a drawer: it is read beside the rest, since it may take a while. */
async function fetchHistory(drawer, href) {
  const section = one("[data-history]", drawer);
  if (!section) return;
  const address = new URL(href, location.href);
  address.searchParams.set("part", "history");
  const response = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const found = one("#history", page);
  if (!found) return section.removeAttribute("aria-busy");
  section.replaceWith(found);
  one('.tabs a[href="#history"] small', drawer).textContent = found.dataset.count ?? "";
}

function setUpDrawer() {
  const drawer = one(".drawer");
  if (!drawer) return;
  for (const tab of all(".tabs a", drawer)) {
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      for (const each of all(".tabs a", drawer)) each.removeAttribute("aria-current");
      tab.setAttribute("aria-current", "true");
      one(tab.getAttribute("href"), drawer)?.scrollIntoView({ block: "start" });
    });
  }
  for (const box of all(".null-box input", drawer)) {
    const field = box.closest(".form-row").querySelector(".field");
    field.addEventListener("input", () => (box.checked = false));
  }
  for (const input of all("input[data-target]", drawer)) completeReference(input, drawer);
}

function closeDrawer() {
  one(".drawer")?.remove();
  mark();
  const here = new URL(location.href);
  if (here.searchParams.has("row")) {
    here.searchParams.delete("row");
    history.pushState(null, "", here);
  }
  focusCell(current());
}

function neighbour(step) {
  const rows = all(".grid tbody tr");
  const at = rows.findIndex((row) => row.dataset.key === one(".drawer")?.dataset.key);
  const row = rows[at + step];
  if (at >= 0 && row) openDrawer(one("a.open", row).href);
}

async function saveRow(form) {
  for (const error of all(".field-error", form)) error.remove();
  for (const row of all("[data-wrong]", form)) delete row.dataset.wrong;
  try {
    const { sequence } = await ask(form.action, new URLSearchParams(new FormData(form)));
    if (one(".drawer[data-new]")) one(".drawer").remove();
    if (sequence) await go(withDone(sequence), { push: false });
    else say("Nothing changed.");
  } catch (error) {
    const troubles = error.answer?.troubles ?? [{ field: "", detail: error.message }];
    for (const trouble of troubles) showTrouble(form, trouble);
    one(".field-error", form)?.scrollIntoView({ block: "center" });
  }
}

function showTrouble(form, trouble) {
  const control = trouble.field && form.elements.namedItem(`field:${trouble.field}`);
  const place = control ? control.closest(".form-row").lastElementChild : form;
  const error = make("p", { class: "field-error", role: "alert" }, trouble.detail);
  if (trouble.other) error.append(" ", make("a", { href: trouble.other }, "the other row"));
  if (trouble.conflict && trouble.now !== null && control) {
    form.elements.namedItem(`seen:${trouble.field}`).value = trouble.now;
    error.append(" Saving again overwrites it.");
  }
  if (control) {
    control.closest(".form-row").dataset.wrong = "";
    control.setAttribute("aria-invalid", "true");
    place.append(error);
  } else place.prepend(error);
}

function completeReference(input, drawer) {
  const list = make("datalist", { id: `keys-${input.id}` });
  input.after(list);
  input.setAttribute("list", list.id);
  const table = one(".grid")?.dataset.table ?? new URL(one("[data-row-form]", drawer).action).pathname.split("/").at(-2);
  const complete = later(async () => {
    const asked = new URLSearchParams({ field: input.name.slice("field:".length), q: input.value });
    const { values } = await ask(`${base}/tables/${table}/values?${asked}`);
    list.replaceChildren(...values.map((each) => make("option", { value: each.value }, each.label)));
  });
  input.addEventListener("input", complete);
}

function later(work, milliseconds = 120) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given).catch(() => {}), milliseconds);
  };
}

// ── the grid: one cell can be reached by Tab, the arrows lead to the others ─────────────────────────────────────────

let place = { key: null, column: null };

const rowsOf = () => all(".grid[data-table] tbody tr");
const cellsOf = (row) => all("td[data-column]", row).filter((cell) => cell.offsetParent !== null);

/** The cell that is, or would be, in focus. */
function current() {
  const rows = rowsOf();
  const row = rows.find((each) => each.dataset.key === place.key) ?? rows[0];
  if (!row) return null;
  const cells = cellsOf(row);
  return cells.find((each) => each.dataset.column === place.column) ?? cells[0];
}

function focusCell(cell) {
  if (!cell) return;
  for (const each of all('.grid td[tabindex="0"]')) each.tabIndex = -1;
  cell.tabIndex = 0;
  place = { key: cell.parentElement.dataset.key, column: cell.dataset.column };
  cell.focus();
}

function setUpGrid() {
  const grid = one(".grid[data-table]");
  if (!grid) return;
  for (const each of all("td[data-column], tbody a", grid)) each.tabIndex = -1;
  const first = current();
  if (first) first.tabIndex = 0;
  for (const [number, row] of rowsOf().entries()) row.setAttribute("aria-rowindex", number + 2);
  grid.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td[data-column]");
    if (!cell) return;
    for (const each of all('td[tabindex="0"]', grid)) each.tabIndex = -1;
    cell.tabIndex = 0;
    place = { key: cell.parentElement.dataset.key, column: cell.dataset.column };
  });
  grid.addEventListener("dblclick", (event) => {
    const cell = event.target.closest("td[data-column]");
    if (cell && !event.target.closest(".cell-editor")) edit(cell);
  });
  grid.addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr");
    if (!row || event.target.closest("a, input, button, .cell-editor")) return;
    if (matchMedia("(max-width: 720px)").matches) openDrawer(one("a.open", row).href);
  });
  grid.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) {
      for (const box of all("[data-pick]", grid)) box.checked = event.target.checked;
    }
    if (event.target.matches("[data-pick], [data-pick-all]")) showPicked();
  });
  setUpColumns(grid);
  paintStaged();
}

function move(rowStep, columnStep, extend = false) {
  const rows = rowsOf();
  const cell = current();
  if (!cell) return;
  const row = rows.indexOf(cell.parentElement) + rowStep;
  if (row >= rows.length) return one('.foot a[rel="next"]')?.click();
  if (row < 0) return;
  const cells = cellsOf(cell.parentElement);
  const column = Math.min(Math.max(cells.indexOf(cell) + columnStep, 0), cells.length - 1);
  if (extend) pick(cell.parentElement, true);
  const next = cellsOf(rows[row])[column];
  focusCell(next);
  if (extend) pick(rows[row], true);
  if (one(".drawer[data-key]") && rowStep) openDrawerKeepingFocus(rows[row]);
}

function openDrawerKeepingFocus(row) {
  openDrawer(one("a.open", row).href).then(() => focusCell(current()));
}

function mark() {
  const open = one(".drawer")?.dataset.key;
  for (const row of rowsOf()) {
    const isPicked = one("[data-pick]", row)?.checked;
    row.toggleAttribute("data-open", row.dataset.key === open);
    row.setAttribute("aria-selected", isPicked || row.dataset.key === open ? "true" : "false");
  }
}

function pick(row, checked) {
  const box = one("[data-pick]", row);
  box.checked = checked ?? !box.checked;
  showPicked();
}

function showPicked() {
  mark();
  const keys = rowsOf().filter((row) => one("[data-pick]", row).checked).map((row) => row.dataset.key);
  let bar = one("#picked");
  if (!keys.length) return bar?.remove();
  if (!bar) {
    bar = make("div", { class: "staged-bar picked", id: "picked", role: "status" });
    one("main > .foot").before(bar);
  }
  const asked = new URLSearchParams(keys.map((key) => ["key", key]));
  bar.replaceChildren(
    make("b", {}, `${keys.length} row${keys.length > 1 ? "s" : ""} selected`),
    make("span", { class: "spring" }),
    make("button", { class: "button", onclick: () => { for (const row of rowsOf()) one("[data-pick]", row).checked = false; showPicked(); } }, "Clear"),
    make("a", { class: "button danger", href: `${one(".grid-frame").dataset.rows}/delete?${asked}` }, "Delete …"),
  );
}

// ── columns: which are shown, how wide, which stay ──────────────────────────────────────────────────────────────────

const looks = new CSSStyleSheet();
document.adoptedStyleSheets = [...document.adoptedStyleSheets, looks];
const kept = (table) => JSON.parse(localStorage.getItem(`admin:columns:${base}:${table}`) ?? "{}");
const keep = (table, value) => localStorage.setItem(`admin:columns:${base}:${table}`, JSON.stringify(value));

function paintColumns(grid) {
  const { hidden = [], widths = {}, pinned = [] } = kept(grid.dataset.table);
  const rules = hidden.map((name) => `.grid [data-column="${CSS.escape(name)}"] { display: none; }`);
  for (const [name, width] of Object.entries(widths)) {
    rules.push(`.grid [data-column="${CSS.escape(name)}"] { width: ${+width}px; min-width: ${+width}px; max-width: ${+width}px; }`);
  }
  looks.replaceSync(rules.join("\n"));
  let left = 0;
  for (const head of all("th[data-column]", grid)) {
    const name = head.dataset.column;
    if (!pinned.includes(name) || hidden.includes(name)) continue;
    const at = `.grid [data-column="${CSS.escape(name)}"]`;
    rules.push(`${at} { position: sticky; left: ${left}px; background: var(--ground); z-index: 1; } .grid th${at.slice(6)} { z-index: 3; }`);
    left += head.offsetWidth;
  }
  looks.replaceSync(rules.join("\n"));
}

function setUpColumns(grid) {
  const table = grid.dataset.table;
  const sheet = one("#columns");
  const state = kept(table);
  for (const box of all("input", sheet)) {
    const name = box.value;
    box.checked = !(state.hidden ?? []).includes(name);
    box.addEventListener("change", () => {
      const now = kept(table);
      const hidden = new Set(now.hidden ?? []);
      if (box.checked) hidden.delete(name);
      else hidden.add(name);
      keep(table, { ...now, hidden: [...hidden] });
      paintColumns(grid);
    });
    const isPinned = (state.pinned ?? []).includes(name);
    const pin = make("button", { type: "button", class: "pin", "aria-pressed": isPinned, title: "Stays at the left", "aria-label": `Pin ${name}` }, icon("pin"));
    pin.addEventListener("click", () => {
      const now = kept(table);
      const pinned = new Set(now.pinned ?? []);
      if (!pinned.delete(name)) pinned.add(name);
      keep(table, { ...now, pinned: [...pinned] });
      pin.setAttribute("aria-pressed", pinned.has(name));
      paintColumns(grid);
    });
    box.parentElement.append(pin);
  }
  for (const head of all("th[data-column]", grid)) {
    const handle = make("span", { class: "resizer", "aria-hidden": "true" });
    head.append(handle);
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.setPointerCapture(event.pointerId);
      const begin = event.clientX - head.offsetWidth;
      handle.onpointermove = (moved) => {
        const now = kept(table);
        keep(table, { ...now, widths: { ...now.widths, [head.dataset.column]: Math.max(48, moved.clientX - begin) } });
        paintColumns(grid);
      };
      handle.onpointerup = () => (handle.onpointermove = null);
    });
    handle.addEventListener("dblclick", () => {
      const now = kept(table);
      delete now.widths?.[head.dataset.column];
      keep(table, now);
      paintColumns(grid);
    });
  }
  paintColumns(grid);
}

// ── edits that wait: kept for this tab until they are saved or discarded ────────────────────────────────────────────

const stagedName = () => `admin:staged:${one(".grid-frame")?.dataset.rows}`;
const staged = () => JSON.parse(sessionStorage.getItem(stagedName()) ?? "{}");
function setStaged(edits) {
  for (const key of Object.keys(edits)) if (!Object.keys(edits[key]).length) delete edits[key];
  if (Object.keys(edits).length) sessionStorage.setItem(stagedName(), JSON.stringify(edits));
  else sessionStorage.removeItem(stagedName());
  paintStaged();
}

const isOdd = (text) => /[\u0000-\u0008\u000b-\u001f]/.test(text);
/** What stands in the editor of a value that is given as JSON. */
function editorText(kind, json) {
  if (json === "null") return "";
  if (["bool", "choice", "list", "json"].includes(kind)) return json;
  if (!json.startsWith('"')) return json;
  const text = JSON.parse(json);
  return isOdd(text) ? json : text;
}

function headOf(cell) {
  return one(`.grid th[data-column="${CSS.escape(cell.dataset.column)}"]`);
}

function edit(cell) {
  const json = cell.dataset.json;
  const row = cell.parentElement;
  if (json === undefined || json.length > 200 || json.includes("\\n")) return openDrawer(one("a.open", row).href);
  if (one(".cell-editor")) finishEdit(true);
  const { kind, nullable, choices } = headOf(cell).dataset;
  const before = staged()[row.dataset.key]?.[cell.dataset.column];
  const text = before ? before.text : editorText(kind, json);
  const isNull = before ? before.null : json === "null";
  const options = kind === "bool" ? [true, false] : choices ? JSON.parse(choices) : null;
  let input;
  if (options) {
    input = make("select", { "aria-label": cell.dataset.column }, ...options.map((each) => make("option", { value: JSON.stringify(each) }, String(each))));
    if (nullable !== undefined) input.prepend(make("option", { value: "" }, "null"));
    input.value = isNull ? "" : text;
  } else {
    input = make("input", { "aria-label": cell.dataset.column, spellcheck: "false", placeholder: isNull ? "null" : "" });
    input.value = text;
  }
  const editor = make("span", { class: "cell-editor" }, input);
  editor.isNull = isNull;
  if (nullable !== undefined && !options) {
    editor.append(make("button", { type: "button", title: "null (Alt N)", onclick: () => { editor.isNull = true; input.value = ""; finishEdit(true); } }, "null"));
  }
  input.addEventListener("input", () => (editor.isNull = options ? input.value === "" : false));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") finishEdit(false);
    else if (event.key === "Enter") { event.preventDefault(); finishEdit(true); move(1, 0); }
    else if (event.key === "Tab") { event.preventDefault(); finishEdit(true); move(0, event.shiftKey ? -1 : 1); }
    else if (event.altKey && event.key === "n") { event.preventDefault(); one("button", editor)?.click(); }
    else if ((event.ctrlKey || event.metaKey) && event.key === "s") { event.preventDefault(); finishEdit(true); saveStaged(); }
  });
  editor.addEventListener("focusout", (event) => { if (!editor.contains(event.relatedTarget)) finishEdit(true); });
  cell.classList.add("editing");
  cell.append(editor);
  input.focus();
  input.select?.();
}

function finishEdit(isKept) {
  const editor = one(".cell-editor");
  if (!editor || editor.isDone) return;
  editor.isDone = true; // taking it away moves the focus, which ends it as well
  const cell = editor.parentElement;
  const input = one("input, select", editor);
  const { kind } = headOf(cell).dataset;
  const given = { seen: cell.dataset.json, text: input.value, null: editor.isNull };
  editor.remove();
  cell.classList.remove("editing");
  if (isKept) {
    const edits = staged();
    const fields = (edits[cell.parentElement.dataset.key] ??= {});
    const seen = fields[cell.dataset.column]?.seen ?? given.seen;
    const isSame = given.null ? seen === "null" : seen !== "null" && given.text === editorText(kind, seen);
    if (isSame) delete fields[cell.dataset.column];
    else fields[cell.dataset.column] = { ...given, seen };
    setStaged(edits);
  }
  focusCell(cell);
}

const countOf = (edits) => Object.values(edits).reduce((sum, fields) => sum + Object.keys(fields).length, 0);
const some = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function paintStaged() {
  const bar = one("#staged");
  if (!bar) return;
  const edits = staged();
  for (const cell of all(".grid td.staged")) {
    cell.classList.remove("staged", "conflict");
    if (cell.shown) cell.replaceChildren(...cell.shown);
    cell.shown = null;
    cell.removeAttribute("title");
  }
  for (const row of rowsOf()) {
    for (const [name, each] of Object.entries(edits[row.dataset.key] ?? {})) {
      const cell = one(`td[data-column="${CSS.escape(name)}"]`, row);
      if (!cell) continue;
      cell.shown ??= [...cell.childNodes];
      cell.replaceChildren(each.null ? make("i", {}, "null") : each.text);
      cell.classList.add("staged");
      if (each.trouble) {
        cell.classList.add("conflict");
        cell.title = each.trouble.detail;
      }
    }
  }
  const count = countOf(edits);
  bar.hidden = !count;
  if (!count) return bar.replaceChildren();
  const note = one("input", bar) ?? make("input", { class: "field", placeholder: "Why? (optional)", "aria-label": "Note", autocomplete: "off" });
  bar.replaceChildren(
    make("b", { role: "status" }, `${some(count, "change")} in ${some(Object.keys(edits).length, "row")}`),
    make("span", { class: "spring" }),
    note,
    make("button", { class: "button", type: "button", onclick: review }, "Review"),
    make("button", { class: "button", type: "button", onclick: () => setStaged({}) }, "Discard"),
    make("button", { class: "button", type: "button", title: "Another admin merges it", onclick: () => saveStaged("propose") }, "Propose"),
    make("button", { class: "button primary", type: "button", onclick: () => saveStaged() }, "Save", make("kbd", {}, "Ctrl S")),
  );
  showConflicts(bar, edits);
}

/** Beneath the bar: each edit that could not be saved, with both values, and what can be done. */
function showConflicts(bar, edits) {
  for (const [key, fields] of Object.entries(edits)) {
    for (const [name, each] of Object.entries(fields)) {
      if (!each.trouble) continue;
      const line = make("div", { class: "conflict-line", role: "alert" }, make("b", {}, `${name} `), each.trouble.detail, " ");
      if (each.trouble.conflict && each.trouble.now !== null) {
        line.append(
          make("span", { class: "value removed" }, each.trouble.now), " yours ", make("span", { class: "value added" }, each.null ? "null" : each.text), " ",
          make("button", { class: "button small", type: "button", onclick: () => { edits[key][name] = { ...each, seen: each.trouble.now, trouble: undefined }; setStaged(edits); } }, "Keep mine"), " ",
          make("button", { class: "button small", type: "button", onclick: () => { delete edits[key][name]; setStaged(edits); go(location.href, { push: false }); } }, "Take theirs"),
        );
      }
      if (each.trouble.other) line.append(make("a", { href: each.trouble.other }, "the other row"));
      bar.append(line);
    }
  }
}

async function saveStaged(how = "save") {
  const edits = staged();
  if (!countOf(edits)) return;
  const rows = Object.entries(edits).map(([key, fields]) => ({
    key,
    fields: Object.fromEntries(Object.entries(fields).map(([name, each]) => [name, { seen: each.seen, text: each.text, null: each.null }])),
  }));
  try {
    const { sequence, proposal } = await ask(`${one(".grid-frame").dataset.rows}/${how}`, { rows, note: one("#staged input")?.value ?? "" });
    setStaged({});
    if (proposal) return say(`Proposed, as ${proposal}: it waits under Proposals.`);
    await go(withDone(sequence), { push: false });
  } catch (error) {
    for (const trouble of error.answer?.troubles ?? []) {
      const fields = edits[trouble.key] ?? edits[Object.keys(edits)[0]];
      const names = trouble.field in fields ? [trouble.field] : Object.keys(fields);
      for (const name of names) fields[name].trouble = trouble;
    }
    if (!error.answer?.troubles) say(error.message, "removed");
    setStaged(edits);
  }
}

function review() {
  const list = make("div", { class: "review" });
  for (const [key, fields] of Object.entries(staged())) {
    for (const [name, each] of Object.entries(fields)) {
      list.append(
        make("div", { class: "change-row" }, make("span", { class: "sign replace" }, "~"), make("span", {}, make("span", { class: "mono" }, key.length > 16 ? key.slice(0, 8) : key), ` ${name}`),
          make("div", {}, make("span", { class: "value removed" }, each.seen), " ", make("span", { class: "value added" }, each.null ? "null" : each.text))),
      );
    }
  }
  const dialog = make("dialog", { class: "words", "aria-label": "Review" }, make("h1", {}, "Review"), list,
    make("form", { method: "dialog", class: "row-of" }, make("button", { class: "button primary", onclick: () => setTimeout(() => saveStaged()) }, "Save"), make("button", { class: "button" }, "Go on editing")));
  show(dialog);
}

function show(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.showModal();
}

// ── the filter bar: fields, then what can be asked of them, then values ─────────────────────────────────────────────

const OPERATORS = {
  text: ["=", "contains", "starts with", "!=", "in"],
  int: ["=", ">=", "<=", ">", "<", "!=", "in"],
  number: ["=", ">=", "<=", ">", "<", "!="],
  time: [">=", "<=", "=", ">", "<"],
  choice: ["=", "in", "!="],
  bool: ["="],
  list: ["has"],
  json: [],
};

function setUpFilter() {
  const input = one("#filter");
  if (!input) return;
  const fields = all("#filters option").map((each) => ({ name: each.value.trim(), kind: each.dataset.kind, nullable: "nullable" in each.dataset }));
  input.removeAttribute("list");
  const list = make("ul", { class: "completion", role: "listbox", id: "completion", hidden: true });
  input.closest("form").append(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-controls", "completion");
  input.setAttribute("aria-expanded", "false");
  let at = -1;

  function offer(options) {
    at = -1;
    list.replaceChildren(...options.map((each, number) =>
      make("li", { role: "option", id: `completion-${number}`, onmousedown: (event) => { event.preventDefault(); choose(each); } }, each.text, make("small", {}, each.meta ?? ""))));
    list.options = options;
    list.hidden = !options.length;
    input.setAttribute("aria-expanded", String(!!options.length));
  }

  function choose(option) {
    input.value = option.value;
    if (option.isWhole) return input.form.requestSubmit();
    complete();
  }

  const values = later(async (field, begin, typed) => {
    const asked = new URLSearchParams({ field: field.name, q: typed });
    const { values: found } = await ask(`${one(".grid-frame").dataset.rows}/values?${asked}`);
    offer(found.filter((each) => field.kind !== "bool" && field.kind !== "choice" || each.value.includes(typed))
      .map((each) => ({ text: each.label || each.value, meta: each.label ? each.value.slice(0, 8) : "", value: `${begin}${each.value}`, isWhole: true })));
  }, 60);

  function complete() {
    const text = input.value;
    const whole = /^\s*(\w+)\s*(>=|<=|!=|=|>|<|\bin\b|\bhas\b|\bcontains\b|\bstarts with\b)\s*(.*)$/.exec(text);
    const field = whole && fields.find((each) => each.name === whole[1]);
    if (field) {
      const inList = whole[2] === "in" ? whole[3].lastIndexOf(",") + 1 : 0;
      return values(field, text.slice(0, text.length - whole[3].length + inList), whole[3].slice(inList));
    }
    const named = fields.find((each) => text.startsWith(`${each.name} `));
    if (named) {
      const rest = text.slice(named.name.length + 1).trim();
      const words = [...(OPERATORS[named.kind] ?? ["="]), ...(named.nullable ? ["is null", "is not null"] : [])];
      return offer(words.filter((each) => each.startsWith(rest)).map((each) => ({
        text: `${named.name} ${each}`, value: `${named.name} ${each}${each.startsWith("is") ? "" : " "}`, isWhole: each.startsWith("is") })));
    }
    const wanted = text.trim().toLowerCase();
    offer(fields.filter((each) => each.name.toLowerCase().includes(wanted) && wanted !== "" || document.activeElement === input && wanted === "" && text === " ")
      .slice(0, 10).map((each) => ({ text: each.name, meta: each.kind, value: `${each.name} ` })));
  }

  input.addEventListener("input", complete);
  input.addEventListener("blur", () => offer([]));
  input.addEventListener("keydown", (event) => {
    const options = list.hidden ? [] : list.options;
    if (["ArrowDown", "ArrowUp"].includes(event.key) && options.length) {
      event.preventDefault();
      at = (at + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length;
      for (const [number, item] of [...list.children].entries()) item.setAttribute("aria-selected", String(number === at));
      input.setAttribute("aria-activedescendant", `completion-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    } else if (event.key === "ArrowDown" && !input.value) {
      input.value = " ";
      complete();
      input.value = "";
    } else if ((event.key === "Enter" || event.key === "Tab") && options.length && (at >= 0 || event.key === "Tab")) {
      event.preventDefault();
      choose(options[Math.max(at, 0)]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (list.hidden) input.blur();
      else offer([]);
    } else if (event.key === "Backspace" && !input.value) {
      all(".filterbar .chip a").at(-1)?.click();
    }
  });
}

// ── go to anything ──────────────────────────────────────────────────────────────────────────────────────────────────

function openGo() {
  if (one("dialog.go")) return;
  const input = make("input", { type: "search", placeholder: "A page, a table, a key, a name, #57", "aria-label": "Go to anything", autocomplete: "off", spellcheck: "false" });
  const hits = make("div", { class: "hits", role: "listbox" });
  const dialog = make("dialog", { class: "go", "aria-label": "Go to anything" }, input, hits);
  let at = 0;
  const find = later(async () => {
    const { hits: found } = await ask(`${base}/go?${new URLSearchParams({ q: input.value })}`);
    hits.replaceChildren(...found.map((hit) => make("a", { class: "nav", href: hit.url, role: "option" }, icon(hit.icon), make("span", {}, hit.label), make("span", { class: "count" }, hit.meta))));
    if (!found.length) hits.append(make("p", { class: "hint" }, "Nothing is called so."));
    at = 0;
    paint();
  }, 60);
  const paint = () => all("a", hits).forEach((each, number) => { each.classList.toggle("at", number === at); if (number === at) each.scrollIntoView({ block: "nearest" }); });
  input.addEventListener("input", find);
  input.addEventListener("keydown", (event) => {
    const count = all("a", hits).length;
    if (event.key === "ArrowDown") at = Math.min(at + 1, count - 1);
    else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
    else if (event.key === "Enter") return all("a", hits)[at]?.click();
    else return;
    event.preventDefault();
    paint();
  });
  show(dialog);
  input.focus();
  find();
}

const KEYS = [
  ["/", "Filter"], ["Ctrl K", "Go to anything"], ["J K ↑ ↓", "Rows"], ["Enter", "Edit, or open the row"], ["O", "Open the row"], ["N", "New row"], ["Space", "Select"],
  ["Shift ↑ ↓", "Select more"], ["Ctrl S", "Save"], ["Ctrl Z", "Undo my last commit"], ["H", "History of the row"], ["T", "Time machine, of this table"], ["[ ]", "Neighbours in the drawer"], ["Esc", "Close"], ["?", "These keys"],
];

function showKeys() {
  if (one("dialog.words")) return;
  const list = make("dl", { class: "keys" }, ...KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)]));
  show(make("dialog", { class: "words", "aria-label": "Keys" }, make("h1", {}, "Keys"), list, make("form", { method: "dialog" }, make("button", { class: "button" }, "Close"))));
}

// ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const isOurs = event.ctrlKey || event.metaKey;
  if (isOurs && event.key === "k") { event.preventDefault(); return openGo(); }
  if (isOurs && event.key === "s" && (one("#row-form") || one("#staged:not([hidden])"))) {
    event.preventDefault();
    return one("#row-form") && !one("#staged:not([hidden])") ? one("#row-form").requestSubmit() : saveStaged();
  }
  if (event.key === "Escape" && one(".menu[open]")) { event.preventDefault(); return closeMenus(true); }
  if (event.key === "Escape" && one(".drawer") && one(".grid-frame") && !one("dialog[open]")) { event.preventDefault(); return closeDrawer(); }
  if (isTyping || one("dialog[open]")) return;
  if (isOurs && event.key === "z") { event.preventDefault(); return undoLast(); }
  if (isOurs || event.altKey) return;
  if (event.target.closest("a, button, summary") && ["Enter", " "].includes(event.key)) return;
  const act = ACTS[event.key];
  if (act && act(event) !== false) event.preventDefault();
});

/** Close the menus that are open, but the one that holds an element. */
function closeMenus(isFocused, except = null) {
  for (const menu of all(".menu[open]")) {
    if (menu.contains(except)) continue;
    menu.open = false;
    if (isFocused) one("summary", menu).focus();
  }
}

document.addEventListener("click", (event) => closeMenus(false, event.target));

const inGrid = () => one(".grid[data-table]") && !one(".cell-editor");
const openRow = (part) => { const cell = current(); if (cell) openDrawer(one("a.open", cell.parentElement).href, part); };
const ACTS = {
  "/": () => one("#filter, .searchfield input")?.focus() ?? undefined,
  "?": showKeys,
  j: () => inGrid() ? focusFirstOr(() => move(1, 0)) : false,
  k: () => inGrid() ? focusFirstOr(() => move(-1, 0)) : false,
  ArrowDown: (event) => inGrid() && isCell(event) ? move(1, 0, event.shiftKey) : false,
  ArrowUp: (event) => inGrid() && isCell(event) ? move(-1, 0, event.shiftKey) : false,
  ArrowLeft: (event) => inGrid() && isCell(event) ? move(0, -1) : false,
  ArrowRight: (event) => inGrid() && isCell(event) ? move(0, 1) : false,
  Home: (event) => inGrid() && isCell(event) ? move(0, -1000) : false,
  End: (event) => inGrid() && isCell(event) ? move(0, 1000) : false,
  Enter: (event) => {
    if (event.target.matches(".drawer")) return firstField(event.target)?.focus() ?? undefined;
    const cell = inGrid() && isCell(event);
    if (!cell) return false;
    return cell.dataset.json === undefined ? openRow() : edit(cell);
  },
  F2: (event) => { const cell = inGrid() && isCell(event); return cell ? edit(cell) : false; },
  " ": (event) => { const cell = inGrid() && isCell(event); return cell ? pick(cell.parentElement) : false; },
  o: () => inGrid() ? openRow() : false,
  n: () => one("[data-new-row]") ? one("[data-new-row]").click() : false,
  h: () => inGrid() ? openRow("history") : false,
  t: () => {
    const link = one('.nav[data-page="time"]');
    const table = one(".grid[data-table]")?.dataset.table;
    return link ? location.assign(table ? `${link.href}?${new URLSearchParams({ table })}` : link.href) : false;
  },
  "[": () => one(".drawer") ? neighbour(-1) : false,
  "]": () => one(".drawer") ? neighbour(1) : false,
};
const isCell = (event) => event.target.closest?.(".grid td[data-column]");

function focusFirstOr(work) {
  if (document.activeElement?.closest(".grid td")) return work();
  focusCell(current());
  return undefined;
}

// ── the store's state ───────────────────────────────────────────────────────────────────────────────────────────────

async function renewState() {
  const foot = one("#foot");
  if (!foot || document.hidden) return;
  try {
    const state = await ask(`${base}/state`);
    foot.innerHTML = state.foot;
    for (const link of all(".nav[data-table]")) {
      const rows = (state.rows ?? {})[link.dataset.table];
      if (rows !== undefined) one(".count", link).textContent = rows.toLocaleString("en");
    }
    document.body.classList.remove("offline");
  } catch (error) {
    if (error.status === 401) location.reload();
    document.body.classList.toggle("offline", error.status === undefined);
  }
}

function setUp() {
  watchToasts();
  setUpGrid();
  setUpFilter();
  setUpDrawer();
  mark();
  if (matchMedia("(max-width: 720px)").matches) one(".side nav .here")?.scrollIntoView({ inline: "center", block: "nearest" });
  one(".find-table")?.addEventListener("input", (event) => {
    for (const link of all(".nav[data-table]")) link.hidden = !link.dataset.table.includes(event.target.value.trim());
  });
}

one(".goto input")?.addEventListener("focus", (event) => { event.target.blur(); openGo(); });
if (one("#foot")) setInterval(renewState, 5000);
setUp();
