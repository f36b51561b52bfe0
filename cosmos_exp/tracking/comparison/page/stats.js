// Means over scenes and seeds with their 95 % intervals, and which setting is best.

// Quantile of Student's t that 2.5 % lie above, for whole degrees of freedom: Abramowitz and Stegun 26.7.3, 26.7.4.
const quantiles = [];
function t975(freedom) {
  return (quantiles[freedom] ||= (() => {
    let low = 0,
      high = Math.PI / 2;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      studentWithin(middle, freedom) < 0.95 ? (low = middle) : (high = middle);
    }
    return Math.sqrt(freedom) * Math.tan(low);
  })());
}
// Probability that |t| < sqrt(freedom) tan(angle).
function studentWithin(angle, freedom) {
  const sin = Math.sin(angle),
    cos = Math.cos(angle),
    odd = freedom % 2;
  let term = odd ? cos : 1,
    sum = freedom === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k <= freedom - 2; k += 2) sum += term *= (cos * cos * (k - 1)) / k;
  return odd ? (2 / Math.PI) * (angle + sin * sum) : sin * sum;
}

// Probability that chance alone makes |t| as large.
const chance = (t, freedom) => 1 - studentWithin(Math.atan(t / Math.sqrt(freedom)), freedom);

const mean = values => values.reduce((sum, v) => sum + v, 0) / values.length;
function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    groups.has(name) ? groups.get(name).push(item) : groups.set(name, [item]);
  }
  return groups;
}
const joint = (cell, axes) => JSON.stringify(axes.map(a => text(cell.axes[a.key])));

// {mean, error, half, count, unit} of [cell, value] pairs: values are averaged within a scene and seed, then within a scene;
// the interval is Student's, over the scenes where there are several and else over the seeds. error, half: the standard
// error and half the interval, undefined for one.
function interval(pairs, leftOut = []) {
  const kept = repeats.filter(a => !leftOut.includes(a.key));
  const scene = kept.filter(a => a.role === "scene"),
    seed = kept.filter(a => a.role === "seed");
  const scenes = [...groupBy(pairs, ([cell]) => joint(cell, scene)).values()].map(inScene =>
    [...groupBy(inScene, ([cell]) => joint(cell, seed)).values()].map(inSeed => mean(inSeed.map(p => p[1]))),
  );
  const units = scenes.length > 1 ? scenes.map(mean) : scenes[0] || [];
  const count = units.length,
    center = mean(units);
  const variance = units.reduce((sum, v) => sum + (v - center) ** 2, 0) / (count - 1);
  const error = count > 1 ? Math.sqrt(variance / count) : undefined;
  const half = count > 1 ? t975(count - 1) * error : undefined;
  return {mean: center, error, half, count, unit: scenes.length > 1 ? "scenes" : "seeds"};
}

// [cell, value] pairs of a metric; those to which all seeds of a scene give one value have one pair for them.
function pairsOf(cells, metric, value) {
  const pairs = cells.map(cell => [cell, value(cell, metric)]).filter(p => p[1] !== undefined);
  if (!data.ofAllSeeds.includes(metric)) return pairs;
  const others = data.axes.filter(a => a.role !== "seed");
  return [...groupBy(pairs, ([cell]) => joint(cell, others)).values()].map(of => [of[0][0], mean(of.map(p => p[1]))]);
}
const measuredValues = (cells, metric) => pairsOf(cells, metric, measuredOf);
// Values of a metric as they are shown, as [cell, value]; with a baseline, the difference to the cell that has this value of axis x and is
// like it in everything else. A cell without such a partner drops out.
function valuesOf(cells, metric, x, baseline) {
  const pairs = pairsOf(cells, metric, metricOf);
  if (baseline === undefined) return pairs;
  const others = data.axes.filter(a => a.key !== x);
  const partners = new Map(
    pairs.filter(([cell]) => text(cell.axes[x]) === baseline).map(([cell, v]) => [joint(cell, others), v]),
  );
  return pairs
    .filter(([cell]) => partners.has(joint(cell, others)))
    .map(([cell, v]) => [cell, v - partners.get(joint(cell, others))]);
}

// Settings: the cells that differ in scene and seed alone. They are compared within a style, because one style is harder
// than another.
const settingsOf = cells => [...groupBy(cells, cell => joint(cell, factors)).values()];
const stylesOf = cells => [...groupBy(cells, cell => text(cell.style)).values()];

