"use strict";
// Solves the board of the chosen votes as arena/boards/solving.py does: Bradley and Terry with the advantage of the
// left, by Newton's method; a sandwich covariance, widened where votes hang together; all pairs compared at once. Matrices are arrays of rows.

const POINTS = 400 / Math.LN10;
const CENTRE = 1000;
const WEAK = (POINTS / 1000) ** 2; // precision of the weak prior
const TRUSTED = 10;
const Z = 1.959963984540054;
const DRAWS = 1000;
const LEVEL = 0.95;

const data = JSON.parse(document.querySelector("#data").textContent);
const hidden = new Set(data.hidden);
const byId = (id) => document.getElementById(id);

// --- votes ---

/** One cell per ordered pair: counts, weights and squares of left wins, right wins and ties. */
function gather(slice, from, until) {
  const cells = new Map();
  for (const row of slice.rows) {
    const [month, left, right, wins, losses, ties, bad] = row;
    if (month < from || month > until) continue;
    const key = left * data.models.length + right;
    if (!cells.has(key)) cells.set(key, { left, right, wins: 0, losses: 0, ties: 0, w: [0, 0, 0], q: [0, 0, 0] });
    const cell = cells.get(key);
    cell.wins += wins;
    cell.losses += losses;
    cell.ties += ties + bad;
    const plain = [wins, losses, ties + bad];
    for (let kind = 0; kind < 3; kind += 1) {
      cell.w[kind] += row.length > 7 ? row[7 + kind] : plain[kind];
      cell.q[kind] += row.length > 7 ? row[10 + kind] : plain[kind];
    }
  }
  return [...cells.values()];
}

// --- small linear algebra ---

const zeros = (rows, columns) => Array.from({ length: rows }, () => new Float64Array(columns));
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** The inverse, by elimination with pivots. */
function inverse(matrix) {
  const size = matrix.length;
  const work = matrix.map((row, i) => Float64Array.from({ length: 2 * size }, (_, j) => (j < size ? row[j] : +(j - size === i))));
  for (let column = 0; column < size; column += 1) {
    let pivot = column;
    for (let i = column + 1; i < size; i += 1) if (Math.abs(work[i][column]) > Math.abs(work[pivot][column])) pivot = i;
    [work[column], work[pivot]] = [work[pivot], work[column]];
    const scale = 1 / work[column][column];
    for (let j = column; j < 2 * size; j += 1) work[column][j] *= scale;
    for (let i = 0; i < size; i += 1) {
      const factor = work[i][column];
      if (i === column || factor === 0) continue;
      for (let j = column; j < 2 * size; j += 1) work[i][j] -= factor * work[column][j];
    }
  }
  return work.map((row) => row.slice(size));
}

function times(a, b) {
  const product = zeros(a.length, b[0].length);
  a.forEach((row, i) => row.forEach((value, k) => {
    if (value !== 0) for (let j = 0; j < b[0].length; j += 1) product[i][j] += value * b[k][j];
  }));
  return product;
}

// --- who can be compared, and whose rating is finite ---

/** Names each node's group by its smallest member. */
function groups(size, related) {
  const name = new Int32Array(size).fill(-1);
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j <= i && name[i] < 0; j += 1) if (j === i || related(i, j)) name[i] = j;
  }
  return name;
}

function reach(size, edges) {
  return Array.from({ length: size }, (_, start) => {
    const seen = new Uint8Array(size);
    const open = [start];
    seen[start] = 1;
    while (open.length) {
      for (const next of edges[open.pop()]) {
        if (!seen[next]) {
          seen[next] = 1;
          open.push(next);
        }
      }
    }
    return seen;
  });
}

function relations(size, cells) {
  const met = Array.from({ length: size }, () => []);
  const beat = Array.from({ length: size }, () => []);
  for (const { left, right, wins, losses, ties } of cells) {
    met[left].push(right);
    met[right].push(left);
    if (wins || ties) beat[left].push(right);
    if (losses || ties) beat[right].push(left);
  }
  const connected = reach(size, met);
  const above = reach(size, beat);
  const component = groups(size, (i, j) => connected[i][j]);
  const strong = groups(size, (i, j) => above[i][j] && above[j][i]);
  return { component, diverging: diverging(component, strong) };
}

