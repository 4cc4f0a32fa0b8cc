// The page of the lesson: a lane each, run on both sides at once, told line by line as it happens.
import { $, ask, doing, el, toast } from "./kit.js";

const sides = [["naive", "json.dump to a file"], ["ours", "snaptable"]];
const buttons = [];

function card(lane) {
  const shown = Object.fromEntries(sides.map(([side, title]) => [side, sidePart(title)]));
  const figure = lane.name === "scale" ? el("div", { className: "curve" }) : null;
  const button = el("button", { type: "button", "aria-label": `Run ${lane.title}` }, "Run");
  const run = () => doing(button, async () => {
    const points = {};
    const tell = (side) => (step) => {
      show(shown[side], step);
      points[side] = step.points;
      if (figure && step.points.length) figure.replaceChildren(curve(points));
    };
    const each = ([side]) => runSide(lane, side, tell(side));
    if (figure) for (const side of sides) await each(side); // what is measured is not measured side by side
    else await Promise.all(sides.map(each));
    await showTally();
  });
  button.onclick = run;
  buttons.push(run);
  return el("section", { className: "card lane", id: lane.name, "aria-labelledby": `${lane.name}-title` },
    el("div", { className: "row" }, el("h2", { id: `${lane.name}-title` }, lane.title), el("p", { className: "dim grow" }, lane.question), button),
    el("div", { className: "sides" }, ...sides.map(([side]) => shown[side].part)), figure);
}

function sidePart(title) {
  const parts = { figure: el("div", { className: "count" }, "–"), says: el("p", { className: "says small", "aria-live": "polite" }, "Not run yet."),
    bytes: el("span", { className: "dim small" }), end: el("pre", { tabIndex: 0, "aria-label": `End of the file, ${title}` }), chip: el("span", { className: "chip", hidden: true }) };
  parts.part = el("div", { className: "side" }, el("div", { className: "row" }, el("h3", { className: "grow" }, title), parts.chip), parts.figure, parts.says, parts.bytes, parts.end);
  return parts;
}

function show(parts, step) {
  parts.figure.textContent = step.figure;
  parts.says.textContent = step.says;
  parts.bytes.textContent = step.file_bytes || step.file_end !== "" ? `db_snapshot.json, ${step.file_bytes.toLocaleString("en")} bytes, its end:` : "db_snapshot.json is empty, or not there.";
  parts.end.textContent = step.file_end;
  parts.end.scrollTop = parts.end.scrollHeight;
  parts.part.classList.remove("good", "bad");
  parts.chip.hidden = step.held === null;
  if (step.held !== null) {
    parts.part.classList.add(step.held ? "good" : "bad");
    parts.chip.className = `chip ${step.held ? "good" : "bad"}`;
    parts.chip.textContent = step.held ? "held" : "broken";
  }
}

async function runSide(lane, side, tell) {
  const response = await fetch(`/api/lanes/${lane.name}/${side}`, { method: "POST" });
  if (!response.ok) throw new Error((await response.json()).detail);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) tell(JSON.parse(line));
  }
}

/** Return a curve of milliseconds over rows, both by powers of ten. */
function curve(points) {
  const [width, height, left, bottom, right] = [720, 200, 56, 28, 130];
  const all = Object.values(points).flat();
  const span = (values) => [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)) + 0.01)];
  const [x0, x1] = span(all.map(([rows]) => rows));
  const [y0, y1] = span(all.map(([, ms]) => Math.max(ms, 0.01)));
  const x = (rows) => left + ((Math.log10(rows) - x0) / Math.max(1, x1 - x0)) * (width - left - right);
  const y = (ms) => height - bottom - ((Math.log10(Math.max(ms, 0.01)) - y0) / Math.max(1, y1 - y0)) * (height - bottom - 12);
  const parts = [];
  for (let power = y0; power <= y1; power++) {
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(10 ** power), y2: y(10 ** power) }));
    parts.push(svg("text", { x: left - 8, y: y(10 ** power) + 4, "text-anchor": "end" }, `${10 ** power} ms`));
  }
  for (const [rows] of points.naive ?? []) parts.push(svg("text", { x: x(rows), y: height - 8, "text-anchor": "middle" }, rows.toLocaleString("en")));
  for (const [side, title] of sides) {
    const mine = points[side] ?? [];
    if (!mine.length) continue;
    parts.push(svg("polyline", { class: side, points: mine.map(([rows, ms]) => `${x(rows)},${y(ms)}`).join(" ") }));
    for (const [rows, ms] of mine) parts.push(svg("circle", { class: side, cx: x(rows), cy: y(ms), r: 3.5 }));
    const [rows, ms] = mine.at(-1);
    parts.push(svg("text", { class: side, x: x(rows) + 10, y: y(ms) + 4 }, title));
  }
  const said = sides.map(([side, title]) => (points[side] ?? []).map(([rows, ms]) => `${title}: ${ms.toFixed(2)} ms at ${rows}`).join(", ")).join("; ");
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said }, ...parts);
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function showTally() {
  const tally = await ask("GET", "/api/tally");
  $("#tally").textContent = sides.filter(([side]) => tally[side].runs).map(([side, title]) => `${title}: ${tally[side].held} of ${tally[side].runs} held`).join(" · ");
}

$("#all").onclick = (event) => doing(event.currentTarget, async () => {
  for (const run of buttons) await run();
  toast("All lanes have run.");
});
doing(null, async () => {
  $("#lanes").replaceChildren(...(await ask("GET", "/api/lanes")).map(card));
  await showTally();
});
