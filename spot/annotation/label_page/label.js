// The label page. State lives in `videos` (from /api/project); every change goes to the server at once, one request
// at a time, the latest change of a label last.
"use strict";

const COLOURS = ["#ffb000", "#2fb5ff", "#ff5fa2", "#38d39f", "#b18cff", "#ff7847", "#c3d82c", "#ff4d4d", "#8fb8de"];
const OFFSETS = [-20, -12, -7, -4, -2, -1, 0, 1, 2, 4, 7, 12, 20];
const HANDLES = [[0, 0], [.5, 0], [1, 0], [1, .5], [1, 1], [.5, 1], [0, 1], [0, .5]];
const CURSORS = ["nwse", "ns", "nesw", "ew", "nwse", "ns", "nesw", "ew"];
const $ = id => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");

let videos = [], next = "";
let video = null, frame = 0, target = 1;   // where we are
let image = null, peek = null;             // the frame, and a neighbour while the pointer is on the filmstrip
let view = {scale: 1, x: 0, y: 0};         // image pixels to CSS pixels
let draft = null, action = null, spaceDown = false;
const undo = [];

// ---- labels ---------------------------------------------------------------------------------------------------

const labelOf = (v, t, f) => v.labels.find(l => l.target === t && l.frame === f);
const targetsOf = v => [...new Set([...v.targets, ...v.labels.map(l => l.target)])].sort((a, b) => a - b);
const labelled = (v, f) => v.labels.some(l => l.frame === f);

function setLabel(v, t, f, box, keep = true) {
  const old = labelOf(v, t, f);
  if (keep) undo.push({v, t, f, box: old ? old.box : undefined});
  v.labels = v.labels.filter(l => l !== old);
  if (box !== undefined) v.labels.push({target: t, frame: f, box});
  if (!v.tasks.includes(f)) v.tasks = [...v.tasks, f].sort((a, b) => a - b);
  send(v, t, f, box);
  show();
}

function ghost() {   // the box of the nearest labelled frame of this target, the earlier one if both are as near
  const others = video.labels.filter(l => l.target === target && l.frame !== frame && l.box);
  return others.sort((a, b) => Math.abs(a.frame - frame) - Math.abs(b.frame - frame) || a.frame - b.frame)[0] || null;
}

// ---- saving ---------------------------------------------------------------------------------------------------

const waiting = new Map();
let sending = false;

function send(v, t, f, box) {
  waiting.delete(`${v.index}/${t}/${f}`);
  waiting.set(`${v.index}/${t}/${f}`, {video: v.name, target: t, frame: f, box});
  status("waiting", "saving");
  flush();
}

async function flush() {
  if (sending) return;
  sending = true;
  while (waiting.size) {
    const [key, body] = waiting.entries().next().value;
    waiting.delete(key);
    try {
      const answer = await fetch("/api/label", {
        method: body.box === undefined ? "DELETE" : "PUT",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify(body),
      });
      if (answer.status === 403) throw new Error("the server was started again: open its new address");
      const content = await answer.json();
      if (!answer.ok) {
        status("failed", `not saved: ${content.error}`);
        await load();   // what the disk has
        sending = false;
        return;
      }
    } catch (error) {
      if (!waiting.has(key)) waiting.set(key, body);   // a later change of the same label wins
      status("failed", error instanceof TypeError ? "not saved: the server is gone; start it again" : `not saved: ${error.message}`);
      sending = false;
      setTimeout(flush, 1500);
      return;
    }
  }
  sending = false;
  status("", "✓ saved");
}

function status(kind, text) {
  $("saved").className = `saved ${kind}`;
  $("saved").textContent = text;
}

// ---- where we are ---------------------------------------------------------------------------------------------

function go(v, f, t) {
  const other = video !== v;
  video = v;
  frame = f;
  if (other && !t) target = 1;
  if (t) target = t;
  draft = action = peek = null;
  location.hash = `${encodeURIComponent(v.name)}/${f}`;
  const wanted = new Image();
  wanted.onload = () => {
    if (video !== v || frame !== f) return;
    image = wanted;
    if (other) fit();
    draw();
  };
  wanted.src = source(v, f);
  drawStrip();
  show();
  const ahead = following();
  if (ahead) new Image().src = source(...ahead);
}

const source = (v, f, height) => `/api/frame/${v.index}/${f}${height ? `?height=${height}` : ""}`;
const allTasks = () => videos.flatMap(v => v.tasks.map(f => [v, f]));

function following(skipDone = true) {
  const tasks = allTasks(), here = tasks.findIndex(([v, f]) => v === video && f === frame);
  const order = [...tasks.slice(here + 1), ...tasks.slice(0, Math.max(here, 0))];
  return (skipDone ? order.find(([v, f]) => !labelled(v, f)) : order[0]) || null;
}

