// Puts the choices on the page, and draws.
function draw() {
  drawAnswer();
  drawChips();
  drawLegend();
  drawTable();
  drawParallel();
  drawPlots();
  drawScatter();
  drawHeat();
  drawVideos();
}

const options = (select, pairs) =>
  select.replaceChildren(...pairs.map(([value, name]) => make("option", {value, textContent: name})));
const several = data.axes.filter(a => a.values.length > 1),
  plotted = [...several, ...data.derived];
function choose(select, initial, apply) {
  select.value = initial;
  select.onchange = () => apply(select.value);
}
function baselineOptions() {
  state.baseline = "";
  const axis = axisOf(state.x);
  options($("baseline"), [
    ["", "values"],
    ...(axis && data.axes.includes(axis) ? axis.values.map(v => [text(v), `paired difference to ${text(v)}`]) : []),
  ]);
}

$("not-measured").replaceChildren(
  ...[...data.notMeasured, ...data.chosen.notes].map(said => make("p", {textContent: said})),
);
document.title = data.title + " – comparison";
$("title").textContent = data.title;
$("written").textContent = data.written;
const tally = [...groupBy(data.cells, c => c.state)].map(([name, cells]) => `${cells.length} ${name}`).join(", ");
$("counts").textContent = `${data.cells.length} cells: ${tally}`;
const columns = measured().filter(m => data.columns.includes(m.key));
columns.forEach(m => state.metrics.table.add(m.key));
const leading = data.groups.map(group => columns.find(m => m.group === group)).filter(Boolean);
for (const figures of ["parallel", "plots"])
  [...new Set([...leading, ...columns])].slice(0, FIRST_METRICS).forEach(m => state.metrics[figures].add(m.key));

const spread = several.filter(a => a.role === "factor");
state.x = (spread.toSorted((a, b) => b.values.length - a.values.length)[0] || several[0] || {key: ""}).key;
state.colour = (spread.find(a => a.key !== state.x) || {key: state.x}).key;
const few = axes => axes.filter(a => a.values.length <= 6).sort((a, b) => b.values.length - a.values.length)[0];
state.columns = (few(spread) || few(several) || {key: ""}).key;
tickFirst();

options($("part"), [["", "the whole clip"]]);
$("part").append(
  ...data.parts.map(({kind, parts}) =>
    make("optgroup", {label: kind}, ...parts.map(p => make("option", {value: p.key, textContent: p.label}))),
  ),
);
choose($("part"), "", value => {
  measured().forEach(m => delete state.ranges[m.key]);
  state.part = value;
  drawMetricMenus();
  drawMenus();
  draw();
});
$("values-label").hidden = !data.cells.some(c => Object.keys(c.references).length);
choose($("values"), "", value => {
  measured().forEach(m => delete state.ranges[m.key]);
  state.normalised = value === "normalised";
  drawMetricMenus();
  drawMenus();
  draw();
});
setUpAnswer();
setUpHeat();
setUpOverlays();
setUpMetricMenus();
options($("colour"), [["", "nothing"], ...plotted.map(a => [a.key, a.key]), ...measured().map(m => [m.key, m.label])]);
choose($("colour"), state.colour, value => {
  state.colour = value;
  drawLegend();
  drawParallel();
  drawPlots();
  drawScatter();
});
options(
  $("x"),
  plotted.map(a => [a.key, a.key]),
);
baselineOptions();
choose($("x"), state.x, value => {
  state.x = value;
  baselineOptions();
  drawPlots();
});
choose($("baseline"), "", value => {
  state.baseline = value;
  drawPlots();
});
$("rows-label").hidden = !repeats.length;
state.means = settingsOf(data.cells).some(cells => cells.length > 1);
choose($("rows"), state.means ? "means" : "cells", value => {
  state.means = value === "means";
  drawTable();
});
options(
  $("show"),
  data.shows.map(s => [s, s]),
);
choose($("show"), state.show, value => {
  state.show = value;
  drawVideos();
});
options($("columns"), [["", "as many as fit"], ...several.map(a => [a.key, a.key])]);
choose($("columns"), state.columns, value => {
  state.columns = value;
  drawVideos();
});

$("reset").onclick = () => {
  state.off = {};
  state.ranges = {};
  draw();
};
$("tick-shown").onclick = () => {
  shown().forEach(c => (c.ticked = true));
  drawTable();
  drawVideos();
};
$("tick-none").onclick = () => {
  data.cells.forEach(c => (c.ticked = false));
  drawTable();
  drawVideos();
};
$("play").onclick = () => (state.playing ? pause() : play());
$("back").onclick = () => stepFrames(-1);
$("forward").onclick = () => stepFrames(1);
$("scrub").oninput = () => goTo((duration() * $("scrub").value) / 1000);
$("speed").onchange = () => videos().forEach(v => (v.playbackRate = +$("speed").value));
$("size").oninput = drawVideos;
addEventListener("resize", () => {
  drawParallel();
  drawScatter();
});
darkScheme.addEventListener("change", draw);
document.addEventListener("keydown", event => {
  if (event.target.closest("button, input, select, summary, a, [tabindex]")) return;
  const action = {" ": () => $("play").click(), ArrowLeft: () => stepFrames(-1), ArrowRight: () => stepFrames(1)}[
    event.key
  ];
  if (action) {
    event.preventDefault();
    action();
  }
});
document.addEventListener("click", event =>
  document.querySelectorAll(".menu[open]").forEach(menu => {
    if (!menu.contains(event.target)) menu.open = false;
  }),
);
drawWithout();
drawMenus();
draw();
