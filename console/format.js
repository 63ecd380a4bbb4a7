// @ts-check
/** Numbers and times as people read them. */

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** @param {number} value */
export function count(value) {
  return NUMBER.format(value);
}

/**
 * With as many decimals as a weight may have, and no more than needed: `12.5 %`.
 *
 * @param {number} value in per cent
 * @param {number} [decimals]
 */
export function percent(value, decimals = 3) {
  return `${Number(value.toFixed(decimals))} %`;
}

/**
 * A share of failures: small ones keep two digits.
 *
 * @param {number} ratio 0 to 1
 */
export function share(ratio) {
  const value = ratio * 100;
  if (value === 0) return '0 %';
  if (value < 0.01) return '< 0.01 %';
  if (value >= 99.95) return '100 %';
  return `${value < 1 ? value.toPrecision(2) : value.toFixed(1)} %`;
}

/** @param {number} perSecond */
export function rate(perSecond) {
  const text = perSecond === 0 ? '0' : perSecond < 10 ? perSecond.toFixed(1) : NUMBER.format(perSecond);
  return `${text}/s`;
}

/** @param {number | null | undefined} value */
export function milliseconds(value) {
  if (value === null || value === undefined) return '–';
  if (value >= 10_000) return `${(value / 1_000).toFixed(0)} s`;
  if (value >= 1_000) return `${(value / 1_000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/**
 * `1 h 5 min`, `40 s`: the two largest units.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  /** @type {[number, string][]} */
  const units = [[Math.floor(whole / 86_400), 'd'], [Math.floor(whole / 3_600) % 24, 'h'], [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']];
  const first = units.findIndex(([number]) => number > 0);
  if (first < 0) return '0 s';
  return units.slice(first, first + 2).filter(([number]) => number > 0).map(([number, unit]) => `${number} ${unit}`).join(' ');
}

/** @param {string | number | Date} time */
export function ago(time) {
  return `${duration((Date.now() - new Date(time).getTime()) / 1_000)} ago`;
}

/** @param {string | number | Date} time */
export function when(time) {
  const date = new Date(time);
  const day = date.toDateString() === new Date().toDateString() ? '' : `${date.toISOString().slice(0, 10)} `;
  return `${day}${date.toTimeString().slice(0, 8)}`;
}