/** Outside the largest strong group of their component. */
function diverging(component, strong) {
  const sizes = new Map();
  const largest = new Map();
  strong.forEach((name) => sizes.set(name, (sizes.get(name) || 0) + 1));
  component.forEach((group, i) => {
    const best = largest.get(group);
    if (best === undefined || sizes.get(strong[i]) > sizes.get(best)) largest.set(group, strong[i]);
  });
  return Array.from(component, (group, i) => {
    const whole = component.every((other, j) => other !== group || strong[j] === strong[i]);
    return !whole && (strong[i] !== largest.get(group) || sizes.get(strong[i]) === 1);
  });
}

// --- the likelihood ---

/** Σ value · x xᵀ, with x = +1 at the left, −1 at the right, and 1 for the position. */
function gram(size, cells, value) {
  const total = zeros(size + 1, size + 1);
  cells.forEach((cell, k) => {
    const { left, right } = cell;
    const v = value[k];
    total[left][left] += v;
    total[right][right] += v;
    total[left][right] -= v;
    total[right][left] -= v;
    total[left][size] += v;
    total[size][left] += v;
    total[right][size] -= v;
    total[size][right] -= v;
    total[size][size] += v;
  });
  return total;
}

function fit(size, cells) {
  const { component, diverging: apart } = relations(size, cells);
  const held = apart.some(Boolean);
  const precision = Float64Array.from({ length: size + 1 }, (_, i) => (held || i === size ? WEAK : 0));
  const weight = cells.map(({ w }) => w[0] + w[1] + w[2]);
  const score = cells.map(({ w }) => w[0] + w[2] / 2);
  const logits = (at) => cells.map(({ left, right }) => at[left] - at[right] + at[size]);
  const loss = (at) => {
    let sum = 0;
    logits(at).forEach((x, k) => {
      sum += weight[k] * softplus(x) - score[k] * x;
    });
    at.forEach((value, i) => {
      sum += 0.5 * precision[i] * value ** 2;
    });
    return sum;
  };
  const curvature = (chances) => {
    const hessian = gram(size, cells, chances.map((p, k) => weight[k] * p * (1 - p)));
    precision.forEach((value, i) => {
      hessian[i][i] += value;
    });
    for (let i = 0; i < size; i += 1) for (let j = 0; j < size; j += 1) hessian[i][j] += +(component[i] === component[j]);
    return hessian;
  };
  let values = new Float64Array(size + 1);
  let height = loss(values);
  let norm = Infinity;
  for (let step = 0; step < 100; step += 1) {
    const chances = logits(values).map(sigmoid);
    const gradient = Float64Array.from(values, (value, i) => precision[i] * value);
    cells.forEach(({ left, right }, k) => {
      const error = weight[k] * chances[k] - score[k];
      gradient[left] += error;
      gradient[right] -= error;
      gradient[size] += error;
    });
    norm = Math.max(...gradient.map(Math.abs));
    if (norm < 1e-9) break;
    const move = times(inverse(curvature(chances)), Array.from(gradient, (value) => [value])).map(([value]) => value);
    let length = 1;
    let there = values;
    for (let halving = 0; halving < 40; halving += 1, length /= 2) {
      there = values.map((value, i) => value - length * move[i]);
      if (loss(there) <= height + 1e-12 * Math.max(1, Math.abs(height))) break;
    }
    values = there;
    height = loss(values);
  }
  const covariance = sandwich(size, cells, { values, logits, curvature, precision, component, apart });
  return { values, covariance, component, apart, norm };
}

