// The answer in a sentence per style: which setting is best by the chosen metric among those that satisfy the constraint,
// and how sure that is. In Python: comparison/answer.py.
const NAMED = 4;

function drawAnswer() {
  const metric = metricNamed(state.objective);
  if (!metric) return;
  const styles = stylesOf(shown());
  $("sentences").replaceChildren(
    ...styles.map(cells => {
      const style =
        styles.length > 1 ? make("span", {className: "style", textContent: `${text(cells[0].style)}: `}) : "";
      return make("p", {}, style, answer(settingsOf(cells), metric));
    }),
  );
}

function answer(settings, metric) {
  const meeting = settings.filter(cells => holds(cells, state.constraint) && measuredValues(cells, metric.key).length);
  const {settings: considered} = comparable(meeting, metric);
  const aside = incomplete(meeting, considered) + asideOf(settings);
  if (!considered.length) return `No setting of ${among(settings)} has this metric.${aside}`;
  if (chosenUnequally(considered, metric))
    return `No setting can be named by ${metric.label}: ${data.chosen.why}${aside}`;
  const ranked = ranking(considered, metric);
  if (!ranked) return `Only ${settingName(considered[0])} can be considered.${aside}`;
  const {best, ties, count, unit} = ranked,
    name = settingName(best);
  const found = `best ${objectiveName(metric)} among ${among(settings)}, ${estimate(measuredValues(best, metric.key), metric)}`;
  if (count < 2)
    return `No winner can be named with one scene and one seed. ${name} has the ${found}, which may be chance.${aside}`;
  const sign = metric.direction === "down" ? 1 : -1,
    level = cells => sign * interval(measuredValues(cells, metric.key)).mean;
  const names = ties.toSorted((a, b) => level(a) - level(b)).map(settingName);
  const told = names.length ? `tied with ${list(names)}, not told apart` : "better than every other";
  return `${name}: ${found}; ${told} (paired over ${count} ${unit}).${doubt(best)}${between(best, metric)}${aside}`;
}
// Where its mean lies between floor and ceiling.
function between(best, metric) {
  const ends = ["ceiling", "floor"].map(name => {
    const found = best.map(cell => referencesOf(cell, metric.key)[name]).filter(v => v !== undefined);
    return found.length ? mean(found) : undefined;
  });
  if (ends.includes(undefined) || ends[0] === ends[1]) return "";
  const [ceiling, floor] = ends,
    share = (interval(measuredValues(best, metric.key)).mean - floor) / (ceiling - floor);
  return ` From another scene (0) to this scene's own picture (1), that is ${share.toFixed(2)}.`;
}

function objectiveName(metric) {
  const name = state.part ? `${metric.label}, ${partLabel()}` : metric.label;
  return metric.group === "map" ? `map adherence (${name})` : name;
}
function estimate(pairs, metric) {
  const {mean: value, half} = interval(pairs);
  return (
    value.toFixed(3) + (half === undefined ? "" : ` ± ${half.toFixed(3)}`) + (metric.unit ? ` ${metric.unit}` : "")
  );
}
function among(settings) {
  const asked = state.constraint;
  if (!asked || !settings.some(cells => wholeClip(cells, asked.metric).length)) return "all settings";
  if (sameConstraint(asked, STYLE_KEPT)) return "the settings that keep the style";
  return `the settings with ${metricNamed(asked.metric).label} ${asked.relation} ${asked.bound}`;
}
// Where the interval of the constraint's metric has the bound in it.
function doubt(best) {
  const pairs = state.constraint ? wholeClip(best, state.constraint.metric) : [];
  const {mean: value, half} = pairs.length ? interval(pairs) : {};
  if (half === undefined || Math.abs(value - state.constraint.bound) > half) return "";
  const metric = metricNamed(state.constraint.metric);
  return ` Whether it meets this is not sure: ${metric.label} ${estimate(pairs, metric)}.`;
}
// Which settings were measured on too few scenes and seeds.
function incomplete(meeting, considered) {
  const few = meeting.filter(cells => !considered.includes(cells)).map(settingName);
  return few.length ? ` Left out, because measured on less than half of the scenes and seeds: ${list(few)}.` : "";
}
// Which settings were not considered, and why.
function asideOf(settings) {
  const asked = state.constraint,
    left = settings.filter(cells => !holds(cells, asked));
  if (left.length) {
    const why = sameConstraint(asked, STYLE_KEPT) ? "lost the style" : "do not meet this",
      name = metricNamed(asked.metric).label;
    const value = cells => interval(wholeClip(cells, asked.metric)).mean.toFixed(3);
    const names = left.map(cells => `${settingName(cells)} (${name} ${value(cells)})`);
    return ` ${left.length} of ${settings.length} settings ${why}: ${list(names)}.`;
  }
  return settings.some(cells => wholeClip(cells, STYLE).length) ? "" : " Whether the style is kept was not measured.";
}
const list = names =>
  names.slice(0, NAMED).join("; ") + (names.length > NAMED ? `; and ${names.length - NAMED} more` : "");

const settingName = cells =>
  factors
    .filter(a => a.values.length > 1 && a.key !== "style")
    .map(a => `${a.label} ${valueText(cells.find(c => c.acts[a.key]) || cells[0], a)}`)
    .join(", ") || "the only setting";

const objectives = () =>
  data.metrics.filter(
    m => m.direction && m.key !== STYLE && data.cells.some(cell => measuredOf(cell, m.key) !== undefined),
  );
// The menus: a metric that bounds what is considered, a relation and a bound.
function setUpAnswer() {
  const ranked = measured().filter(m => m.direction);
  $("answer").hidden = !objectives().length || settingsOf(data.cells).length < 2;
  state.constraint = metricNamed(STYLE) ? {...STYLE_KEPT} : null;
  options($("constraint"), [["", "no condition"], ...ranked.map(m => [m.key, metricLabel(m)])]);
  options(
    $("relation"),
    data.relations.map(name => [name, name]),
  );
  choose($("constraint"), state.constraint ? STYLE : "", setConstraint);
  choose($("relation"), STYLE_KEPT.relation, value => {
    state.constraint.relation = value;
    draw();
  });
  $("bound").oninput = () => {
    if (!Number.isFinite($("bound").valueAsNumber)) return;
    state.constraint.bound = $("bound").valueAsNumber;
    draw();
  };
  showConstraint();
}
// Of another metric than the style score, better than the median setting.
function setConstraint(key) {
  const metric = metricNamed(key);
  if (!metric) state.constraint = null;
  else if (key === STYLE) state.constraint = {...STYLE_KEPT};
  else {
    const pairs = settingsOf(data.cells).map(cells => wholeClip(cells, key));
    const means = pairs.filter(p => p.length).map(p => interval(p).mean);
    const middle = means.sort((a, b) => a - b)[Math.floor(means.length / 2)];
    const relation = metric.direction === "down" ? "at most" : "at least";
    state.constraint = {metric: key, relation, bound: +middle.toPrecision(3)};
  }
  showConstraint();
  if (metric) showColumn(key);
  draw();
}
function showColumn(key) {
  state.metrics.table.add(key);
  drawMenus();
  drawTable();
}
function showConstraint() {
  $("bounds").hidden = !state.constraint;
  if (!state.constraint) return;
  $("relation").value = state.constraint.relation;
  $("bound").value = state.constraint.bound;
}
