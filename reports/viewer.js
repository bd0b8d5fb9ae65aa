// Shows one recorded episode at a time. All data is in the page; what is shown is in the address after "#".
const { runs } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const CLIP = 2; // the colours' end, in units of a column's root mean square
const state = { run: 0, checkpoint: 0, task: "", episode: 0, step: 0, open: false, relative: false };

// An element with attributes, classes and children; text is never read as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const signed = (value, text) => (value > 0 ? "+" : value < 0 ? "−" : "") + text;
const plain = (value) => (value < 0 ? "−" : "") + String(Math.abs(value));
const exact = (value) => (value > 0 ? "+" : "") + plain(value);
function short(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size >= 1000 || size < 0.001 ? size.toExponential(1) : size.toPrecision(3);
  return signed(value, text);
}

const run = () => runs[state.run];
const checkpoint = () => run().checkpoints[state.checkpoint];
const tasks = () => [...new Set(checkpoint().episodes.map((episode) => episode.task))];
const group = () => checkpoint().episodes.filter((episode) => episode.task === state.task);
const episode = () => group()[state.episode];

// What stands for an advantage of a column: itself, or its multiple of the column's root mean square.
const measure = (column, value) => (state.relative ? (column.rms ? value / column.rms : 0) : value);
const most = () => (state.relative ? CLIP : checkpoint().scale || 1);

function tint(column, value) {
  const part = Math.max(-1, Math.min(1, measure(column, value) / most()));
  return { class: `tint ${part > 0 ? "plus" : part < 0 ? "minus" : ""}`, style: `--a:${Math.abs(part).toFixed(3)}` };
}

function described(column, value) {
  const multiple = column.rms ? ` (${short(value / column.rms)} rms)` : "";
  return `${column.name}: ${exact(value)}${multiple}`;
}

const values = (step, number) => {
  const credit = step.credit[number];
  return Array.isArray(credit) ? credit : step.tokens.map(() => credit);
};
const sum = (list) => list.reduce((total, value) => total + value, 0);
const mean = (list) => sum(list) / list.length;
const untrained = (column) =>
  (column.untrained || []).includes(checkpoint().episodes.indexOf(episode()));

// The controls.
function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => element("option", { selected: name === chosen ? "" : null }, name)));
}

function choices(id, names, chosen, choose) {
  const field = at(id);
  const legend = field.querySelector("legend");
  const made = names.map((name, number) => {
    const input = element("input", { type: "radio", name: id });
    input.checked = number === chosen;
    input.addEventListener("change", () => choose(number));
    return element("label", { class: "choice" }, input, element("span", {}, name));
  });
  field.replaceChildren(legend, ...made);
  field.hidden = names.length < 2;
}

function drawControls() {
  at("run").parentElement.hidden = runs.length < 2;
  options(at("run"), runs.map((each) => each.name), run().name);
  options(at("task"), tasks(), state.task);
  choices("checkpoint", run().checkpoints.map((each) => each.name), state.checkpoint, (number) => change({ checkpoint: number }));
  const label = (each, number) => `${number + 1} ${each.success ? "✓" : "✗"}`;
  choices("episode", group().map(label), state.episode, (number) => change({ episode: number, step: 0 }));
  choices("units", ["own units", "÷ rms"], state.relative ? 1 : 0, (number) => change({ relative: number === 1 }));
}

// The page's parts.
function drawSummary() {
  const { success, outcome, steps, goal } = episode();
  const badge = element("span", { class: `badge ${success ? "better" : "worse"}` }, `${success ? "✓" : "✗"} ${outcome}`);
  const reward = sum(steps.map((step) => step.reward));
  const facts = `${steps.length} ${steps.length === 1 ? "step" : "steps"}, reward ${plain(reward)}`;
  at("summary").replaceChildren(`${state.task}, episode ${state.episode + 1} of ${group().length} `, badge, " ", element("span", { class: "badge soft" }, facts));
  at("goal").textContent = goal ? `Goal: ${goal}` : "";
  const end = most();
  at("low").textContent = `≤ ${short(-end)}`;
  at("high").textContent = `≥ ${short(end)}`;
  at("scale").textContent = state.relative
    ? "times the column’s own root mean square"
    : "advantage, one scale for all columns; one number in twenty of this checkpoint is beyond";
}

