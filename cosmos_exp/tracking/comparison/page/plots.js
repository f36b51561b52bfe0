// A panel per metric: cells as points over one axis, means with their intervals as lines.
const WIDE = 380,
  TALL = 220,
  LEFT = 52,
  RIGHT = 14,
  ABOVE = 12,
  BELOW = 34;

function drawPlots() {
  const axis = axisOf(state.x),
    cells = shown();
  drawMethod(axis, cells);
  const host = document.querySelector("#plots .plot");
  const metrics = axis ? measured().filter(m => state.metrics.plots.has(m.key)) : [];
  const placed = axis ? cells.filter(c => axis.values.some(v => text(v) === text(c.axes[axis.key]))) : [];
  host.replaceChildren(...metrics.map(metric => panel(metric, axis, placed)));
}

// Lines of the panel: one per value of the axis that colours, one for all where a metric or the axis itself does.
function linesOf(axis, cells) {
  const by = axisOf(state.colour);
  if (!by || by === axis) return [{index: 0, colour: "var(--c0)", cells, by: null}];
  return by.values.map((value, index) => ({
    index,
    colour: colourOfValue(by, value),
    by,
    value,
    cells: cells.filter(c => text(c.axes[by.key]) === text(value)),
  }));
}

function panel(metric, axis, cells) {
  const baseline = state.baseline === "" ? undefined : state.baseline;
  const leftOut = [axis.key, state.colour];
  const lines = linesOf(axis, cells).map(line => {
    const pairs = valuesOf(line.cells, metric.key, axis.key, baseline);
    const groups = groupBy(pairs, ([cell]) => text(cell.axes[axis.key]));
    const points = axis.values
      .filter(v => groups.has(text(v)))
      .map(value => ({value, ...interval(groups.get(text(value)), leftOut)}));
    return {...line, pairs, points};
  });
  const all = lines.flatMap(l => l.pairs.map(p => p[1]));
  const title = make(
    "figcaption",
    {title: metric.about},
    make("b", {textContent: metricLabel(metric)}),
    baseline === undefined
      ? ""
      : make("span", {className: "soft", textContent: `  minus that at ${axis.label} ${baseline}`}),
  );
  if (!all.length)
    return make("figure", {}, title, make("p", {className: "soft", textContent: "no value among the cells shown"}));
  const references = baseline === undefined ? referenceLines(metric, cells) : [];
  const {low, high} = extent(
    all,
    lines.flatMap(l => l.points),
    references,
  );
  const y = v => ABOVE + (1 - (v - low) / (high - low)) * (TALL - ABOVE - BELOW);
  const x = positions(axis),
    chart = svg("svg", {
      viewBox: `0 0 ${WIDE} ${TALL}`,
      width: "100%",
      role: "img",
      "aria-label": panelWords(metric, axis, lines),
    });
  chart.append(...frame(axis, x, y, low, high, baseline !== undefined));
  chart.append(...references.flatMap(r => referenceMarks(r, y, low, high, {from: LEFT, to: WIDE - RIGHT})));
  const shifted = Math.min(7, 34 / lines.length);
  lines.forEach((line, i) =>
    chart.append(...lineMarks(line, (i - (lines.length - 1) / 2) * shifted, metric, x, y, low, high)),
  );
  return make("figure", {}, title, chart);
}

// Ends of the values' axis: all points and intervals, of which those beyond the points by more than their range are cut,
// and the reference lines that are not farther than that.
function extent(values, intervals, references) {
  const least = Math.min(...values),
    most = Math.max(...values),
    span = most - least || Math.abs(most) || 1;
  const ends = intervals.flatMap(p => [p.mean - (p.half || 0), p.mean + (p.half || 0)]);
  const near = references.map(r => r.value).filter(v => v >= least - span && v <= most + span);
  const low = Math.max(Math.min(least, ...ends, ...near), least - span),
    high = Math.min(Math.max(most, ...ends, ...near), most + span);
  const room = (high - low || span) * 0.06;
  return {low: low - room, high: high + room};
}

