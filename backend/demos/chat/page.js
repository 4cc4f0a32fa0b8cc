// The page of the chat. The conversation that is open is in the address, so that a second window shows the same one.
import { $, ask, count, doing, el, follow, live, toast } from "./kit.js";

const base = "/api/v1/chat";
const fresh = "new"; // in the address, where no conversation is open
const open = () => (location.hash.slice(1) === fresh ? null : location.hash.slice(1) || null);

// ── conversations and messages ──────────────────────────────────────────────────────────────────────────────────────

async function showTalks() {
  const { items } = await ask("GET", `${base}/conversations?sort=-updated_at&limit=100`);
  if (!location.hash) history.replaceState(null, "", `#${items[0]?.id ?? fresh}`);
  $("#talks").replaceChildren(...items.map((talk) => el("li", {},
    el("button", { type: "button", className: "talk", "aria-current": String(talk.id === open()), title: talk.title, onclick: () => { location.hash = talk.id; } },
      talk.title), el("span", { className: "dim small" }, String(talk.message_count)),
    el("button", { type: "button", className: "plain danger", "aria-label": `Delete ${talk.title}`, onclick: (event) => doing(event.currentTarget, () => remove(talk)) }, "Delete"))));
}

async function showMessages() {
  const key = open();
  let shown = { conversation: { title: "New conversation" }, messages: [] };
  if (key) {
    try {
      shown = await ask("GET", `${base}/conversation/${key}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      history.replaceState(null, "", `#${fresh}`);
    }
  }
  $("#title").textContent = shown.conversation.title;
  const empty = el("p", { className: "dim" }, "Nothing here yet. What you write is answered, and kept with its answer in one commit.");
  $("#messages").replaceChildren(...(shown.messages.length ? shown.messages.map(bubble) : [empty]));
  $("#messages").scrollTop = $("#messages").scrollHeight;
}

function bubble(message) {
  const { model, sources } = message.metadata;
  const about = model ? el("small", {}, [model, sources?.length ? `from ${count(sources.length, "message")}` : null].filter(Boolean).join(" · ")) : null;
  return el("div", { className: `message ${message.role}` }, message.content, about);
}

async function remove(talk) {
  await ask("DELETE", `${base}/conversation/${talk.id}`);
  if (open() === talk.id) location.hash = fresh;
  toast(`“${talk.title}” and its ${count(talk.message_count, "message")} are deleted.`, {
    label: "Undo",
    act: () => doing(null, async () => {
      await ask("POST", `${base}/conversation/${talk.id}/undo`);
      location.hash = talk.id;
    }),
  });
}

$("#new").onclick = () => { location.hash = fresh; $("#send textarea").focus(); };
$("#send textarea").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("#send").requestSubmit();
  }
};
$("#send").onsubmit = (event) => {
  event.preventDefault();
  const field = $("#send textarea");
  const message = field.value;
  doing($("#send button"), async () => {
    const waiting = [el("div", { className: "message user waiting" }, message), el("div", { className: "message waiting" }, "…")];
    $("#messages .dim")?.remove();
    $("#messages").append(...waiting);
    $("#messages").scrollTop = $("#messages").scrollHeight;
    field.value = "";
    try {
      const said = await ask("POST", `${base}/message`, { message, conversation_id: open() });
      if (open() !== said.conversation.id) location.hash = said.conversation.id;
      else await showMessages();
    } catch (error) {
      waiting.forEach((each) => each.remove());
      field.value = message;
      throw error;
    }
  });
};

// ── the four tests ──────────────────────────────────────────────────────────────────────────────────────────────────

const state = () => ask("GET", "/api/demo/state");

async function showFile() {
  const now = await state();
  $("#bytes").textContent = `${now.file_bytes.toLocaleString("en")} bytes`;
  $("#file").textContent = now.file_end;
  $("#file").scrollTop = $("#file").scrollHeight;
  return now;
}

/** Return the state of the next server process, when it answers. */
async function nextState(pid) {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const now = await state();
      if (now.pid !== pid) return now;
    } catch {
      // The connection went with the process.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("The server did not come back.");
}

function trial(name, run) {
  const list = $(`#${name} ol`);
  const tell = (text, good = null) => list.append(el("li", { className: good === null ? "" : good ? "good" : "bad" }, text));
  $(`#${name} button`).onclick = (event) => doing(event.currentTarget, async () => {
    list.replaceChildren();
    await run(tell);
  });
}

const inAll = (now) => `${count(now.messages, "message")} in ${count(now.conversations, "conversation")}`;

trial("restart", async (tell) => {
  const before = await ask("POST", "/api/demo/restart");
  tell(`Process ${before.pid} stops: ${inAll(before)}`);
  const began = performance.now();
  const after = await nextState(before.pid);
  tell(`Process ${after.pid}, after ${((performance.now() - began) / 1000).toFixed(1)} s: ${inAll(after)}`, after.messages === before.messages && after.sound);
});

trial("kill", async (tell) => {
  const before = await state();
  tell(`${inAll(before)}; writing …`);
  let told = 0;
  try {
    const response = await fetch("/api/demo/kill", { method: "POST" });
    if (!response.ok) throw new Error((await response.json()).detail);
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      told += part.value.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // as fetch calls a connection that broke
  }
  tell(`Process ${before.pid} is killed; ${count(told, "pair")} were told to be durable`);
  const after = await nextState(before.pid);
  const kept = (after.messages - before.messages) / 2;
  tell(`${count(kept, "pair")} are there, none by half`, kept >= told && after.sound);
});

trial("watch", async (tell) => {
  window.open(location.href, "_blank", "popup,width=900,height=700");
  tell("What you write here appears there, by the feed.", true);
});

trial("lose", async (tell) => {
  const before = await ask("POST", "/api/demo/lose");
  tell(`A backup of ${inAll(before)} is made and verified`);
  const empty = await nextState(before.pid);
  tell(`The folder is deleted; the server began anew: ${inAll(empty)}`);
  await ask("POST", "/api/demo/put-back");
  const after = await nextState(empty.pid);
  tell(`The backup is put back: ${inAll(after)}`, after.messages === before.messages && after.sound);
});

// ── live ────────────────────────────────────────────────────────────────────────────────────────────────────────────

let due = 0;
function readSoon() {
  clearTimeout(due);
  due = setTimeout(() => doing(null, async () => { await showTalks(); await Promise.all([showMessages(), showFile()]); }), 60);
}
addEventListener("hashchange", readSoon);
follow("/api/changes", { state: live($("#live")), lost: readSoon, commit: readSoon });
readSoon();