function drawMap() {
  const { steps } = episode();
  const mark = (step) => (step.valid ? "" : "×") + (step.reward > 0 ? "★" : "");
  const head = steps.map((step, number) => {
    const title = `step ${number + 1}: ${step.action}${step.valid ? "" : ", invalid"}, reward ${exact(step.reward)}`;
    return cell(number, { title }, `${number + 1}${mark(step)}`);
  });
  const rows = checkpoint().columns.map((column, number) => {
    const cells = steps.map((step, place) => {
      const value = mean(values(step, number));
      const { class: hue, style } = tint(column, value);
      return cell(place, { class: hue, style, title: `step ${place + 1}, ${column.name}: mean ${short(value)}` }, element("span", { class: "sr" }, short(value)));
    });
    return element("tr", {}, element("th", { scope: "row" }, column.name), ...cells);
  });
  at("map").replaceChildren(element("thead", {}, element("tr", {}, element("th", {}), ...head)), element("tbody", {}, ...rows));
}

function cell(step, attributes, ...children) {
  const here = step === state.step ? " here" : "";
  const made = element("td", { ...attributes, class: (attributes.class || "") + here, "data-step": step }, ...children);
  made.addEventListener("click", () => change({ step }, true));
  return made;
}

function drawTalk() {
  const { columns } = checkpoint();
  const names = columns.map((column) => {
    const notes = [column.unit, `rms ${short(column.rms).replace("+", "")}`, untrained(column) ? "not trained on" : null];
    return element("th", { scope: "col", role: "columnheader" }, column.name, ...notes.filter(Boolean).map((note) => element("span", { class: "note" }, note)));
  });
  const head = element("tr", { role: "row" }, element("th", { class: "turn", scope: "col", role: "columnheader" }, "environment and agent"), ...names);
  const rows = episode().steps.flatMap((step, number) => {
    const drawn = [stepRow(step, number)];
    if (state.open && number === state.step) drawn.push(detailRow(step));
    return drawn;
  });
  at("talk").replaceChildren(element("thead", { role: "rowgroup" }, head), element("tbody", { role: "rowgroup" }, ...rows));
}

function stepRow(step, number) {
  const here = number === state.step;
  const flags = [
    step.valid ? null : element("span", { class: "badge worse" }, "invalid"),
    step.ill ? element("span", { class: "badge worse" }, "ill-formed") : null,
    step.reward ? element("span", { class: `badge ${step.reward > 0 ? "better" : "worse"}` }, `reward ${exact(step.reward)}`) : null,
  ];
  const turn = element("th", { class: "turn", scope: "row", role: "rowheader" },
    element("span", { class: "number" }, element("span", { class: "sr" }, "step "), String(number + 1)),
    step.observation ? element("p", { class: "say" }, element("span", { class: "sr" }, "environment: "), step.observation) : null,
    element("p", { class: "act" }, element("span", { class: "sr" }, "agent: "), step.action || "(nothing)"),
    element("div", { class: "flags" }, ...flags));
  const cells = checkpoint().columns.map((column, place) => creditCell(step, column, place));
  const row = element("tr", { class: `step${here ? " here" : ""}`, role: "row", tabindex: here ? 0 : -1, "aria-current": here ? "step" : null, "data-step": number }, turn, ...cells);
  row.addEventListener("click", () => change({ step: number, open: !(here && state.open) }));
  return row;
}

function creditCell(step, column, place) {
  const list = values(step, place);
  const tokens = step.tokens.map((text, number) => {
    const { class: hue, style } = tint(column, list[number]);
    const special = /^<.*>$/.test(text) ? " special" : "";
    return element("span", { class: `token ${hue}${special}`, style, title: described(column, list[number]) }, text, element("span", { class: "sr" }, ` ${exact(list[number])}, `));
  });
  const average = tint(column, mean(list));
  const sums = element("div", { class: "sums" },
    element("b", { ...average, title: `mean over the step’s tokens, ${described(column, mean(list))}` }, element("span", { class: "sr" }, "mean "), short(measure(column, mean(list)))),
    column.step_only ? null : element("span", {}, `Σ ${short(measure(column, sum(list)))}`));
  return element("td", { role: "cell", "data-name": column.name }, element("div", { class: "tokens" }, ...tokens), sums);
}

