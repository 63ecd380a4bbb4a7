// @ts-check
/**
 * Curves in SVG: a small one beside a number, and a large one to be read. Lines differ in width and dash, not only in
 * colour; holes stay holes; what is seen is also told in words, and the large one can be read point by point with the
 * pointer or the arrow keys.
 *
 * @typedef {[x: number, y: number | null]} ChartPoint a hole where y is null
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {string} [class] `base`, `accent`, `bad`, `warn`, `good` or `dim`: its colour
 * @property {ChartPoint[]} points in the order of x
 * @property {[x: number, low: number, high: number][]} [band] drawn as an area behind the line
 * @property {boolean} [dashed]
 *
 * @typedef {object} LineChart
 * @property {Series[]} series
 * @property {string} label what is drawn, in a few words: `Evidence against the alarm`
 * @property {boolean} [logScale] of y; what is not above zero is drawn at the bottom
 * @property {number} [alarm] a line across, which is always in the picture
 * @property {string} [alarmName] what it is called; `alarm` unless it says something else
 * @property {(x: number) => string} [xLabel] how x is written
 * @property {(y: number) => string} [yLabel] how y is written
 * @property {number} [yMin] always in the picture; 0 unless the scale is logarithmic
 * @property {number} [yMax] always in the picture
 * @property {[from: number, to: number]} [xRange] the least that is shown of x
 * @property {(x: number) => string} [xTickLabel] how x is written below, where there is less room
 * @property {number[]} [xTicks] where x is written below, from left to right; evenly unless it says where
 * @property {number} [height] in pixels
 * @property {(series: Series[]) => string} [describe] the picture in words
 */

import { h, replace, s, setAttribute, setText } from './dom.js';

/** The size of the small curve's own coordinates; it is stretched to where it stands. */
const SMALL = { width: 180, height: 36, margin: 2 };

/** Room around the large one: for the numbers at the left and below. */
const MARGIN = { top: 10, right: 14, bottom: 24, left: 52 };

/**
 * A small curve of one version. `null` is a hole.
 *
 * @typedef {object} Sparkline
 * @property {(number | null)[]} values
 * @property {number} [max] the top; curves that are compared have the same one
 * @property {string} label in words: what it is, and what it shows
 * @property {string} [class] its colour, as that of a series
 *
 * @param {Sparkline} sparkline
 * @returns {{ element: SVGSVGElement, update(sparkline: Sparkline): void }}
 */
export function sparkline(sparkline) {
  const area = s('path', { class: 'area' });
  const line = s('path', { class: 'line' });
  const { width, height } = SMALL;
  const element = s('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img' }, area, line);
  /** @param {Sparkline} next */
  const update = (next) => {
    const { values } = next;
    const seen = values.filter((value) => value !== null);
    const top = Math.max(next.max ?? 0, ...seen) || 1;
    const step = width / Math.max(1, values.length - 1);
    const bottom = height - SMALL.margin;
    /** @type {Dot[]} */
    const dots = values.map((value, index) =>
      value === null ? null : [index * step, bottom - (value / top) * (bottom - SMALL.margin)]);
    setAttribute(element, 'class', `sparkline ${next.class ?? 'accent'}`);
    setAttribute(element, 'aria-label', next.label);
    setAttribute(line, 'd', linePath(dots, step / 2));
    setAttribute(area, 'd', areaPath(dots, height));
  };
  update(sparkline);
  return { element, update };
}

/**
 * A large curve. It is as wide as where it stands.
 *
 * @param {LineChart} chart
 * @returns {{ element: HTMLElement, update(series: Series[], changed?: Partial<LineChart>): void }}
 */
export function lineChart(chart) {
  const drawing = new Drawing(chart);
  return { element: drawing.element, update: (series, changed = {}) => drawing.update({ ...changed, series }) };
}

class Drawing {
  #picture = s('svg', { role: 'img', class: 'picture' });
  #grid = s('g', { class: 'grid' });
  #bands = s('g');
  #lines = s('g');
  #cursor = s('line', { class: 'cursor', hidden: true });
  #legend = h('ul', { class: 'legend' });
  #reading = h('p', { class: 'reading dim number', role: 'status' });
  #frame;
  /** The moment that is read; none: the last one. @type {number | null} */
  #at = null;
  #width = 0;
  #asked = false;