// Whether the mean of a metric of the whole clip satisfies a constraint; where it was not measured, it does.
const RELATIONS = {
  above: (v, bound) => v > bound,
  "at least": (v, bound) => v >= bound,
  "at most": (v, bound) => v <= bound,
};
const wholeClip = (cells, key) => pairsOf(cells, key, cell => cell.metrics[key]);
function holds(cells, constraint) {
  const pairs = constraint ? wholeClip(cells, constraint.metric) : [];
  return !pairs.length || RELATIONS[constraint.relation](interval(pairs).mean, constraint.bound);
}
const STYLE_KEPT = data.constraint,
  STYLE = STYLE_KEPT.metric;
const lostStyle = cells => !holds(cells, STYLE_KEPT);
const sameConstraint = (a, b) => a && b && ["metric", "relation", "bound"].every(key => a[key] === b[key]);

// Whether a metric, or one of the same evidence, took the best of more candidates in some cells than in others: it is
// higher in these by that alone.
function chosenUnequally(settings, metric) {
  const cells = settings.flat().filter(cell => measuredOf(cell, metric.key) !== undefined);
  const among = cells.map(cell => (cell.choice?.favoured.includes(metric.key) ? cell.choice.candidates.length : 1));
  return new Set(among).size > 1;
}

// Which of several settings is best in a metric: {best, ties, count, unit}, undefined where there is nothing to compare.
// That with the best mean is compared with each other one, in pairs of one scene and seed: Student's paired test, over
// scenes as in `interval`, corrected for their number after Holm (1979). ties: those that it is not told apart from at
// 5 %. count: pairs of the comparison that has fewest; below 2, nothing can be told.
function ranking(settings, metric) {
  const sign = {up: 1, down: -1}[metric.direction];
  const values = settings.map(cells => measuredValues(cells, metric.key));
  const {settings: measuredOnes, common} = comparable(settings, metric);
  if (!sign || measuredOnes.length < 2 || !common.size || chosenUnequally(measuredOnes, metric)) return undefined;
  const shared = cells => values[settings.indexOf(cells)].filter(([cell]) => common.has(joint(cell, repeats)));
  const level = cells => sign * interval(shared(cells)).mean;
  const best = measuredOnes.reduce((a, b) => (level(b) > level(a) ? b : a));
  const tests = measuredOnes
    .filter(cells => cells !== best)
    .map(cells => {
      const pairs = differences(values[settings.indexOf(best)], values[settings.indexOf(cells)]);
      const {mean: ahead, error, count, unit} = pairs.length ? interval(pairs) : {count: 0};
      const told = count > 1 && sign * ahead > 0;
      return {cells, count, unit, p: told ? (error > 0 ? chance(Math.abs(ahead) / error, count - 1) : 0) : 1};
    })
    .sort((a, b) => a.p - b.p);
  const first = tests.findIndex(({p}, i) => p > 0.05 / (tests.length - i));
  const {count, unit} = tests.reduce((a, b) => (b.count < a.count ? b : a));
  return {best, ties: first < 0 ? [] : tests.slice(first).map(t => t.cells), count, unit};
}
// The settings measured on at least half as many scenes and seeds as the one with most, and the scenes and seeds that all of
// these have: means over other scenes say nothing.
function comparable(settings, metric) {
  const measuredOn = cells => new Set(measuredValues(cells, metric.key).map(([cell]) => joint(cell, repeats)));
  const sets = settings.map(measuredOn),
    most = Math.max(0, ...sets.map(s => s.size));
  const kept = settings.filter((_, i) => sets[i].size && 2 * sets[i].size >= most);
  const common = new Set([...(kept.length ? measuredOn(kept[0]) : [])]);
  for (const cells of kept) {
    const own = measuredOn(cells);
    common.forEach(name => own.has(name) || common.delete(name));
  }
  return {settings: kept, common};
}
// Differences of [cell, value] pairs to those of another setting, scene by scene and seed by seed.
function differences(pairs, others) {
  const partners = new Map(others.map(([cell, v]) => [joint(cell, repeats), v]));
  return pairs
    .filter(([cell]) => partners.has(joint(cell, repeats)))
    .map(([cell, v]) => [cell, v - partners.get(joint(cell, repeats))]);
}
