// Metric against metric: settings as points with intervals both ways, and the front of those that no other one is
// better than in both.
const SCATTER = {tall: 380, left: 62, right: 20, above: 16, below: 44};

function drawScatter() {
  const [horizontal, vertical] = [state.scatter.x, state.scatter.y].map(metricNamed),
    host = document.querySelector("#scatter .plot");
  if (!horizontal || !vertical) return;
  const cells = shown();
  const points = stylesOf(cells).flatMap(ofStyle => pointsOf(settingsOf(ofStyle), horizontal, vertical));
  if (!points.length)
    return host.replaceChildren(
      make("p", {className: "soft", textContent: "no setting among the cells shown has both"}),
    );
  const wide = Math.min(Math.max(host.clientWidth, 300), 900);
  const plot = {
    x: dimension(horizontal, points, "x", cells, share => SCATTER.left + share * (wide - SCATTER.left - SCATTER.right)),
    y: dimension(
      vertical,
      points,
      "y",
      cells,
      share => SCATTER.above + (1 - share) * (SCATTER.tall - SCATTER.above - SCATTER.below),
    ),
    wide,
  };
  const fronts = [...groupBy(points, p => p.style).values()].map(ofStyle => front(ofStyle, horizontal, vertical));
  const chart = svg("svg", {
    width: wide,
    height: SCATTER.tall,
    role: "img",
    "aria-label": scatterWords(fronts, horizontal, vertical),
  });
  chart.append(
    ...scatterFrame(plot),
    ...fronts.map(points => frontLine(points, plot)),
    ...points.flatMap(point => pointMarks(point, plot)),
    ...frontLabels(fronts.flat(), points, plot),
  );
  host.replaceChildren(chart);
}

function pointsOf(settings, horizontal, vertical) {
  return settings.flatMap(cells => {
    const [x, y] = [horizontal, vertical].map(m => valuesOf(cells, m.key));
    if (!x.length || !y.length) return [];
    const kept = holds(cells, state.constraint);
    return [{cells, style: text(cells[0].style), kept, x: interval(x), y: interval(y), values: {x, y}}];
  });
}
// place: pixel of a share of the axis.
function dimension(metric, points, which, cells, place) {
  const references = referenceLines(metric, cells);
  const intervals = points.map(p => p[which]);
  const bound =
    state.constraint && state.constraint.metric === metric.key && !state.normalised && !state.part
      ? [{value: state.constraint.bound}]
      : [];
  const {low, high} = extent(
    points.flatMap(p => p.values[which].map(([, value]) => value)),
    intervals,
    [...references, ...bound],
  );
  return {metric, references, bound, low, high, at: v => place((v - low) / (high - low))};
}

// Pareto's front of what satisfies the constraint, from left to right.
function front(points, horizontal, vertical) {
  const signs = [horizontal, vertical].map(m => (directionOf(m) === "down" ? -1 : 1));
  const gains = p => [signs[0] * p.x.mean, signs[1] * p.y.mean];
  const beats = (a, b) => a.every((v, i) => v >= b[i]) && a.some((v, i) => v > b[i]);
  const kept = points.filter(p => p.kept);
  return kept.filter(p => !kept.some(other => beats(gains(other), gains(p)))).sort((a, b) => a.x.mean - b.x.mean);
}
// As stairs: the edge of what these points are better than.
function frontLine(points, {x, y}) {
  const up = directionOf(x.metric) !== "down";
  const d = points.reduce((path, p, i) => {
    const [px, py] = [x.at(p.x.mean), y.at(p.y.mean)];
    if (!i) return `M${px},${py}`;
    return path + (up ? `V${py}H${px}` : `H${px}V${py}`);
  }, "");
  return svg("path", {class: "front", d});
}