function goNext() {
  const unfinished = targetsOf(video).find(t => t > target && !labelOf(video, t, frame));
  if (labelOf(video, target, frame) && unfinished) return choose(unfinished);
  const to = following();
  if (to) go(...to, to[0] === video ? targetsOf(video)[0] : 1);
  else if (labelled(video, frame)) finish();
  else status("failed", "this frame has no label yet");
}

function goBy(step) {
  const tasks = allTasks(), here = tasks.findIndex(([v, f]) => v === video && f === frame);
  const to = tasks[here + step];
  if (to) go(...to);
}

function choose(t) {
  target = t;
  draft = null;
  show();
}

function finish() {
  const open = allTasks().filter(([v, f]) => !labelled(v, f)).length;
  $("done-title").textContent = open ? `${open} frames wait for a label` : "All frames are labelled";
  $("done-note").textContent = open ? "What is labelled is on disk; the same command continues later." : "";
  $("command").textContent = next;
  $("done").showModal();
}

// ---- drawing --------------------------------------------------------------------------------------------------

function fit() {
  const box = canvas.getBoundingClientRect(), margin = 16;
  view.scale = Math.min((box.width - 2 * margin) / video.width, (box.height - 2 * margin) / video.height);
  view.x = (box.width - video.width * view.scale) / 2;
  view.y = (box.height - video.height * view.scale) / 2;
}

const toScreen = ([x, y]) => [x * view.scale + view.x, y * view.scale + view.y];
const toImage = ([x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale];

function draw() {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(box.width * ratio) || canvas.height !== Math.round(box.height * ratio)) {
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  const shown = peek ? peek.image : image;
  if (!shown || !video) return;
  pen.imageSmoothingEnabled = view.scale < 3;
  pen.drawImage(shown, view.x, view.y, video.width * view.scale, video.height * view.scale);
  const at = peek ? peek.frame : frame;
  for (const t of targetsOf(video)) {
    const label = labelOf(video, t, at);
    if (label && label.box && !(t === target && draft && !peek)) outline(label.box, t, t === target && !peek);
  }
  const last = !peek && !draft && !labelOf(video, target, frame) && ghost();
  if (last) outline(last.box, target, false, true);
  if (draft && !peek) outline(draft, target, action === null || action.kind !== "draw");
}

function outline([x, y, w, h], t, active, dashed = false) {
  const [left, top] = toScreen([x, y]), colour = COLOURS[(t - 1) % COLOURS.length];
  const width = w * view.scale, height = h * view.scale;
  pen.lineWidth = 4;
  pen.strokeStyle = "rgb(0 0 0 / .45)";
  pen.setLineDash(dashed ? [7, 6] : []);
  if (!dashed) pen.strokeRect(left, top, width, height);
  pen.lineWidth = 2;
  pen.strokeStyle = colour;
  pen.globalAlpha = dashed ? .8 : 1;
  pen.strokeRect(left, top, width, height);
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  if (active) {
    for (const [a, b] of HANDLES) {
      pen.fillStyle = "#fff";
      pen.fillRect(left + a * width - 4, top + b * height - 4, 8, 8);
      pen.lineWidth = 1.5;
      pen.strokeRect(left + a * width - 4, top + b * height - 4, 8, 8);
    }
  }
  if (targetsOf(video).length > 1 || t > 1) {
    pen.font = "600 12px system-ui, sans-serif";
    pen.fillStyle = colour;
    pen.fillRect(left - 1, top - 18, 18, 17);
    pen.fillStyle = "#10141a";
    pen.fillText(String(t), left + 5, top - 5);
  }
}

function show() {   // all but the canvas' picture
  const tasks = allTasks(), done = tasks.filter(([v, f]) => labelled(v, f)).length;
  $("count").textContent = `${done} of ${tasks.length} frames`;
  $("bar").style.width = `${tasks.length ? 100 * done / tasks.length : 0}%`;
  const place = $("place");
  place.replaceChildren(bold(video.name), ` frame ${frame} of ${video.count}`);
  $("videos").replaceChildren(...videos.map(videoRow));
  const here = $("videos").querySelector(".on");
  if (here) here.scrollIntoView({block: "nearest"});
  const numbers = targetsOf(video);
  if (!numbers.includes(target)) numbers.push(target);
  if (numbers.length < 9) numbers.push(Math.max(...numbers) + 1);
  $("targets").replaceChildren(...numbers.slice(0, 9).map((t, i) => targetButton(t, i === numbers.length - 1 && t !== target && !targetsOf(video).includes(t))));
  const label = labelOf(video, target, frame);
  $("absent").classList.toggle("on", Boolean(label && !label.box));
  $("paste").disabled = !ghost();
  $("hint").textContent = label && !label.box ? "absent" : label || draft ? "" : ghost() ? "drag a box, or c for the dashed one" : "drag a box around the target";
  draw();
}

function bold(text) {
  const element = document.createElement("b");
  element.textContent = text;
  return element;
}

function videoRow(v) {
  const row = document.createElement("li"), name = document.createElement("span"), dots = document.createElement("div");
  row.className = v === video ? "on" : "";
  row.tabIndex = 0;
  row.title = v.name;
  name.className = "name";
  name.textContent = v.name;
  dots.className = "dots";
  for (const f of v.tasks) {
    const dot = document.createElement("i");
    dot.className = `${labelled(v, f) ? "done" : ""} ${v === video && f === frame ? "here" : ""}`;
    dot.title = `frame ${f}`;
    dot.onclick = event => { event.stopPropagation(); go(v, f); };
    dots.append(dot);
  }
  row.append(name, dots);
  row.onclick = () => go(v, v.tasks.find(f => !labelled(v, f)) ?? v.tasks[0] ?? 0);
  return row;
}

function targetButton(t, fresh) {
  const button = document.createElement("button"), colour = document.createElement("i");
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", String(t === target));
  button.style.setProperty("--colour", COLOURS[(t - 1) % COLOURS.length]);
  button.title = fresh ? `Begin target ${t} (key ${t})` : `Target ${t} (key ${t})`;
  button.append(colour, fresh ? `+ ${t}` : String(t));
  button.onclick = () => choose(t);
  return button;
}

function drawStrip() {
  const figures = OFFSETS.map(offset => frame + offset).filter(f => f >= 0 && f < video.count).map(f => {
    const figure = document.createElement("figure"), picture = document.createElement("img"), text = document.createElement("figcaption");
    const owner = video;
    figure.className = f === frame ? "here" : "";
    picture.src = source(video, f, 66);
    picture.alt = `frame ${f}`;
    text.textContent = f === frame ? String(f) : `${f > frame ? "+" : "−"}${Math.abs(f - frame)}`;
    figure.append(picture, text);
    figure.onmouseenter = () => {
      const whole = new Image();
      peek = {frame: f, image: picture};
      draw();
      whole.onload = () => { if (peek && peek.frame === f && owner === video) { peek.image = whole; draw(); } };
      whole.src = source(video, f);
    };
    figure.onmouseleave = () => { peek = null; draw(); };
    figure.onclick = () => { if (!video.tasks.includes(f)) video.tasks = [...video.tasks, f].sort((a, b) => a - b); go(video, f); };
    return figure;
  });
  $("strip").replaceChildren(...figures);
}

// ---- the pointer ----------------------------------------------------------------------------------------------

const current = () => draft || (labelOf(video, target, frame) || {}).box || null;

function hit(point) {   // what a press at this point of the screen would do
  const box = current();
  if (box) {
    for (let i = 0; i < HANDLES.length; i++) {
      const [x, y] = toScreen([box[0] + HANDLES[i][0] * box[2], box[1] + HANDLES[i][1] * box[3]]);
      if (Math.hypot(point[0] - x, point[1] - y) < 9) return {kind: "handle", handle: i};
    }
    const [x, y] = toImage(point);
    if (x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3]) return {kind: "move"};
  }
  return {kind: "draw"};
}

