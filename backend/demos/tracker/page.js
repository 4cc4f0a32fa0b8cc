// The page of the tracker: what it shows is read again when the feed says that something changed, in whatever window.
import { $, ask, commitItem, count, doing, el, follow, live, toast } from "./kit.js";

let chosen = null; // the key of the track that is shown
let users = [];

let showing = Promise.resolve();

/** Read all again, behind what is being read: of two readings side by side the older one might be shown last. */
function showAll() {
  showing = showing.catch(() => {}).then(readAll);
  return showing;
}

async function readAll() {
  const difficulty = $("#difficulty").value;
  const filter = difficulty ? `&difficulty=${difficulty}` : "";
  const [tracks, everybody, numbers, popular] = await Promise.all([
    ask("GET", `/api/tracks?sort=title&limit=200&expand=lessons${filter}`),
    ask("GET", "/api/users?sort=name&limit=200"),
    ask("GET", "/api/tracks/statistics"),
    ask("GET", "/api/tracks/popular"),
  ]);
  users = everybody.items;
  showFigures(numbers);
  $("#tracks").replaceChildren(...tracks.items.map(trackItem));
  $("#popular").replaceChildren(...popular.map((track) => el("tr", {}, el("td", {}, track.title), number(track.users),
    number(track.time_spent), number(track.score === null ? "–" : track.score.toFixed(0)))));
  if (chosen === null && tracks.items.length) chosen = tracks.items[0].id;
  await showTrack();
}

const number = (value) => el("td", { className: "num" }, String(value));

