// The admin's script: what makes the pages quicker to use. Without it every page reads, and a row can be edited.

const meta = document.querySelector('meta[name="admin"]');
export const base = meta.content;
export const token = meta.dataset.token;
export const one = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Fetch JSON of the admin; `body` makes it a POST. Throws an Error whose `status` and `detail` say why not. */
export async function ask(path, body) {
  const options = { headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.headers["X-Admin-Token"] = token;
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw Object.assign(new Error(answer.detail || response.statusText), { status: response.status, answer });
  }
  return answer;
}

// ── the store's state ───────────────────────────────────────────────────────────────────────────────────────────────

async function renewState() {
  const foot = one("#foot");
  if (!foot || document.hidden) return;
  try {
    const state = await ask(`${base}/state`);
    foot.innerHTML = state.foot;
    for (const link of all("[data-table].nav")) {
      const rows = (state.rows || {})[link.dataset.table];
      if (rows !== undefined) one(".count", link).textContent = rows.toLocaleString("en");
    }
    document.body.classList.remove("offline");
  } catch {
    document.body.classList.add("offline");
  }
}
if (one("#foot")) setInterval(renewState, 5000);

// ── questions before what can't be taken back easily ────────────────────────────────────────────────────────────────

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
