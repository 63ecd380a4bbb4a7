// @ts-check
/** The versions of a service in one large picture, one measure at a time. */

import { lineChart } from '../chart.js';
import { h } from '../dom.js';
import { when } from '../format.js';
import { MEASURES } from './service_versions.js';

/**
 * @typedef {object} ServiceHistory what `GET …/history` answers
 * @property {number} interval_seconds
 * @property {string} until
 * @property {import('./service_versions.js').Curves} versions
 */

export class ComparedCard {
  #measure = MEASURES[0];
  #chart = lineChart({ label: 'Last 15 minutes', series: [], xLabel: when, xTickLabel: minute, height: 240 });
  /** @type {ServiceHistory | null} */
  #history = null;
  /** @type {Map<string, number>} */
  #tones = new Map();

  constructor() {
    const choices = MEASURES.map((measure, index) => {
      const input = h('input', { type: 'radio', name: 'measure', checked: index === 0, onchange: () => this.#choose(measure) });
      return h('label', {}, input, measure.name);
    });
    this.element = h('section', { class: 'card', 'aria-label': 'Versions compared', hidden: true },
      h('fieldset', { class: 'compared' }, h('legend', { class: 'dim' }, 'Compare'), choices), this.#chart.element);
  }

  /** @param {(typeof MEASURES)[number]} measure */
  #choose(measure) {
    this.#measure = measure;
    if (this.#history) this.show(this.#history, this.#tones);
  }

  /**
   * @param {ServiceHistory} history
   * @param {Map<string, number>} tones the numbers of the versions' colours
   */
  show(history, tones) {
    this.#history = history;
    this.#tones = tones;
    const measure = this.#measure;
    if (!measure) return;
    this.element.hidden = false;
    const until = new Date(history.until).getTime();
    const step = history.interval_seconds * 1_000;
    const names = Object.keys(history.versions).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const series = names.map((name) => {
      const values = history.versions[name]?.[measure.list] ?? [];
      const points = values.map((value, at) => /** @type {[number, number | null]} */ ([until - (values.length - 1 - at) * step, value]));
      return { name, class: CLASSES[tones.get(name) ?? 2] ?? 'dim', points };
    });
    const xTicks = [15, 10, 5, 0].map((minutes) => until - minutes * 60_000);
    const yLabel = (/** @type {number} */ value) => (value === 0 ? '0' : measure.write(value));
    this.#chart.update(series, { yLabel, xTicks, xRange: [until - 900_000, until], yMax: TOPS[measure.list] });
  }
}

/** The colours of the first two; dashes tell more of them apart. */
const CLASSES = ['base', 'accent'];

/** What the picture reaches to at the least. @type {Record<string, number>} */
const TOPS = { weight: 100, error_ratio: 0.01, requests_per_second: 1 };

/**
 * `04:45`
 *
 * @param {number} at
 */
function minute(at) {
  return new Date(at).toTimeString().slice(0, 5);
}