  /** @param {LineChart} chart */
  constructor(chart) {
    this.chart = chart;
    this.#picture.append(this.#grid, this.#bands, this.#lines, this.#cursor);
    this.#frame = h('div', {
      class: 'frame',
      tabindex: '0',
      role: 'group',
      'aria-label': `${chart.label}: read it with the arrow keys`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      onpointermove: (/** @type {PointerEvent} */ event) => this.#point(event),
      onpointerleave: () => this.#read(null),
      onblur: () => this.#read(null),
    }, this.#picture);
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, chart.label), this.#legend, this.#frame, this.#reading);
    const observer = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry?.contentRect.width ?? 0);
      if (width === this.#width) return;
      this.#width = width;
      this.#soon();
    });
    observer.observe(this.#frame);
    this.#names();
  }

  /** @param {Partial<LineChart>} changed */
  update(changed) {
    this.chart = { ...this.chart, ...changed };
    this.#names();
    this.#soon();
  }

  #soon() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  /** The names of the lines, each with a piece of it. */
  #names() {
    const { series, alarm, alarmName } = this.chart;
    const items = series.map((one, index) => named(one.name, lineClass(one, index)));
    if (alarm !== undefined) items.push(named(`${alarmName ?? 'alarm'} ${this.#y(alarm)}`, 'line alarm bad'));
    replace(this.#legend, items);
  }

  /** @param {number} y */
  #y(y) {
    return this.chart.yLabel?.(y) ?? plain(y);
  }

  #draw() {
    const { series, label, describe } = this.chart;
    setAttribute(this.#picture, 'aria-label', `${label}. ${describe?.(series) ?? this.#inWords()}`);
    if (this.#width < 40) return;
    const height = this.chart.height ?? 220;
    setAttribute(this.#picture, 'width', this.#width);
    setAttribute(this.#picture, 'height', height);
    const scale = new Scale(this.chart, this.#width, height);
    replace(this.#grid, this.#gridOf(scale, height));
    replace(this.#bands, series.map((one) => {
      const upper = (one.band ?? []).map(([x, , high]) => scale.dot(x, high));
      const lower = (one.band ?? []).map(([x, low]) => scale.dot(x, low));
      return upper.length === 0 ? null : s('path', { class: `band ${one.class ?? 'accent'}`, d: `M${joined(upper)}L${joined(lower.reverse())}Z` });
    }));
    replace(this.#lines, series.map((one, index) => {
      const dots = one.points.map(([x, y]) => (y === null ? null : scale.dot(x, y)));
      return s('path', { class: lineClass(one, index), d: linePath(dots, 1.5) });
    }));
    this.#scale = scale;
    // The moment that is read may have gone on a little.
    this.#read(this.#at === null ? null : this.#nearest(this.#at));
  }

  /** @type {Scale | null} */
  #scale = null;

  /**
   * @param {Scale} scale
   * @param {number} height
   */
  #gridOf(scale, height) {
    const { alarm } = this.chart;
    const right = this.#width - MARGIN.right;
    const across = scale.yTicks().flatMap((tick) => {
      const y = scale.y(tick);
      return [s('line', { x1: MARGIN.left, x2: right, y1: y, y2: y }),
        s('text', { x: MARGIN.left - 8, y: y + 4, 'text-anchor': 'end' }, this.#y(tick))];
    });
    const below = scale.xTicks().map((tick, index, all) => {
      const anchor = index === 0 ? 'start' : index === all.length - 1 ? 'end' : 'middle';
      return s('text', { x: scale.x(tick), y: height - 6, 'text-anchor': anchor }, (this.chart.xTickLabel ?? this.chart.xLabel ?? plain)(tick));
    });
    const y = alarm === undefined ? 0 : scale.y(alarm);
    const line = alarm === undefined ? null : s('line', { class: 'line alarm bad', x1: MARGIN.left, x2: right, y1: y, y2: y });
    return [...across, ...below, line];
  }

  /** The last values, for those who do not see the picture. */
  #inWords() {
    const said = this.chart.series.map((one) => {
      const values = one.points.flatMap(([, y]) => (y === null ? [] : [y]));
      const last = values.at(-1);
      if (last === undefined) return `${one.name}: nothing yet`;
      return `${one.name}: now ${this.#y(last)}, between ${this.#y(Math.min(...values))} and ${this.#y(Math.max(...values))}`;
    });
    const { alarm, alarmName } = this.chart;
    if (alarm !== undefined) said.push(`${alarmName ?? 'alarm'} at ${this.#y(alarm)}`);
    return `${said.join('; ')}.`;
  }

  /** All x of the lines, in order. */
  #moments() {
    return [...new Set(this.chart.series.flatMap((one) => one.points.map(([x]) => x)))].sort((a, b) => a - b);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const moments = this.#moments();
    const last = moments.length - 1;
    const here = this.#at === null ? last : moments.indexOf(this.#at);
    const far = Math.max(1, Math.round(last / 10));
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - far, PageDown: here + far, Home: 0, End: last };
    const next = steps[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.#read(moments[Math.min(last, Math.max(0, next))] ?? null);
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const wanted = this.#scale?.at(event.clientX - this.#picture.getBoundingClientRect().left);
    if (wanted !== undefined) this.#read(this.#nearest(wanted));
  }

  /** @param {number} wanted */
  #nearest(wanted) {
    const far = (/** @type {number} */ x) => Math.abs(x - wanted);
    const moments = this.#moments();
    return moments.length === 0 ? null : moments.reduce((best, x) => (far(x) < far(best) ? x : best));
  }

  /**
   * Tells the values of one moment.
   *
   * @param {number | null} at none: that one can do so
   */
  #read(at) {
    this.#at = at;
    const { series, xLabel } = this.chart;
    const scale = this.#scale;
    setAttribute(this.#cursor, 'hidden', at === null);
    if (at === null || !scale) return setText(this.#reading, '\u00a0');
    for (const [name, value] of Object.entries({ x1: scale.x(at), x2: scale.x(at), y1: MARGIN.top, y2: scale.bottom })) {
      setAttribute(this.#cursor, name, value);
    }
    const values = series.map((one) => {
      const y = one.points.find(([x]) => x === at)?.[1];
      const interval = one.band?.find(([x]) => x === at);
      const between = interval ? ` (${this.#y(interval[1])} to ${this.#y(interval[2])})` : '';
      return `${one.name} ${y === null || y === undefined ? '–' : this.#y(y)}${between}`;
    });
    setText(this.#reading, `${xLabel?.(at) ?? plain(at)}: ${values.join(', ')}`);
  }
}

/** Where a value is in the picture. */
class Scale {
  /**
   * @param {LineChart} chart
   * @param {number} width
   * @param {number} height
   */
  constructor(chart, width, height) {
    this.log = chart.logScale ?? false;
    this.right = width - MARGIN.right;
    this.bottom = height - MARGIN.bottom;
    const xs = [...chart.series.flatMap((one) => [...one.points.map(([x]) => x), ...(one.band ?? []).map(([x]) => x)]), ...(chart.xRange ?? [])];
    const seen = chart.series.flatMap((one) => [...one.points.map(([, y]) => y), ...(one.band ?? []).flatMap(([, low, high]) => [low, high])]);
    const ys = [...seen, chart.alarm, chart.yMin, chart.yMax].filter((y) => typeof y === 'number' && (!this.log || y > 0));
    const numbers = /** @type {number[]} */ (ys);
    this.ticks = xs.length === 0 ? [] : chart.xTicks;
    this.xMin = least(xs, 0);
    // A moment in milliseconds is too large a number for a small difference.
    const last = greatest(xs, 1);
    this.xMax = last > this.xMin ? last : this.xMin + 1;
    if (this.log) {
      this.low = 10 ** Math.floor(Math.log10(least(numbers, 0.1)));
      this.high = Math.max(10 ** Math.ceil(Math.log10(greatest(numbers, 10))), this.low * 10);
    } else {
      this.low = Math.min(chart.yMin ?? 0, least(numbers, 0));
      const top = greatest(numbers, 1);
      this.step = niceStep(top > this.low ? top - this.low : 1);
      this.low = Math.floor(this.low / this.step) * this.step;
      this.high = Math.max(Math.ceil(top / this.step - 1e-9) * this.step, this.low + this.step);
    }
  }

  step = 1;

  /** @param {number} x */
  x(x) {
    return round(MARGIN.left + ((x - this.xMin) / (this.xMax - this.xMin)) * (this.right - MARGIN.left));
  }

  /** @param {number} y */
  y(y) {
    const { low, high } = this;
    const part = this.log
      ? Math.log10(Math.max(y, low) / low) / Math.log10(high / low)
      : (y - low) / (high - low);
    return round(this.bottom - Math.min(1, Math.max(0, part)) * (this.bottom - MARGIN.top));
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {[number, number]}
   */
  dot(x, y) {
    return [this.x(x), this.y(y)];
  }

  /**
   * What is at this place.
   *
   * @param {number} pixel
   */
  at(pixel) {
    return this.xMin + ((pixel - MARGIN.left) / (this.right - MARGIN.left)) * (this.xMax - this.xMin);
  }

  yTicks() {
    if (this.log) {
      const decades = Math.round(Math.log10(this.high / this.low));
      const every = Math.ceil(decades / 5);
      return Array.from({ length: Math.floor(decades / every) + 1 }, (_, index) => this.low * 10 ** (index * every));
    }
    const steps = Math.round((this.high - this.low) / this.step);
    return Array.from({ length: steps + 1 }, (_, index) => Number((this.low + index * this.step).toPrecision(12)));
  }

  xTicks() {
    if (this.ticks) return this.ticks;
    const ticks = this.right - MARGIN.left < 360 ? 3 : 5;
    return Array.from({ length: ticks }, (_, index) => this.xMin + (index / (ticks - 1)) * (this.xMax - this.xMin));
  }
}

/** @typedef {[number, number] | null} Dot */

/**
 * A line through the dots, in pieces where there are holes; a single one is a short piece.
 *
 * @param {Dot[]} dots
 * @param {number} half half the length of that
 */
function linePath(dots, half) {
  return pieces(dots).map((piece) => {
    const [only] = piece;
    return piece.length === 1 && only ? `M${round(only[0] - half)} ${round(only[1])}h${round(2 * half)}` : `M${joined(piece)}`;
  }).join('');
}

/**
 * The area below that line.
 *
 * @param {Dot[]} dots
 * @param {number} bottom
 */
function areaPath(dots, bottom) {
  const wide = pieces(dots).filter((piece) => piece.length > 1);
  return wide.map((piece) => `M${round(piece[0]?.[0] ?? 0)} ${bottom}L${joined(piece)}V${bottom}Z`).join('');
}

/**
 * @param {Dot[]} dots
 * @returns {[number, number][][]}
 */
function pieces(dots) {
  /** @type {[number, number][][]} */
  const found = [];
  let open = false;
  for (const dot of dots) {
    if (dot && open) found.at(-1)?.push(dot);
    else if (dot) found.push([dot]);
    open = dot !== null;
  }
  return found;
}

/** @param {[number, number][]} dots */
function joined(dots) {
  return dots.map(([x, y]) => `${round(x)} ${round(y)}`).join('L');
}

/**
 * @param {Series} series
 * @param {number} index
 */
function lineClass(series, index) {
  return `line ${series.class ?? 'accent'} ${series.dashed ? 'dashed' : `kind${index % 4}`}`;
}

/**
 * A name of the legend, with a piece of its line.
 *
 * @param {string} name
 * @param {string} kind
 */
function named(name, kind) {
  const piece = s('svg', { width: 30, height: 10, 'aria-hidden': 'true' }, s('path', { class: kind, d: 'M0 5H30' }));
  return h('li', {}, piece, h('span', {}, name));
}

/**
 * About four steps of 1, 2 or 5 times a power of ten.
 *
 * @param {number} range
 */
function niceStep(range) {
  const rough = range / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power;
}

/** @param {number} value */
function plain(value) {
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(0).replace('e+', 'e');
  return String(Number(value.toPrecision(4)));
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}

/**
 * @param {number[]} values
 * @param {number} otherwise
 */
function least(values, otherwise) {
  return values.length === 0 ? otherwise : values.reduce((a, b) => Math.min(a, b));
}

/**
 * @param {number[]} values
 * @param {number} otherwise
 */
function greatest(values, otherwise) {
  return values.length === 0 ? otherwise : values.reduce((a, b) => Math.max(a, b));
}