function scatterFrame({x, y, wide}) {
  const {tall, left, right, above, below} = SCATTER,
    bottom = tall - below;
  const ticks = [
    ...niceTicks(y.low, y.high).flatMap(v => [
      svg("line", {class: "tick", x1: left, x2: wide - right, y1: y.at(v), y2: y.at(v)}),
      words(String(v), left - 6, y.at(v) + 4, {"text-anchor": "end"}),
    ]),
    ...niceTicks(x.low, x.high).flatMap(v => [
      svg("line", {class: "tick", x1: x.at(v), x2: x.at(v), y1: above, y2: bottom}),
      words(String(v), x.at(v), bottom + 16, {"text-anchor": "middle"}),
    ]),
  ];
  const middle = (above + bottom) / 2;
  return [
    ...ticks,
    ...excluded(x, "x", {from: above, to: bottom, edges: [left, wide - right]}),
    ...excluded(y, "y", {from: left, to: wide - right, edges: [bottom, above]}),
    words(metricLabel(x.metric), (left + wide - right) / 2, tall - 8, {"text-anchor": "middle", class: "name"}),
    words(metricLabel(y.metric), 14, middle, {
      "text-anchor": "middle",
      class: "name",
      transform: `rotate(-90 14 ${middle})`,
    }),
    ...x.references.flatMap(r => referenceMarks(r, x.at, x.low, x.high, {from: above, to: bottom, upright: true})),
    ...y.references.flatMap(r => referenceMarks(r, y.at, y.low, y.high, {from: left, to: wide - right})),
  ];
}
// The side of the constraint's bound that wins nothing. edges: pixels of the axis' low and high end.
function excluded({bound, low, high, at}, which, {from, to, edges}) {
  return bound
    .filter(({value}) => value > low && value < high)
    .map(({value}) => {
      const [a, b] = [at(value), edges[state.constraint.relation === "at most" ? 1 : 0]].sort((p, q) => p - q);
      const box =
        which === "x"
          ? {x: a, width: b - a, y: from, height: to - from}
          : {y: a, height: b - a, x: from, width: to - from};
      return svg("rect", {class: "excluded", ...box}, svg("title", {}, "excluded by the condition"));
    });
}

function pointMarks({cells, kept, x: h, y: v}, {x, y}) {
  const colour = settingColour(cells),
    at = [x.at(h.mean), y.at(v.mean)];
  const bars = [];
  if (h.half !== undefined) bars.push(whisker(at[1], h, x.at, x.low, x.high, colour, true));
  if (v.half !== undefined) bars.push(whisker(at[0], v, y.at, y.low, y.high, colour));
  bars.forEach(bar => bar.classList.add("thin"));
  const axis = axisOf(state.colour),
    index = axis ? axis.values.findIndex(value => text(value) === text(cells[0].axes[axis.key])) : 0;
  const said = ({metric}, p) => `${metric.label}: ${spreadWords(p, metric)}`;
  const note = [settingName(cells), said(x, h), said(y, v), ...(kept ? [] : [lostWords()])].join("\n");
  const look = {class: "spot", fill: kept ? colour : "var(--panel)", stroke: colour};
  const spot = mark(index, ...at, 5, {...look, tabindex: 0, role: "button", "aria-label": `${note}\nTick its cells`});
  spot.onclick = () => {
    const tick = !cells.every(c => c.ticked);
    cells.forEach(c => (c.ticked = tick));
    drawTable();
    drawVideos();
  };
  spot.onkeydown = event => {
    if (event.key === "Enter") spot.onclick();
  };
  return [...bars, explains(spot, cells, note)];
}
function settingColour(cells) {
  if (!state.colour || axisOf(state.colour)) return colourOf(cells[0]);
  const places = cells.map(c => placeOn(state.colour, c)).filter(v => v !== undefined);
  return places.length ? ramp(mean(places)) : "var(--soft)";
}

// Names of the points on the front, where there is room beside them.
function frontLabels(named, points, {x, y, wide}) {
  const taken = points.map(p => box(x.at(p.x.mean) - 6, y.at(p.y.mean) - 6, 12, 12));
  return named.flatMap(point => {
    const content = settingName(point.cells),
      width = content.length * 6.1;
    const [px, py] = [x.at(point.x.mean), y.at(point.y.mean)];
    const places = [
      [10, -8],
      [-10 - width, -8],
      [10, 18],
      [-10 - width, 18],
      [-width / 2, -14],
      [-width / 2, 24],
    ];
    const room = places
      .map(([dx, dy]) => box(px + dx, py + dy - 10, width, 13))
      .find(
        b =>
          b.left > SCATTER.left &&
          b.right < wide - 4 &&
          b.top > 0 &&
          b.bottom < SCATTER.tall - SCATTER.below &&
          !taken.some(t => meet(t, b)),
      );
    if (!room) return [];
    taken.push(room);
    return [words(content, room.left, room.bottom - 3, {class: "front-name"})];
  });
}
const box = (left, top, width, height) => ({left, top, right: left + width, bottom: top + height});
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const spreadWords = ({mean: value, half, count, unit}, metric) =>
  fixed(value, metric) + (half === undefined ? "" : ` ± ${half.toFixed(3)}, 95 % over ${count} ${unit}`);
function scatterWords(fronts, horizontal, vertical) {
  const named = fronts
    .flat()
    .map(p => `${settingName(p.cells)}: ${fixed(p.x.mean, horizontal)}, ${fixed(p.y.mean, vertical)}`);
  return `${vertical.label} against ${horizontal.label}. On the front: ${named.join("; ")}`;
}
