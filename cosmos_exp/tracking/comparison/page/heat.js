// A metric over two axes as a table of colours, one for each style: brighter is better.
function drawHeat() {
  const metric = metricNamed(state.heat.metric),
    [across, down] = [state.heat.x, state.heat.y].map(axisOf);
  if (!across || !down || !metric) return;
  const {marks} = standings([metric]),
    byStyle = [across, down].some(a => a.key === "style") ? [shown()] : stylesOf(shown());
  document
    .querySelector("#heat .plot")
    .replaceChildren(
      ...byStyle.map(cells => heatTable(cells, metric, across, down, marks[metric.key], byStyle.length > 1)),
    );
}

function heatTable(cells, metric, across, down, marks, named) {
  const at = groupBy(cells, cell => joint(cell, [down, across]));
  const found = new Map();
  for (const [key, here] of at) {
    const pairs = valuesOf(here, metric.key);
    if (pairs.length) found.set(key, interval(pairs));
  }
  const means = [...found.values()].map(f => f.mean);
  const scale = {
    values: means,
    low: Math.min(...means),
    high: Math.max(...means),
    turned: directionOf(metric) === "down",
  };
  const cell = (row, column) => {
    const key = JSON.stringify([text(row), text(column)]);
    return heatCell(at.get(key) || [], found.get(key), metric, scale, marks);
  };
  const heading = (value, axis, scope) =>
    make("th", {scope, textContent: text(value), title: `${axis.label} ${text(value)}`});
  return make(
    "figure",
    {},
    make(
      "figcaption",
      {title: metric.about},
      make("b", {textContent: (named ? text(cells[0].style) + ": " : "") + metricLabel(metric)}),
    ),
    make(
      "div",
      {className: "heat"},
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            make("td"),
            make("th", {className: "axis-name", colSpan: across.values.length, textContent: across.label}),
          ),
          make(
            "tr",
            {},
            make("th", {className: "axis-name", textContent: down.label}),
            ...across.values.map(v => heading(v, across, "col")),
          ),
        ),
        make(
          "tbody",
          {},
          ...down.values.map(row => make("tr", {}, heading(row, down, "row"), ...across.values.map(v => cell(row, v)))),
        ),
      ),
    ),
  );
}

function heatCell(cells, found, metric, scale, marks) {
  if (!found) return make("td", {className: "soft", textContent: cells.length ? "–" : ""});
  const settings = settingsOf(cells),
    standing = ["best", "tied"].find(name => settings.some(s => marks[joint(s[0], factors)] === name)),
    lost = settings.every(s => !holds(s, state.constraint));
  const share = shareOf(scale, found.mean),
    colour = ramp(share);
  const td = make("td", {
    className: lost ? "lost" : "",
  });
  td.append(make("span", {textContent: ({best: "★ ", tied: "≈ "}[standing] || "") + fixed(found.mean, metric)}));
  td.style.setProperty("--heat", colour);
  td.style.color = isBright(colour) ? "#111" : "#fff";
  const note = [
    [...new Set(settings.map(settingName))].slice(0, NAMED).join("\n"),
    `${metric.label}: ${spreadWords(found, metric)}`,
    `${cells.length} cells` + (settings.length > 1 ? `, mean of ${settings.length} settings` : ""),
    ...(lost ? [lostWords()] : []),
  ].join("\n");
  td.setAttribute("aria-label", note);
  td.tabIndex = 0;
  return explains(td, cells, note);
}
const lostWords = () => (sameConstraint(state.constraint, STYLE_KEPT) ? "lost the style" : "excluded by the condition");
function isBright(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 140;
}

function setUpHeat() {
  const axes = [...factors.filter(a => a.values.length > 1), ...data.derived];
  const swept = factors.filter(a => a.values.length > 1);
  $("to-heat").hidden = $("heat").hidden = swept.length < 2 || !measured().some(m => m.direction);
  if ($("heat").hidden) return;
  const [x, y] = swept.filter(a => a.key !== "style").length > 1 ? swept.filter(a => a.key !== "style") : swept;
  Object.assign(state.heat, {x: x.key, y: y.key});
  const menu = (id, key, pairs) => {
    options($(id), pairs);
    choose($(id), state.heat[key], value => {
      const other = {x: "y", y: "x"}[key];
      if (state.heat[other] === value) $("heat-" + other).value = state.heat[other] = state.heat[key];
      state.heat[key] = value;
      drawHeat();
    });
  };
  for (const key of ["x", "y"])
    menu(
      "heat-" + key,
      key,
      axes.map(a => [a.key, a.label]),
    );
}