// Ceiling, the renderer's own picture, and floor, another scene in the same style: their means over the cells shown.
function referenceLines(metric, cells) {
  return ["ceiling", "floor"].flatMap(name => {
    const values = cells.map(cell => referencesOf(cell, metric.key)[name]).filter(v => v !== undefined);
    if (!values.length) return [];
    return [{name, value: state.normalised ? +(name === "ceiling") : mean(values)}];
  });
}
// A dashed line with its name, the ceiling's at the line's end and the floor's at its start, or its name alone, with an
// arrow, where it lies beyond the plot. at: pixel of a value. from, to: pixels between which the line is.
function referenceMarks({name, value}, at, low, high, {from, to, upright = false}) {
  const side = value < low ? -1 : value > high ? 1 : 0,
    arrow = (upright ? ["←", "", "→"] : ["↓", "", "↑"])[side + 1];
  const said = side ? `${name} ${+value.toPrecision(3)} ${arrow}` : name,
    upper = value > (low + high) / 2;
  const place = at(Math.min(Math.max(value, low), high));
  const line = upright ? {x1: place, x2: place, y1: from, y2: to} : {x1: from, x2: to, y1: place, y2: place};
  const [x, y, anchor] = upright
    ? [place + (upper ? -4 : 4), name === "ceiling" ? from + 11 : to - 5, upper ? "end" : "start"]
    : [name === "ceiling" ? to - 2 : from + 3, place + (upper ? 12 : -4), name === "ceiling" ? "end" : "start"];
  const content = words(said, x, y, {"text-anchor": anchor, class: "of-reference"});
  return side ? [content] : [svg("line", {class: "reference", ...line}), content];
}

function panelWords(metric, axis, lines) {
  const value = p =>
    `${text(p.value)}: ${fixed(p.mean, metric)}` + (p.half === undefined ? "" : ` ± ${p.half.toFixed(3)}`);
  return (
    `${metric.label} by ${axis.label}. ` +
    lines.map(l => (l.by ? `${l.by.label} ${text(l.value)}: ` : "") + l.points.map(value).join(", ")).join("; ")
  );
}

// Numbers lie where their value puts them, on a logarithmic line where they span more than a factor of 20.
function positions(axis) {
  const inner = WIDE - LEFT - RIGHT - 40,
    from = LEFT + 20,
    values = axis.values;
  const numeric = isScale(axis) && values.length > 1;
  const log = numeric && values[0] > 0 && values.at(-1) / values[0] > 20,
    at = v => (log ? Math.log(v) : v);
  return value =>
    from +
    inner *
      (numeric
        ? (at(value) - at(values[0])) / (at(values.at(-1)) - at(values[0]))
        : values.length > 1
          ? values.findIndex(v => text(v) === text(value)) / (values.length - 1)
          : 0.5);
}
function frame(axis, x, y, low, high, withZero) {
  const nodes = niceTicks(low, high).flatMap(v => [
    svg("line", {class: "tick", x1: LEFT, x2: WIDE - RIGHT, y1: y(v), y2: y(v)}),
    words(String(v), LEFT - 6, y(v) + 4, {"text-anchor": "end"}),
  ]);
  if (withZero && low <= 0 && high >= 0)
    nodes.push(svg("line", {class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: y(0), y2: y(0)}));
  let last = -Infinity;
  for (const value of axis.values) {
    const content = shorten(text(value), axis.values.length > 4 ? 9 : 16),
      half = content.length * 3.2;
    if (x(value) - half < last + 4) continue;
    last = x(value) + half;
    nodes.push(words(content, x(value), TALL - BELOW + 16, {"text-anchor": "middle"}));
  }
  nodes.push(words(axis.key, (LEFT + WIDE - RIGHT) / 2, TALL - 4, {"text-anchor": "middle"}));
  return nodes;
}
function niceTicks(low, high) {
  const raw = (high - low || Math.abs(low) || 1) / 4,
    unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * unit).find(s => s >= raw),
    ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    ticks.push(+(k * step).toPrecision(6));
  return ticks;
}