const pointOf = event => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

canvas.onpointerdown = event => {
  if (!video) return;
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  const point = pointOf(event);
  if (event.button === 1 || spaceDown) action = {kind: "pan", from: point, view: {...view}};
  else if (event.button === 0) action = {...hit(point), from: toImage(point), box: current() && [...current()]};
  event.preventDefault();
};

canvas.onpointermove = event => {
  const point = pointOf(event);
  if (!action) {
    const what = hit(point);
    canvas.style.cursor = spaceDown ? "grab" : what.kind === "handle" ? `${CURSORS[what.handle]}-resize` : what.kind === "move" ? "move" : "crosshair";
    return;
  }
  if (action.kind === "pan") {
    view.x = action.view.x + point[0] - action.from[0];
    view.y = action.view.y + point[1] - action.from[1];
    return draw();
  }
  const [x, y] = toImage(point), [x0, y0] = action.from;
  if (action.kind === "draw") draft = sorted(x0, y0, x, y);
  else if (action.kind === "move") draft = moved(action.box, x - x0, y - y0);
  else {
    const [bx, by, bw, bh] = action.box, [a, b] = HANDLES[action.handle];
    const left = a === 0 ? bx + x - x0 : bx, right = a === 1 ? bx + bw + x - x0 : bx + bw;
    const top = b === 0 ? by + y - y0 : by, bottom = b === 1 ? by + bh + y - y0 : by + bh;
    draft = sorted(left, top, right, bottom);
  }
  $("hint").textContent = `${Math.round(draft[2])} × ${Math.round(draft[3])}`;
  draw();
};

