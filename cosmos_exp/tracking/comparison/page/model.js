// The cells, what the reader has chosen, and which cells that leaves.
const $ = id => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const text = value => (value === null || value === undefined || value === "" ? "–" : String(value));
const fixed = (value, metric) =>
  value === undefined
    ? "–"
    : value.toFixed(Number.isInteger(value) && metric.direction === "" ? 0 : Math.abs(value) >= 100 ? 1 : 3);
const MAX_TICKED = 12,
  FIRST_METRICS = 6;

data.cells.forEach((cell, index) => (cell.index = index));
const factors = data.axes.filter(axis => axis.role === "factor"),
  repeats = data.axes.filter(axis => axis.role !== "factor");
const filterAxes = [...data.axes, {key: "state", label: "state", values: [...new Set(data.cells.map(c => c.state))]}];
const state = {
  off: {}, // axis -> set of values that are filtered out
  ranges: {}, // axis or metric -> [low, high] kept, as a share of its length
  sort: null,
  descending: false,
  means: false,
  part: "",
  normalised: false, // values on the scale of 0, the floor, to 1, the ceiling
  objective: "",
  constraint: null, // {metric, relation, bound} that a setting must satisfy to win
  colour: "",
  x: "",
  baseline: "",
  scatter: {x: "", y: ""},
  heat: {x: "", y: "", metric: ""},
  wanted: {
    objective: data.objective,
    "scatter-x": data.constraint.metric,
    "scatter-y": data.objective,
    "heat-metric": data.objective,
  },
  metrics: {table: new Set(), parallel: new Set(), plots: new Set()},
  show: data.shows[0] || "",
  columns: "",
  overlay: "",
  beside: false,
  time: 0,
  playing: false,
};

const axisOf = key => data.axes.find(a => a.key === key) || data.derived.find(a => a.key === key);
const metricNamed = key => data.metrics.find(m => m.key === key);
const valueOf = (cell, key) => (key === "state" ? cell.state : cell.axes[key]);
const inPart = key => (state.part ? key + "/" + state.part : key);
const measuredOf = (cell, key) => cell.metrics[inPart(key)];
const referencesOf = (cell, key) => cell.references[inPart(key)] || {};
function metricOf(cell, key) {
  const value = measuredOf(cell, key);
  if (!state.normalised || value === undefined) return value;
  const {ceiling, floor} = referencesOf(cell, key);
  return ceiling === undefined || floor === undefined || ceiling === floor
    ? undefined
    : (value - floor) / (ceiling - floor);
}
const directionOf = metric => (state.normalised ? "up" : metric.direction);
const hasResult = cell => Object.keys(cell.metrics).length > 0;
// A value with what it acts as where that is another: control weights above 1 in sum are scaled down.
const valueText = (cell, axis) =>
  text(cell.axes[axis.key]) + (cell.acts[axis.key] ? ` (acts as ${cell.acts[axis.key]})` : "");
const label = cell => data.axes.map(a => [a.label, valueText(cell, a)]);
const describe = cell =>
  label(cell)
    .map(p => p.join(" "))
    .join(", ") || cell.run;
const stateOf = cell => cell.state + (cell.error ? ": " + cell.error : "");
const metricLabel = m =>
  m.label +
  ({up: " ↑", down: " ↓"}[directionOf(m)] || "") +
  (state.normalised ? " (norm.)" : m.unit ? ` (${m.unit})` : "");
const partLabel = () => data.parts.flatMap(kind => kind.parts).find(p => p.key === state.part)?.label;
const measured = () => data.metrics.filter(m => data.cells.some(c => metricOf(c, m.key) !== undefined));

function shown() {
  return data.cells.filter(
    cell =>
      filterAxes.every(a => !(state.off[a.key] && state.off[a.key].has(text(valueOf(cell, a.key))))) &&
      Object.entries(state.ranges).every(([key, [low, high]]) => {
        const place = placeOn(key, cell);
        return place !== undefined && place >= low - 1e-9 && place <= high + 1e-9;
      }),
  );
}

// Where a cell lies on the line of an axis or metric of the parallel coordinates, 0 to 1 from below; over all cells,
// so that filters move nothing. Metrics whose lower values are better are turned.
const scales = new Map();
const isScale = axis => axis.role === "factor" && axis.values.every(v => typeof v === "number"); // a seed is a name
function scaleOf(key) {
  const name = [key, state.part, state.normalised].join("/");
  if (!scales.has(name)) {
    const axis = axisOf(key);
    const values = axis ? axis.values : data.cells.map(c => metricOf(c, key)).filter(v => v !== undefined);
    const ordinal = axis && !isScale(axis);
    const [low, high] = ordinal ? [0, values.length - 1] : [Math.min(...values), Math.max(...values)];
    scales.set(name, {axis, ordinal, values, low, high, turned: !axis && directionOf(metricNamed(key)) === "down"});
  }
  return scales.get(name);
}
function shareOf(scale, value) {
  if (value === undefined || (value === null && !scale.ordinal)) return undefined;
  const at = scale.ordinal ? scale.values.findIndex(v => text(v) === text(value)) : value;
  const share = scale.high > scale.low ? (at - scale.low) / (scale.high - scale.low) : 0.5;
  return scale.turned ? 1 - share : share;
}
const placeOn = (key, cell) => {
  const scale = scaleOf(key);
  return shareOf(scale, scale.axis ? cell.axes[key] : metricOf(cell, key));
};

// The first cells to be played, in whole rows of the page: those of one scene and seed before others.
function tickFirst() {
  data.cells.forEach(c => (c.ticked = false));
  const again = cell => repeats.filter(a => text(cell.axes[a.key]) !== text(a.values[0])).length;
  const rows = groupBy(
    [...data.cells].sort((a, b) => again(a) - again(b)),
    c =>
      joint(
        c,
        data.axes.filter(a => a.key !== state.columns),
      ),
  );
  let ticked = 0;
  for (const row of rows.values()) {
    if (ticked && ticked + row.length > MAX_TICKED) break;
    row.slice(0, MAX_TICKED).forEach(c => (c.ticked = true));
    ticked += row.length;
  }
}