function showFigures(numbers) {
  const figures = [["Users", numbers.users], ["Tracks published", `${numbers.published} of ${numbers.tracks}`], ["Lessons done", numbers.lessons_done],
    ["Minutes spent", numbers.time_spent], ["Mean score", numbers.score.avg === null ? "–" : numbers.score.avg.toFixed(1)],
    ["Scores", numbers.score.min === null ? "–" : `${numbers.score.min} – ${numbers.score.max}`]];
  $("#figures").replaceChildren(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
}

function trackItem(track) {
  const state = track.published_at ? null : el("span", { className: "chip warn" }, "draft");
  const button = el("button", { type: "button", className: "track", "aria-pressed": String(track.id === chosen), onclick: () => choose(track.id) },
    el("span", { className: "row" }, el("b", { className: "grow" }, track.title), state),
    el("span", { className: "dim small" }, `${track.difficulty} · ${count(track.lessons.items.length, "lesson")}`));
  return el("li", {}, button);
}

async function choose(id) {
  chosen = id;
  for (const each of document.querySelectorAll(".track")) each.setAttribute("aria-pressed", "false");
  await showAll();
}

async function showTrack() {
  const place = $("#track");
  if (chosen === null) return;
  let track;
  try {
    track = await ask("GET", `/api/tracks/${chosen}?expand=lessons`);
  } catch (error) {
    if (error.status !== 404) throw error;
    chosen = null;
    place.replaceChildren(el("h2", { id: "track-title", className: "dim" }, "Choose a track"));
    return;
  }
  const rows = (await ask("GET", `/api/progress?track_id=${chosen}&limit=200`)).items;
  const lessons = track.lessons.items.sort((one, other) => one.order - other.order);
  const typed = typedTitle(track.id);
  place.dataset.key = track.id;
  place.replaceChildren(
    el("div", { className: "row" }, el("h2", { id: "track-title", className: "grow" }, track.title),
      track.published_at ? el("span", { className: "chip good" }, "published") : button("Publish", "main", () => ask("POST", `/api/tracks/${chosen}/publish`)),
      button("Put away", "danger", putAway)),
    el("p", { className: "dim" }, track.description || "No description."),
    lessonTable(lessons), lessonForm(lessons), el("h3", {}, "Who learns it"), learners(rows, lessons), enrolForm(track));
  title().value = typed.text;
  if (typed.focused) title().focus();
}

const title = () => $("#track [name=title]");

/** What is typed into the form of a lesson stays when the track is read again, as it is after every change of anybody's. */
function typedTitle(key) {
  const stays = $("#track").dataset.key === key ? title() : null;
  return { text: stays?.value ?? "", focused: stays !== null && stays === document.activeElement };
}

function button(label, className, act) {
  return el("button", { type: "button", className, onclick: (event) => doing(event.currentTarget, act) }, label);
}

function lessonTable(lessons) {
  const rows = lessons.map((lesson) => el("tr", {}, el("td", { className: "num dim" }, String(lesson.order)), el("td", {}, lesson.title), number(`${lesson.duration} min`),
    el("td", { className: "num" }, el("button", { type: "button", className: "plain danger", "aria-label": `Delete ${lesson.title}`,
      onclick: (event) => doing(event.currentTarget, () => ask("DELETE", `/api/lessons/${lesson.id}`)) }, "Delete"))));
  const head = el("tr", {}, el("th", { className: "num" }, "#"), el("th", {}, "Lesson"), el("th", { className: "num" }, "Length"), el("th", {}, el("span", { className: "hidden" }, "Actions")));
  return el("div", { className: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
}

function lessonForm(lessons) {
  const form = el("form", { className: "row" },
    el("input", { name: "title", required: true, maxLength: 200, placeholder: "A new lesson", className: "grow", "aria-label": "Title of a new lesson" }),
    el("input", { name: "order", type: "number", min: 1, max: 1000, value: String((lessons.at(-1)?.order ?? 0) + 1), "aria-label": "Its place" }), el("button", {}, "Add"));
  form.onsubmit = (event) => {
    event.preventDefault();
    const given = new FormData(form);
    doing($("button", form), async () => {
      await ask("POST", "/api/lessons", { track_id: chosen, title: given.get("title"), order: Number(given.get("order")) });
      title().value = "";
    });
  };
  return form;
}

function learners(rows, lessons) {
  const byUser = Map.groupBy(rows, (row) => row.user_id);
  if (!byUser.size) return el("p", { className: "dim" }, "Nobody yet.");
  const shown = [...byUser].map(([key, mine]) => {
    const done = mine.filter((row) => row.done).length;
    const name = users.find((user) => user.id === key)?.name ?? key;
    const next = lessons.map((lesson) => mine.find((row) => row.lesson_id === lesson.id)).find((row) => row && !row.done);
    return el("tr", {}, el("td", {}, name), el("td", { className: "bar" }, el("progress", { max: mine.length, value: done, "aria-label": `${name}: ${done} of ${mine.length}` })), number(`${done} of ${mine.length}`),
      el("td", { className: "num" }, next ? el("button", { type: "button", className: "plain", "aria-label": `${name}: next lesson done`, onclick: (event) => doing(event.currentTarget, () => finish(next)) }, "Next done") : el("span", { className: "chip good" }, "done")));
  });
  return el("div", { className: "scroll" }, el("table", {}, el("tbody", {}, ...shown)));
}

const finish = (row) => ask("PATCH", `/api/progress/${row.id}`, { done: true, score: 60 + Math.floor(Math.random() * 41), time_spent: row.time_spent + 15 });

function enrolForm(track) {
  const select = el("select", { name: "user", className: "grow", "aria-label": "User" }, ...users.map((user) => el("option", { value: user.id }, user.name)));
  const form = el("form", { className: "row" }, select, el("button", {}, "Enrol"));
  form.onsubmit = (event) => {
    event.preventDefault();
    doing($("button", form), () => ask("POST", `/api/tracks/${track.id}/enrol`, { user_id: select.value }));
  };
  return form;
}

async function putAway() {
  const key = chosen;
  await ask("DELETE", `/api/tracks/${key}`);
  toast("The track is put away.", { label: "Take out", act: () => doing(null, () => ask("POST", `/api/tracks/${key}/take-out`)) });
}

$("#difficulty").onchange = () => doing(null, showAll);
$("#new-track").onsubmit = (event) => {
  event.preventDefault();
  const input = $("input", event.target);
  doing($("button", event.target), async () => {
    chosen = (await ask("POST", "/api/tracks", { title: input.value })).id;
    input.value = "";
    await showAll();
  });
};

// Names for the log: a progress row has none of its own.
const names = (table, row) => row.title ?? row.name ?? users.find((user) => user.id === row.user_id)?.name ?? row.id.slice(0, 8);
const undo = (commit, pressed) => doing(pressed, async () => {
  const done = await ask("POST", `/api/undo/${commit.sequence}`);
  toast(`Commit ${commit.sequence} is undone: ${count(done.changes, "row")} changed back.`);
});

let due = 0;
function readSoon() {
  clearTimeout(due);
  due = setTimeout(() => doing(null, showAll), 60);
}
follow("/api/changes", {
  state: live($("#live")),
  lost: readSoon,
  commit(commit) {
    $("#nothing")?.remove();
    $("#log").prepend(commitItem(commit, names, undo));
    while ($("#log").children.length > 12) $("#log").lastChild.remove();
    readSoon();
  },
});
doing(null, showAll);
