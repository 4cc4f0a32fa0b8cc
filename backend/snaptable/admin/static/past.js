// What makes history live, and the time machine's handles follow the hand; the pages read without it.

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// ── history, as it happens ──────────────────────────────────────────────────────────────────────────────────────────

let source = null;
let news = 0;
let loading = false;

function isReading() {
  const content = one(".content");
  return content.scrollTop > 40 || content.contains(document.activeElement) || new URL(location.href).searchParams.has("before");
}

async function load() {
  if (loading) return;
  loading = true;
  news = 0;
  one("#news").hidden = true;
  try {
    const address = new URL(location.href);
    address.searchParams.delete("before");
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const fresh = one("#commits", page);
    if (!fresh) return;
    const known = new Set(all(".commit").map((each) => each.id));
    for (const each of all(".commit", fresh)) if (known.size && !known.has(each.id)) each.classList.add("new");
    one("#commits").replaceWith(fresh);
  } finally {
    loading = false;
  }
  if (news) load();
}

function follow() {
  const live = one("#live");
  if (!live || source || document.hidden) return;
  live.hidden = false;
  source = new EventSource(`${live.dataset.live}?since=${live.dataset.since}`);
  source.addEventListener("commit", (event) => {
    live.dataset.since = JSON.parse(event.data).sequence;
    news += 1;
    if (!isReading()) return load();
    const button = one("#news");
    button.hidden = false;
    button.textContent = `${news} new`;
    return undefined;
  });
  source.addEventListener("open", () => live.classList.remove("off"));
  source.addEventListener("error", () => live.classList.add("off"));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); source = null; }
  else follow();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("#news")) return;
  one(".content").scrollTo({ top: 0 });
  load();
});
addEventListener("pagehide", () => source?.close());
follow();

// ── the time machine's handles ──────────────────────────────────────────────────────────────────────────────────────

const bar = one(".timebar");
if (bar) {
  const fields = { then: one(".moment [name=from]"), now: one(".moment [name=to]") };
  bar.classList.add("dragged");
  for (const range of all(".slider", bar)) {
    range.hidden = false;
    const name = range.classList.contains("then") ? "then" : "now";
    range.addEventListener("input", () => {
      const other = one(name === "then" ? ".slider.now" : ".slider.then", bar);
      if (name === "then" && +range.value > +other.value) range.value = other.value;
      if (name === "now" && +range.value < +other.value) range.value = other.value;
      fields[name].value = name === "now" && range.value === range.max ? "now" : `#${range.value}`;
    });
    // Several keys are one move; and the page that answers gives the handle back to who moves it by keys.
    let pause;
    range.addEventListener("change", () => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        if (document.activeElement === range) sessionStorage.setItem("handle", name);
        fields[name].form.requestSubmit();
      }, 300);
    });
    if (sessionStorage.getItem("handle") === name) {
      sessionStorage.removeItem("handle");
      range.focus();
    }
  }
}

// ── the file, at its line ───────────────────────────────────────────────────────────────────────────────────────────

one(".file tr.here")?.scrollIntoView({ block: "center" });

// ── a file that is dropped, or chosen, is taken at once ─────────────────────────────────────────────────────────────

one("input[type=file][data-at-once]")?.addEventListener("change", (event) => event.target.form.requestSubmit());
