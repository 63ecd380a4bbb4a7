// @ts-check
/** What the judge found of one service over time, as curves. */

import { lineChart } from '../chart.js';
import { h } from '../dom.js';
import { milliseconds, percent, share, when } from '../format.js';
import { evidence } from './rollout_words.js';

/**
 * A moment of `GET /v1/rollouts/{id}/evidence`.
 *
 * @typedef {object} Moment
 * @property {number} at_ms
 * @property {number | null} stage
 * @property {number} weight
 * @property {boolean} [moves]
 * @property {ArmMoment} candidate
 * @property {ArmMoment} baseline
 * @property {number} log10_e_highest
 * @property {number} log10_alarm
 * @property {number | null} [ratio]
 * @property {[number | null, number | null] | null} [failure_ratio]
 *
 * @typedef {{ requests: number, failures: number, p50_ms: number | null, p99_ms: number | null }} ArmMoment
 */

/** E below this is nothing, and above that more says nothing more. */
const LOG10_E = [-3, 12];

/** A ratio is drawn between these; what has no bound ends there. */
const RATIO = [0.01, 1_000];

/** The least that is drawn of time. */
const LEAST_MS = 10_000;

/** Curves of one service, and how they are drawn anew. */
export class Curves {
  #evidence;
  #weight;
  #failed;
  #ratio;
  #latency;
  element;

  /**
   * @param {string} from
   * @param {string} to
   */
  constructor(from, to) {
    this.from = from;
    this.to = to;
    const xLabel = clock;
    this.#evidence = lineChart({ label: `Evidence against ${to} (E, logarithmic); at the alarm it is turned back`, series: [], logScale: true, yMin: 0.1, yLabel: evidence, xLabel, height: 260 });
    this.#weight = lineChart({ label: `Share of ${to}`, series: [], yMax: 100, yLabel: (value) => percent(value), xLabel, height: 110 });
    this.#failed = lineChart({ label: 'Failed, of all judged so far', series: [], yMax: 0.01, yLabel: (value) => share(value), xLabel, height: 200 });
    this.#ratio = lineChart({ label: `How many times as often ${to} fails, and what is possible (95 %)`, series: [], logScale: true, yMin: 0.5, yMax: 2, yLabel: times, xLabel, height: 200 });
    this.#latency = lineChart({ label: 'Latency of the last minute', series: [], yLabel: milliseconds, xLabel, height: 200 });
    this.element = h('div', { class: 'curves' },
      h('div', { class: 'card wide' }, this.#evidence.element, this.#weight.element),
      h('div', { class: 'card' }, this.#failed.element), h('div', { class: 'card' }, this.#ratio.element),
      h('div', { class: 'card' }, this.#latency.element));
  }

  /** @param {Moment[]} moments */
  show(moments) {
    const { from, to } = this;
    /**
     * @param {(moment: Moment) => number | null | undefined} of
     * @returns {[number, number | null][]}
     */
    const line = (of) => moments.map((moment) => [moment.at_ms, of(moment) ?? null]);
    const alarm = moments.length > 0 ? 10 ** (moments.at(-1)?.log10_alarm ?? 0) : undefined;
    const first = moments[0]?.at_ms ?? 0;
    /** @type {[number, number]} */
    const xRange = [first, Math.max(first + LEAST_MS, moments.at(-1)?.at_ms ?? 0)];
    const e = (/** @type {Moment} */ moment) => 10 ** clamp(moment.log10_e_highest, LOG10_E);
    this.#evidence.update([{ name: `E against ${to}`, class: 'accent', points: line(e) }], { alarm, xRange });
    this.#weight.update([{ name: `share of ${to}`, class: 'accent', points: steps(moments) }], { xRange });
    this.#failed.update([
      { name: from, class: 'base', points: line(({ baseline }) => failed(baseline)) },
      { name: to, class: 'accent', points: line(({ candidate }) => failed(candidate)) },
    ], { xRange });
    this.#ratio.update([
      { name: `${to} to ${from}`, class: 'accent', points: line(({ ratio }) => (ratio ? clamp(ratio, RATIO) : null)), band: band(moments) },
      { name: `as often as ${from}`, class: 'base', points: line(() => 1), dashed: true },
    ], { xRange });
    this.#latency.update([
      { name: `${from} 99 %`, class: 'base', points: line(({ baseline }) => baseline.p99_ms) },
      { name: `${to} 99 %`, class: 'accent', points: line(({ candidate }) => candidate.p99_ms) },
      { name: `${from} median`, class: 'base', points: line(({ baseline }) => baseline.p50_ms), dashed: true },
      { name: `${to} median`, class: 'accent', points: line(({ candidate }) => candidate.p50_ms), dashed: true },
    ], { xRange });
  }
}

/** @param {number} at */
function clock(at) {
  return when(Math.round(at));
}

/**
 * @param {number} value
 * @param {number[]} ends
 */
function clamp(value, [low = 0, high = 0]) {
  return Math.min(high, Math.max(low, value));
}

/** @param {ArmMoment} arm */
function failed({ requests, failures }) {
  return requests > 0 ? failures / requests : null;
}

/** @param {number} value */
function times(value) {
  if (value >= (RATIO[1] ?? 0)) return '∞';
  return `${Number(value.toPrecision(2))} ×`;
}

/**
 * A weight stays until it moves.
 *
 * @param {Moment[]} moments
 * @returns {[number, number | null][]}
 */
function steps(moments) {
  return moments.flatMap((moment, index) => {
    const before = moments[index - 1];
    /** @type {[number, number | null][]} */
    const here = [[moment.at_ms, moment.weight]];
    return before && before.weight !== moment.weight ? [[moment.at_ms, before.weight], ...here] : here;
  });
}

/**
 * @param {Moment[]} moments
 * @returns {[number, number, number][]}
 */
function band(moments) {
  return moments.flatMap(({ at_ms: at, failure_ratio: ends }) => {
    if (!ends) return [];
    return [[at, clamp(ends[0] ?? 0, RATIO), clamp(ends[1] ?? Infinity, RATIO)]];
  });
}

/**
 * What is found at this moment, as a moment.
 *
 * @param {any} found of a service
 * @param {any} rollout
 * @param {number} at
 * @returns {Moment}
 */
export function momentOf(found, rollout, at) {
  const { candidate, baseline, candidate_ms: theirs, baseline_ms: ours } = found;
  const shares = [candidate, baseline].map((counts) => counts.failures / counts.requests);
  const both = candidate.failures > 0 && baseline.failures > 0;
  return {
    at_ms: at,
    stage: rollout.stage ?? null,
    weight: rollout.weight,
    candidate: { requests: candidate.requests, failures: candidate.failures, p50_ms: theirs?.[0] ?? null, p99_ms: theirs?.[2] ?? null },
    baseline: { requests: baseline.requests, failures: baseline.failures, p50_ms: ours?.[0] ?? null, p99_ms: ours?.[2] ?? null },
    log10_e_highest: found.log10_e_highest ?? found.log10_e,
    log10_alarm: found.log10_alarm,
    ratio: both ? (shares[0] ?? 0) / (shares[1] ?? 1) : null,
    failure_ratio: found.failure_ratio ?? null,
  };
}
