// The table: a row per cell, or per combination of the axes that are neither scene nor seed.
function tableRows() {
  const cells = shown();
  if (!state.means)
    return cells.map(cell => ({cells: [cell], axes: cell.axes, value: key => ({mean: metricOf(cell, key)})}));
  return [...groupBy(cells, cell => joint(cell, factors)).values()].map(group => {
    const known = new Map();
    const value = key => {
      if (!known.has(key)) {
        const pairs = valuesOf(group, key);
        known.set(key, pairs.length ? interval(pairs) : {});
      }
      return known.get(key);
    };
    return {cells: group, axes: group[0].axes, value};
  });
}
const rowState = row =>
  row.cells.length === 1 && !state.means
    ? stateOf(row.cells[0])
    : [...groupBy(row.cells, c => c.state)]
        .map(([name, of]) => `${of.length} ${name}`)
        .sort((a, b) => b.endsWith("done") - a.endsWith("done"))
        .join(", ");

function sorted(rows) {
  if (!state.sort) return rows;
  const [kind, key] = state.sort;
  const get = row => (kind === "metric" ? row.value(key).mean : key === "state" ? rowState(row) : row.axes[key]);
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  return rows.sort((a, b) => {
    const x = get(a),
      y = get(b),
      tie = a.cells[0].index - b.cells[0].index;
    if (x === undefined || x === null) return y === undefined || y === null ? tie : 1;
    if (y === undefined || y === null) return -1;
    return (order(x, y) || tie) * (state.descending ? -1 : 1);
  });
}

function heading(name, kind, key, about, numeric) {
  const here = state.sort && state.sort[0] === kind && state.sort[1] === key;
  const button = make("button", {textContent: name + (here ? (state.descending ? " ▾" : " ▴") : ""), title: about});
  button.onclick = () => {
    state.descending = here ? !state.descending : kind === "metric" && directionOf(metricNamed(key)) !== "down";
    state.sort = [kind, key];
    drawTable();
    document.querySelector(`th[data-key="${CSS.escape(key)}"] button`).focus();
  };
  const th = make("th", {className: numeric ? "num" : "", scope: "col"}, button);
  th.dataset.key = key;
  th.setAttribute("aria-sort", here ? (state.descending ? "descending" : "ascending") : "none");
  return th;
}

function drawTable() {
  const metrics = measured().filter(m => state.metrics.table.has(m.key)),
    axes = state.means ? factors : data.axes;
  const {marks, fewest} = standings(metrics);
  $("stars").textContent = !fewest
    ? "With one scene and one seed, what differs may be chance: nothing is marked as best."
    : state.means
      ? `★ best of its style; ≈ not told apart from the best. Paired over ${fewest.count} ${fewest.unit}, Holm-corrected; ${state.constraint ? "what misses the condition above wins nothing" : "without a condition"}.`
      : "The best settings are marked in the means over scenes and seeds.";
  const rows = sorted(tableRows());
  document
    .querySelector("#table thead")
    .replaceChildren(groupRow(1 + axes.length + 1, metrics), headRow(axes, metrics));
  document
    .querySelector("#table tbody")
    .replaceChildren(...rows.map(row => tableRow(row, axes, metrics, state.means ? marks : {})));
  drawGroups();
  drawCandidates();
}
function groupRow(before, metrics) {
  const groups = [...groupBy(metrics, m => m.group || "other")];
  const spans = groups.map(([name, of]) =>
    make("th", {className: "group", colSpan: of.length, scope: "colgroup", textContent: name}),
  );
  return make("tr", {}, make("td", {colSpan: before}), ...spans);
}
function headRow(axes, metrics) {
  return make(
    "tr",
    {},
    make("th", {textContent: "▶", title: "Played below"}),
    ...axes.map(a => heading(a.label, "axis", a.key, a.key)),
    heading("state", "axis", "state", "state of the run"),
    ...metrics.map((m, i) => {
      const th = heading(metricLabel(m), "metric", m.key, m.about, true);
      th.classList.toggle("first", i > 0 && metrics[i - 1].group !== m.group);
      return th;
    }),
  );
}
// A button per group shows all of its columns, or none.
function drawGroups() {
  const groups = data.groups.filter(group => measured().some(m => m.group === group));
  $("groups").replaceChildren(
    ...groups.map(group => {
      const own = measured().filter(m => m.group === group),
        some = own.some(m => state.metrics.table.has(m.key));
      const button = make("button", {textContent: group, title: own.map(m => m.label).join(", ")});
      button.dataset.group = group;
      button.setAttribute("aria-pressed", some);
      button.onclick = () => {
        own.forEach(m => (some ? state.metrics.table.delete(m.key) : state.metrics.table.add(m.key)));
        drawMenus();
        drawTable();
        document.querySelector(`[data-group="${group}"]`).focus();
      };
      return button;
    }),
  );
}

// marks: {metric: {setting: "best" or "tied"}} of the settings shown that satisfy the constraint. fewest: the ranking of
// fewest pairs, undefined where nothing can be told. A single cell is no setting's mean, so rows of cells have no marks.
function standings(metrics) {
  const marks = Object.fromEntries(metrics.map(m => [m.key, {}]));
  let fewest;
  for (const cells of stylesOf(shown())) {
    const settings = settingsOf(cells).filter(setting => holds(setting, state.constraint));
    for (const m of metrics) {
      const ranked = ranking(settings, m);
      if (!ranked || ranked.count < 2) continue;
      if (!fewest || ranked.count < fewest.count) fewest = ranked;
      marks[m.key][joint(ranked.best[0], factors)] = ranked.ties.length ? "tied" : "best";
      for (const tie of ranked.ties) marks[m.key][joint(tie[0], factors)] = "tied";
    }
  }
  return {marks, fewest};
}

function tableRow(row, axes, metrics, marks) {
  const tick = make("input", {type: "checkbox", checked: row.cells.every(c => c.ticked)});
  tick.indeterminate = !tick.checked && row.cells.some(c => c.ticked);
  tick.setAttribute("aria-label", "Play " + axes.map(a => `${a.label} ${text(row.axes[a.key])}`).join(", "));
  tick.onchange = () => {
    row.cells.forEach(c => (c.ticked = tick.checked));
    drawVideos();
  };
  const failed = row.cells.some(c => c.state !== "done"),
    lost = lostStyle(row.cells),
    why = [...new Set(row.cells.map(c => c.error).filter(Boolean))].join("\n");
  const numbers = metrics.map((m, i) => {
    const {mean: value, half, count, unit} = row.value(m.key);
    const first = i > 0 && metrics[i - 1].group !== m.group ? "first" : "";
    const cell = make("td", {
      className: `num ${first} ${marks[m.key]?.[joint(row.cells[0], factors)] || ""}`.trim(),
      textContent: fixed(value, m),
    });
    if (half !== undefined)
      cell.append(
        make("span", {
          className: "spread",
          textContent: ` ± ${half.toFixed(3)}`,
          title: `95 % interval over ${count} ${unit}`,
        }),
      );
    return cell;
  });
  const tr = make(
    "tr",
    {title: row.cells[0].prompt},
    make("td", {}, tick),
    ...axes.map(a => make("td", {textContent: valueText(row.cells.find(c => c.acts[a.key]) || row.cells[0], a)})),
    make("td", {
      className: "state " + (failed || lost ? "bad" : "soft"),
      title: why,
      textContent: rowState(row) + (lost ? ", style lost" : ""),
    }),
    ...numbers,
  );
  return row.cells.length === 1 ? standsFor(tr, row.cells[0]) : tr;
}