// shift: pixels to the right, so that the marks of several lines stand side by side.
function lineMarks(line, shift, metric, x, y, low, high) {
  const place = p => x(p.value) + shift,
    nodes = [];
  for (const [cell, value] of line.pairs) {
    const dot = mark(line.index, x(cell.axes[state.x]) + shift - 4, y(value), 2.6, {
      class: "dot",
      fill: line.by ? line.colour : colourOf(cell),
    });
    dot.onclick = () => toggleTick(cell);
    nodes.push(standsFor(dot, cell, `${describe(cell)}\n${metric.label}: ${fixed(value, metric)}`));
  }
  const path = line.points.map((p, i) => `${i ? "L" : "M"}${place(p)},${y(p.mean)}`).join("");
  nodes.push(svg("path", {class: "mean", d: path, stroke: line.colour}));
  for (const p of line.points) {
    if (p.half !== undefined) nodes.push(whisker(place(p), p, y, low, high, line.colour));
    const spot = mark(line.index, place(p), y(p.mean), 4.2, {fill: line.colour});
    const spread =
      p.half === undefined
        ? "one scene and seed: no interval"
        : `± ${p.half.toPrecision(3)}, 95 % over ${p.count} ${p.unit}`;
    spot.onpointermove = event => {
      lightAll([], event, `${lineName(line)}${text(p.value)}\nmean ${fixed(p.mean, metric)}\n${spread}`);
    };
    spot.onpointerleave = () => lightAll([]);
    nodes.push(spot);
  }
  return nodes;
}
const lineName = line => (line.by ? `${line.by.label} ${text(line.value)}, ` : "");
// An interval with caps; an end beyond the plot has an arrow at the plot's edge instead. place: pixel of its line, at:
// pixel of a value, upright unless `flat`.
function whisker(place, {mean, half}, at, low, high, colour, flat = false) {
  const from = Math.max(mean - half, low),
    to = Math.min(mean + half, high);
  const point = (along, across) => (flat ? `${along},${across}` : `${across},${along}`);
  const end = (value, inside) => {
    const tip = at(value),
      back = tip + 5 * Math.sign(at(mean) - tip);
    return `M${point(inside ? tip : back, place - 4)}L${point(tip, place)}L${point(inside ? tip : back, place + 4)}`;
  };
  const d = `M${point(at(from), place)}L${point(at(to), place)}` + end(from, from > low) + end(to, to < high);
  return svg("path", {class: "whisker", d, stroke: colour});
}

function drawMethod(axis, cells) {
  if (!axis) return ($("method").textContent = "Nothing is swept: there is no axis to plot against.");
  const names = role => repeats.filter(a => a.role === role && a.key !== axis.key && a.key !== state.colour);
  const count = role => new Set(cells.filter(hasResult).map(c => joint(c, names(role)))).size;
  const scenes = count("scene"),
    seeds = count("seed"),
    empty = cells.filter(c => !hasResult(c)).length;
  const mean =
    state.baseline === ""
      ? "Lines join means"
      : `Lines join mean differences to ${axis.label} ${state.baseline}, in pairs of cells that differ in nothing else`;
  const over =
    scenes > 1
      ? `${scenes} scenes, seeds averaged within each first so that seeds of one scene do not count as scenes`
      : `${seeds} seeds`;
  const spread =
    scenes > 1 || seeds > 1
      ? `; bars are 95 % intervals (Student's t, 1908) over ${over} (as in Miller 2024, arXiv:2411.00640).`
      : "; one scene and one seed, so there is no interval: sweep scene.seed or sampler.seed for one.";
  $("method").textContent =
    mean +
    spread +
    " Other axes are averaged." +
    (empty ? ` ${empty} of the cells shown have no value and are left out.` : "");
}