function sandwich(size, cells, solved) {
  const { values, logits, curvature, precision, component, apart } = solved;
  const chances = logits(values).map(sigmoid);
  const inverted = inverse(curvature(chances));
  const members = new Map();
  component.forEach((name) => members.set(name, (members.get(name) || 0) + 1));
  const projection = zeros(size + 1, size + 1);
  for (let i = 0; i <= size; i += 1) {
    for (let j = 0; j <= size; j += 1) {
      const same = i < size && j < size && component[i] === component[j];
      projection[i][j] = +(i === j) - (same ? 1 / members.get(component[i]) : 0);
    }
  }
  const bread = times(times(projection, inverted), projection);
  const votes = new Float64Array(size);
  const squares = new Float64Array(size);
  for (const { left, right, w, q } of cells) {
    for (const side of [left, right]) {
      votes[side] += w[0] + w[1] + w[2];
      squares[side] += q[0] + q[1] + q[2];
    }
  }
  const spread = cells.map(({ left, right, q }, k) => {
    const p = chances[k];
    const seen = q[0] * (1 - p) ** 2 + q[1] * p ** 2 + q[2] * (0.5 - p) ** 2;
    const tosses = (q[0] + q[1] + q[2]) * p * (1 - p);
    const fewer = Math.min(votes[left] ** 2 / squares[left], votes[right] ** 2 / squares[right]);
    const share = apart[left] || apart[right] ? 1 : TRUSTED / (TRUSTED + fewer);
    return (1 - share) * seen + share * tosses;
  });
  const meat = gram(size, cells, spread);
  precision.forEach((value, i) => {
    meat[i][i] += value;
  });
  return times(times(bread, meat), bread);
}

/** The ratings' covariance, with each error grown by its chat model's factor; by the middle one where none is known. */
function widen(slice, present, covariance) {
  if (!slice.widened) return;
  const factors = new Map(slice.widened);
  const scale = present.map((model) => factors.get(model) ?? slice.middle);
  for (let i = 0; i < scale.length; i += 1) for (let j = 0; j < scale.length; j += 1) covariance[i][j] *= scale[i] * scale[j];
}

// --- comparing all pairs at once ---

function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** (draws, models) of equal models, with the ratings' covariance. */
function drawn(covariance, size) {
  const root = zeros(size, size);
  let trace = 0;
  for (let i = 0; i < size; i += 1) trace += covariance[i][i];
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let sum = covariance[i][j] + (i === j ? (1e-10 * trace) / size : 0);
      for (let k = 0; k < j; k += 1) sum -= root[i][k] * root[j][k];
      root[i][j] = i === j ? Math.sqrt(Math.max(sum, 0)) : root[j][j] > 0 ? sum / root[j][j] : 0;
    }
  }
  const next = random(1);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: DRAWS }, () => {
    const z = Float64Array.from({ length: size }, normal);
    return Float64Array.from({ length: size }, (_, i) => {
      let sum = 0;
      for (let k = 0; k <= i; k += 1) sum += root[i][k] * z[k];
      return sum;
    });
  });
}

/** better[i][j], by stepping down: reject, and ask again with the pairs that are left. */
function separate(size, { values, covariance, component }) {
  const better = zeros(size, size);
  let asked = [];
  for (let i = 0; i < size; i += 1) {
    for (let j = i + 1; j < size; j += 1) {
      const squared = covariance[i][i] + covariance[j][j] - 2 * covariance[i][j];
      if (component[i] === component[j] && squared > 0) asked.push([i, j, 1 / Math.sqrt(squared)]);
    }
  }
  const draws = asked.length ? drawn(covariance, size) : [];
  for (let round = 0; round < 20 && asked.length; round += 1) {
    const largest = draws.map((draw) => {
      let most = 0;
      for (const [i, j, scale] of asked) most = Math.max(most, Math.abs(draw[i] - draw[j]) * scale);
      return most;
    });
    largest.sort((a, b) => a - b);
    const threshold = largest[Math.floor(LEVEL * (DRAWS - 1))];
    const left = asked.filter(([i, j, scale]) => {
      const gap = values[i] - values[j];
      if (Math.abs(gap) * scale <= threshold) return true;
      better[gap > 0 ? i : j][gap > 0 ? j : i] = 1;
      return false;
    });
    if (left.length === asked.length) break;
    asked = left;
  }
  return better;
}