// The selected step's numbers, in the algorithms' own units.
function detailRow(step) {
  const { columns } = checkpoint();
  const policy = [["log p", "logprobs"], ["entropy", "entropies"], ["value", "values"]].filter(([, key]) => step[key]);
  const head = [...policy.map(([label]) => label), ...columns.map((column) => column.name)];
  const rows = step.tokens.map((text, number) => {
    const cells = policy.map(([, key]) => element("td", {}, plain(step[key][number])));
    columns.forEach((column, place) => {
      const value = values(step, place)[number];
      cells.push(element("td", tint(column, value), exact(value)));
    });
    return element("tr", {}, element("th", { scope: "row" }, text), ...cells);
  });
  const heads = head.map((name) => element("th", { scope: "col" }, name));
  const table = element("table", {},
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "token"), ...heads)),
    element("tbody", {}, ...rows));
  return element("tr", { class: "detail" }, element("td", { colspan: columns.length + 1 }, table));
}

function drawMissing() {
  const lines = checkpoint().missing.map(({ name, reason }) => element("p", { class: "note" }, element("strong", {}, name), ` ${reason}`));
  at("missing").replaceChildren(...(lines.length ? [element("h3", {}, "Not computed for these episodes"), ...lines] : []));
}

// Changes what is shown, keeping task, episode and step if they exist.
function change(changes, reveal = false) {
  Object.assign(state, changes);
  state.checkpoint = Math.min(state.checkpoint, run().checkpoints.length - 1);
  if (!tasks().includes(state.task)) state.task = tasks()[0];
  state.episode = Math.min(state.episode, group().length - 1);
  state.step = Math.max(0, Math.min(state.step, episode().steps.length - 1));
  const focused = document.activeElement && document.activeElement.closest("fieldset");
  drawControls();
  drawSummary();
  drawMap();
  drawTalk();
  drawMissing();
  if (focused) at(focused.id).querySelector("input:checked").focus();
  if (reveal) {
    const row = at("talk").querySelector("tr.here");
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  const { run: number, open, relative, ...place } = state;
  const shown = { run: number, ...place, ...(open ? { open: 1 } : {}), ...(relative ? { relative: 1 } : {}) };
  history.replaceState(null, "", `#${new URLSearchParams(shown)}`);
}

// Where a page opens: a solved episode whose group has an unsolved one, late, in the run with most columns.
function opening() {
  const columns = runs.map((each) => each.checkpoints.at(-1).columns.length);
  const number = columns.indexOf(Math.max(...columns));
  const { checkpoints } = runs[number];
  for (let place = checkpoints.length - 1; place >= 0; place -= 1) {
    const { episodes } = checkpoints[place];
    const solved = episodes.find((each) => each.success && episodes.some((other) => other.task === each.task && !other.success));
    if (solved) {
      const mates = episodes.filter((each) => each.task === solved.task);
      return { run: number, checkpoint: place, task: solved.task, episode: mates.indexOf(solved) };
    }
  }
  return { run: number, checkpoint: checkpoints.length - 1 };
}

function restore() {
  if (!location.hash) return change(opening());
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name, count) => Math.max(0, Math.min(count - 1, Number.parseInt(given.get(name) || "0", 10) || 0));
  state.run = number("run", runs.length);
  const last = run().checkpoints.length - 1;
  state.checkpoint = given.has("checkpoint") ? number("checkpoint", last + 1) : last;
  state.task = given.get("task") || "";
  state.episode = number("episode", Infinity);
  state.step = number("step", Infinity);
  state.open = given.has("open");
  state.relative = given.has("relative");
  return change({});
}

const MOVES = {
  ArrowDown: () => ({ step: state.step + 1 }),
  ArrowUp: () => ({ step: state.step - 1 }),
  ArrowRight: () => ({ checkpoint: state.checkpoint + 1 }),
  ArrowLeft: () => ({ checkpoint: Math.max(0, state.checkpoint - 1) }),
  Enter: () => ({ open: !state.open }),
};

if (runs.length) {
  at("run").addEventListener("change", (event) => change({ run: event.target.selectedIndex }));
  at("task").addEventListener("change", (event) => change({ task: event.target.value, episode: 0, step: 0 }));
  document.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    if (!plain || !(event.key in MOVES) || event.target.closest("input, select, a, button") || event.target.matches(".scroll")) return;
    event.preventDefault();
    change(MOVES[event.key](), true);
  });
  restore();
}