canvas.onpointerup = canvas.onpointercancel = event => {
  const box = draft, kind = action && action.kind;
  action = draft = null;
  if (kind !== "pan" && box && event.type === "pointerup") commit(box);
  else draw();
};

function commit(box) {
  const cut = sorted(
    Math.max(0, box[0]), Math.max(0, box[1]),
    Math.min(video.width, box[0] + box[2]), Math.min(video.height, box[1] + box[3]));
  if (box[0] > video.width || box[1] > video.height || cut[2] < 2 || cut[3] < 2 || box[0] + box[2] < 0 || box[1] + box[3] < 0) return show();
  setLabel(video, target, frame, cut.map(value => Math.round(value * 100) / 100));
}

const sorted = (x0, y0, x1, y1) => [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
const moved = ([x, y, w, h], dx, dy) => [
  Math.max(0, Math.min(video.width - w, x + dx)), Math.max(0, Math.min(video.height - h, y + dy)), w, h];

canvas.addEventListener("wheel", event => {
  event.preventDefault();
  const point = pointOf(event), before = toImage(point);
  view.scale = Math.max(.05, Math.min(40, view.scale * Math.exp(-event.deltaY / 500)));
  view.x = point[0] - before[0] * view.scale;
  view.y = point[1] - before[1] * view.scale;
  draw();
}, {passive: false});

// ---- the keyboard ---------------------------------------------------------------------------------------------

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function nudge(event) {
  const box = current();
  if (!box) return;
  const [dx, dy] = ARROWS[event.key].map(step => step * (event.shiftKey ? 10 : 1));
  if (event.altKey) commit([box[0], box[1], Math.max(2, box[2] + dx), Math.max(2, box[3] + dy)]);
  else commit(moved(box, dx, dy));
}

const absent = () => setLabel(video, target, frame, null);
const paste = () => { const last = ghost(); if (last) setLabel(video, target, frame, [...last.box]); };
const remove = () => { if (labelOf(video, target, frame)) setLabel(video, target, frame, undefined); };
const theme = () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  localStorage.theme = document.documentElement.dataset.theme = dark ? "light" : "dark";
};

function takeBack() {
  const last = undo.pop();
  if (!last) return;
  go(last.v, last.f, last.t);
  setLabel(last.v, last.t, last.f, last.box, false);
}

const KEYS = {
  Enter: goNext, a: absent, c: paste, Delete: remove, Backspace: remove, z: takeBack, f: () => { fit(); draw(); },
  b: () => goBy(-1), n: () => goBy(1), t: theme, "?": () => $("help").showModal(),
};

document.addEventListener("keydown", event => {
  if (!video || document.querySelector("dialog[open]")) return;
  if (event.key === " ") { spaceDown = true; event.preventDefault(); return; }
  if (event.key in ARROWS) { nudge(event); event.preventDefault(); return; }
  if (event.metaKey || (event.ctrlKey && event.key !== "z")) return;
  if (/^[1-9]$/.test(event.key)) return choose(Number(event.key));
  const run = KEYS[event.key];
  if (run) { event.preventDefault(); run(); }
});
document.addEventListener("keyup", event => { if (event.key === " ") spaceDown = false; });

for (const [id, run] of Object.entries({
  absent, paste, remove, fit: KEYS.f, previous: KEYS.b, next: goNext, theme, finish, "help-button": KEYS["?"],
})) $(id).onclick = () => { run(); canvas.focus(); };

$("end").onclick = async () => {
  await fetch("/api/finish", {method: "POST"}).catch(() => {});
  status("waiting", "the label page has ended");
};

// ---- start ----------------------------------------------------------------------------------------------------

async function load() {
  const project = await (await fetch("/api/project")).json();
  const was = video && [video.name, frame];
  videos = project.videos;
  next = project.next;
  document.title = `${project.name} – spot.label`;
  const [name, at] = location.hash.slice(1).split("/");
  const asked = was || (name ? [decodeURIComponent(name), Number(at)] : project.first && [project.first.video, project.first.frame]);
  const known = asked && videos.find(v => v.name === asked[0] && asked[1] < v.count);
  video = null;
  if (known) {
    if (!known.tasks.includes(asked[1])) known.tasks = [...known.tasks, asked[1]].sort((a, b) => a - b);
    go(known, asked[1]);
  } else {
    const first = allTasks().find(([v, f]) => !labelled(v, f)) || allTasks()[0];
    if (first) go(...first);
  }
}

if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
new ResizeObserver(() => { if (video) { fit(); draw(); } }).observe(canvas);
load().then(() => status("", ""));
canvas.focus();