/** The whole board, best first. */
function solve(slice, from, until) {
  const all = gather(slice, from, until);
  const present = [...new Set(all.flatMap(({ left, right }) => [left, right]))].sort((a, b) => a - b);
  const place = new Map(present.map((model, index) => [model, index]));
  const size = present.length;
  const cells = all.map((cell) => ({ ...cell, left: place.get(cell.left), right: place.get(cell.right) }));
  if (!size) return { standings: [], votes: 0, position: null, groups: 1 };
  const found = fit(size, cells);
  widen(slice, present, found.covariance);
  const better = separate(size, found);
  const counted = new Float64Array(size);
  for (const { left, right, wins, losses, ties } of cells) {
    counted[left] += wins + losses + ties;
    counted[right] += wins + losses + ties;
  }
  const order = present.map((_, i) => i).sort((a, b) => found.values[b] - found.values[a] || a - b);
  let best = -1;
  let tier = 0;
  const standings = order.map((i) => {
    if (best < 0 || better[best][i]) {
      best = i;
      tier += 1;
    }
    const half = Z * Math.sqrt(Math.max(found.covariance[i][i], 0));
    let chances = 0;
    for (let j = 0; j < size; j += 1) if (j !== i) chances += sigmoid(found.values[i] - found.values[j]);
    return {
      model: present[i],
      name: data.models[present[i]],
      rating: CENTRE + POINTS * found.values[i],
      low: CENTRE + POINTS * (found.values[i] - half),
      high: CENTRE + POINTS * (found.values[i] + half),
      rank: 1 + better.reduce((sum, row) => sum + row[i], 0),
      tier,
      votes: counted[i],
      winRate: size > 1 ? chances / (size - 1) : 0,
      unbounded: found.apart[i],
    };
  });
  return {
    standings,
    cells: all,
    votes: all.reduce((sum, { wins, losses, ties }) => sum + wins + losses + ties, 0),
    position: { points: POINTS * found.values[size], error: POINTS * Math.sqrt(Math.max(found.covariance[size][size], 0)) },
    groups: new Set(found.component).size,
    gradient: found.norm,
  };
}

// --- the page ---

let board = null;

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const label = (name) => (name === "all" ? "All votes" : name.replace(":", ": ").replaceAll("_", " "));

function rows(standings) {
  const made = [];
  let tier = 0;
  for (const line of standings) {
    if (line.tier !== tier) {
      tier = line.tier;
      const head = element("tr", "", { class: "tier" });
      head.append(element("th", `Tier ${tier}`, { scope: "rowgroup", colspan: "6" }));
      made.push(head);
    }
    const row = element("tr", "");
    const name = element("th", line.name, { scope: "row" });
    const about = [data.organisations[line.model], line.unbounded ? "never lost or never won" : ""].filter(Boolean);
    if (about.length) name.append(element("small", about.join(" · ")));
    row.append(
      element("td", String(line.rank), { class: "n" }),
      name,
      element("td", line.rating.toFixed(0), { class: "n" }),
      element("td", `${line.low.toFixed(0)} – ${line.high.toFixed(0)}`, { class: "n", "data-label": "95 % interval" }),
      element("td", String(line.votes), { class: "n", "data-label": "Votes" }),
      element("td", `${(100 * line.winRate).toFixed(0)} %`, { class: "n", "data-label": "Win rate" }),
    );
    made.push(row);
  }
  return made;
}

function drawing(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function chart(standings) {
  const lines = standings.slice(0, 40);
  const low = Math.min(...lines.map((line) => line.low));
  const high = Math.max(...lines.map((line) => line.high));
  const margin = (high - low) * 0.04 || 1;
  const x = (value) => 8 + ((value - low + margin) / (high - low + 2 * margin)) * 344;
  const height = lines.length * 30 + 24;
  const svg = drawing("svg", { viewBox: `0 0 360 ${height}`, role: "img", "aria-label": "Ratings with 95 % intervals" });
  const step = [10, 20, 50, 100, 200, 500, 1000].find((width) => (high - low) / width <= 5) || 2000;
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
    svg.append(
      drawing("line", { class: "grid", x1: x(tick), x2: x(tick), y1: 0, y2: height - 18 }),
      drawing("text", { class: "tick", x: x(tick), y: height - 4, "text-anchor": "middle" }, String(tick)),
    );
  }
  lines.forEach((line, index) => {
    const y = index * 30 + 22;
    const name = line.name.length > 40 ? `${line.name.slice(0, 39)}…` : line.name;
    svg.append(
      drawing("text", { class: "name", x: 8, y: y - 8 }, name),
      drawing("text", { class: "tick", x: 352, y: y - 8, "text-anchor": "end" }, line.rating.toFixed(0)),
      drawing("line", { class: "whisker", x1: x(line.low), x2: x(line.high), y1: y, y2: y }),
      drawing("circle", { class: "dot", cx: x(line.rating), cy: y, r: 3.5 }),
    );
  });
  return svg;
}

