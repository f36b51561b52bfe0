// Means over scenes and seeds with their 95 % intervals.

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

// {mean, half, count, unit} of [cell, value] pairs: values are averaged within a scene and seed, then within a scene;
// the interval is Student's, over the scenes where there are several and else over the seeds. half: undefined for one.
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
  const half = count > 1 ? t975(count - 1) * Math.sqrt(variance / count) : undefined;
  return {mean: center, half, count, unit: scenes.length > 1 ? "scenes" : "seeds"};
}

// Values of a metric as [cell, value]; with a baseline, the difference to the cell that has this value of axis x and is
// like it in everything else. A cell without such a partner drops out.
function valuesOf(cells, metric, x, baseline) {
  const pairs = cells.map(cell => [cell, metricOf(cell, metric)]).filter(p => p[1] !== undefined);
  if (baseline === undefined) return pairs;
  const others = data.axes.filter(a => a.key !== x);
  const partners = new Map(
    pairs.filter(([cell]) => text(cell.axes[x]) === baseline).map(([cell, v]) => [joint(cell, others), v]),
  );
  return pairs
    .filter(([cell]) => partners.has(joint(cell, others)))
    .map(([cell, v]) => [cell, v - partners.get(joint(cell, others))]);
}