/** Which intervals these are. */
function spread({ by = [] } = {}) {
  const together = { voter: "one person's votes", prompt: "the votes on one prompt" };
  return by.length
    ? `Intervals, ranks and tiers allow for ${by.map((kind) => together[kind]).join(" and ")} hanging together, as they do in all months of these votes.`
    : "Votes are taken as independent of each other: it is not known, or too few people voted to tell, how far one person's votes hang together.";
}

function show() {
  const from = Number(byId("from").value);
  const until = Number(byId("until").value);
  const wrong = from > until;
  board = wrong ? solve({ rows: [] }, 0, 0) : solve(data.slices[Number(byId("slice").value)] || { rows: [] }, from, until);
  const lines = board.standings.filter((line) => !hidden.has(line.model));
  byId("sum").textContent = `${board.votes} votes · ${lines.length} chat models`;
  const said = [];
  if (wrong) said.push("The first month comes after the last one. Swap them.");
  else if (!lines.length) said.push("There are no votes here. Choose other votes or other months.");
  if (board.groups > 1) said.push("Some chat models never met any of the others, not even through a third. Ratings of different groups cannot be compared.");
  byId("notice").textContent = said.join(" ");
  byId("notice").hidden = !said.length;
  byId("board").replaceChildren(...rows(lines));
  byId("chart").replaceChildren(...(lines.length ? [chart(lines)] : []));
  byId("spread").textContent = spread(data.slices[Number(byId("slice").value)]);
  byId("position").textContent = board.position
    ? `Standing on the left is worth ${board.position.points.toFixed(1)} ± ${(Z * board.position.error).toFixed(1)} points; that is taken out of the ratings.`
    : "";
}

const cell = (value) => {
  const text = String(value);
  // A spreadsheet would run a name that starts like a formula.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

function save(name, table) {
  const blob = new Blob([table.map((row) => row.map(cell).join(",")).join("\r\n")], { type: "text/csv" });
  const link = element("a", "", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function saveTable() {
  const lines = board.standings.filter((line) => !hidden.has(line.model));
  save("board.csv", [
    ["rank", "tier", "model", "rating", "low", "high", "votes", "win_rate"],
    ...lines.map((line) => [
      line.rank, line.tier, line.name, line.rating.toFixed(2), line.low.toFixed(2), line.high.toFixed(2), line.votes,
      line.winRate.toFixed(4),
    ]),
  ]);
}

function savePairs() {
  const shown = (board.cells || []).filter(({ left, right }) => !hidden.has(left) && !hidden.has(right));
  save("pairs.csv", [
    ["left", "right", "left_wins", "right_wins", "ties"],
    ...shown.map(({ left, right, wins, losses, ties }) => [data.models[left], data.models[right], wins, losses, ties]),
  ]);
}

data.slices.forEach(({ name }, index) => byId("slice").append(element("option", label(name), { value: index })));
data.months.forEach((month, index) => {
  for (const id of ["from", "until"]) byId(id).append(element("option", month || "unknown", { value: index }));
});
byId("until").value = String(data.months.length - 1);
for (const id of ["from", "until"]) byId(id).closest("label").hidden = data.months.length < 2;
byId("switches").addEventListener("change", show);
byId("switches").addEventListener("submit", (event) => event.preventDefault());
byId("table-csv").addEventListener("click", saveTable);
byId("pairs-csv").addEventListener("click", savePairs);
window.boardOf = (slice, from = 0, until = data.months.length - 1) => solve(data.slices[slice], from, until);
show();
