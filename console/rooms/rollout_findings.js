// @ts-check
/** What the judge knows of a service, in figures and sentences. */

import { h, keyed, replace, setText } from '../dom.js';
import { count, duration, milliseconds, share } from '../format.js';

/** @type {Record<string, string>} */
const TESTS = { errors: 'failures', latency: 'latency', errors_max: 'the ceiling on failures', slow_max: 'the ceiling on slow requests', responses: 'other responses', route: 'one route' };

/** @type {Record<string, string>} */
const CLASSES = {
  not_found: 'not found (404, 410)',
  unauthorized: 'not allowed (401, 403)',
  redirect: 'redirects',
  not_modified: 'not modified (304)',
  too_many: 'too many requests (429)',
  client_error: 'other 4xx',
  unusual_status: 'unusual statuses',
  empty: 'empty',
  short: 'shorter',
  long: 'longer',
  other_type: 'of another type',
};

/** @typedef {{ text: string, tone: string }} Finding */

export class Findings {
  #rows = h('tbody');
  #ratio = h('p');
  #step = h('p', { class: 'dim' });
  #list = h('ul', { class: 'plain findings' });
  #verdict = h('p', { class: 'verdict' });
  #title = h('h2');
  element = h('section', { class: 'card stack' }, this.#title, this.#verdict,
    h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Figures' }, h('table', {}, h('thead', {}, h('tr', {}, ['', 'Judged', 'Failed', 'Failed share', 'Median', '90 %', '99 %'].map((name, index) => h('th', { scope: 'col', class: index === 0 ? null : 'number' }, name || h('span', { class: 'heard' }, 'Version'))))), this.#rows)),
    this.#ratio, this.#step, this.#list);

  /**
   * @param {any} found
   * @param {{ from: string, to: string, flag: string | null }} names
   * @param {boolean} over
   */
  refresh(found, names, over) {
    setText(this.#title, names.flag ? `${found.service}, by flag ${names.flag}` : found.service);
    setText(this.#verdict, found.sentence);
    this.#verdict.dataset.ruling = found.ruling;
    const rows = [
      { name: names.from, kind: 'tone-0', counts: found.baseline, ms: found.baseline_ms },
      { name: names.to, kind: 'tone-1', counts: found.candidate, ms: found.candidate_ms },
    ];
    keyed(this.#rows, rows, ({ kind }) => kind, ({ kind }) => h('tr', {}, h('th', { scope: 'row' }, h('span', { class: `swatch ${kind}`, 'aria-hidden': 'true' }), h('span')), Array.from({ length: 6 }, () => h('td', { class: 'number' }))),
      (row, { name, counts, ms }) => {
        const text = row.querySelector('th > span:last-child');
        if (text) setText(text, ` ${name}`);
        const part = counts.requests > 0 ? share(counts.failures / counts.requests) : '–';
        const cells = [count(counts.requests), count(counts.failures), part, ...[0, 1, 2].map((index) => milliseconds(ms?.[index]))];
        row.querySelectorAll('td').forEach((cell, index) => setText(cell, cells[index] ?? ''));
      });
    setText(this.#ratio, ratioText(found.failure_ratio, names));
    this.#ratio.hidden = !found.failure_ratio;
    const step = over ? '' : stepText(found);
    setText(this.#step, step);
    this.#step.hidden = !step;
    const all = findings(found, names);
    this.#list.hidden = all.length === 0;
    keyed(this.#list, all, ({ text, tone }) => `${tone} ${text}`, ({ text, tone }) => h('li', { class: tone }, text));
  }
}

/**
 * @param {[number | null, number | null] | null | undefined} ends
 * @param {{ from: string, to: string }} names
 */
function ratioText(ends, { from, to }) {
  if (!ends) return '';
  const number = (/** @type {number} */ value) => new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
  const [low, high] = ends;
  const range = high === null || high === undefined ? `at least ${number(low ?? 0)}` : `${number(low ?? 0)} to ${number(high)}`;
  return `${to} fails ${range} times as often as ${from} (95 % sure, at all times).`;
}

/** @param {any} found */
function stepText(found) {
  const users = typeof found.step_users === 'number';
  const [have, want, what] = users ? [found.step_users, found.needed_users, 'users'] : [found.step_requests, found.needed_requests, 'requests'];
  if (typeof want !== 'number') return have > 0 ? `${count(have)} ${what} judged in this step.` : '';
  const left = typeof found.needed_in_seconds === 'number' ? `, which takes about ${duration(found.needed_in_seconds)}` : '';
  return `${count(have)} of ${count(want)} ${what} that this step needs${left}.`;
}

/**
 * All that was found besides, what turns it back first.
 *
 * @param {any} found
 * @param {{ from: string, to: string }} names
 * @returns {Finding[]}
 */
function findings(found, { from, to }) {
  const { log10_e_highest: e = found.log10_e, log10_alarm: alarm, leading } = found;
  /** @type {Finding[]} */
  const all = [];
  if (e > 0.05) {
    const turned = e >= alarm;
    all.push({ text: `${turned ? 'Proved by' : 'Loudest:'} ${TESTS[leading] ?? leading ?? 'failures'}, E is 10^${e.toFixed(1)}, turned back at 10^${alarm.toFixed(1)}.`, tone: turned ? 'problem' : 'dim' });
  }
  if (found.warm_up_left_seconds > 0) all.push({ text: `Nothing is judged for ${duration(found.warm_up_left_seconds)} yet, because all endpoints of a version are cold.`, tone: 'dim' });
  if (found.endpoint) all.push({ text: `Nearly all of it comes from ${found.endpoint}.`, tone: 'warning' });
  for (const one of found.responses ?? []) {
    const parts = [`${to} ${count(one.candidate.in_class)} of ${count(one.candidate.responses)}`, `${from} ${count(one.baseline.in_class)} of ${count(one.baseline.responses)}`];
    all.push({ text: `Responses that are ${CLASSES[one.class] ?? one.class}: ${parts.join(', ')}${lately(one)}${one.accepted ? '; accepted by an operator' : ''}.`, tone: one.turns_back ? 'problem' : 'warning' });
  }
  for (const one of found.routes ?? []) {
    if (one.candidate.bad === 0) continue;
    const bad = one.fault === 'latency' ? 'slow' : 'failed';
    all.push({ text: `${one.path}: ${to} ${count(one.candidate.bad)} of ${count(one.candidate.requests)} ${bad}, ${from} ${count(one.baseline.bad)} of ${count(one.baseline.requests)}${lately(one)}.`, tone: one.turns_back ? 'problem' : 'dim' });
  }
  for (const one of found.metrics ?? []) all.push({ text: `Metric ${one.name}: ${one.text}`, tone: one.answer === 'good' ? 'dim' : one.answer === 'bad' ? 'problem' : 'warning' });
  for (const one of found.guardrails ?? []) {
    const tone = one.standing === 'unharmed' ? 'dim' : one.standing === 'worse' ? 'problem' : 'warning';
    all.push({ text: `Guardrail ${one.metric}: ${one.text}`, tone });
  }
  for (const [ceiling, what] of [[found.errors_max, 'may fail'], [found.slow_max, 'may be slow']]) {
    if (!ceiling) continue;
    const slow = typeof ceiling.longer_than_ms === 'number' ? ` (longer than ${milliseconds(ceiling.longer_than_ms)})` : '';
    all.push({ text: `At most ${share(ceiling.at_most)} ${what}${slow}, by ${ceiling.from === 'plan' ? 'the plan' : `what ${ceiling.from} did`}.`, tone: 'dim' });
  }
  if (found.routes_judged > 0) all.push({ text: found.routes_judged === 1 ? 'One route is judged by itself.' : `${found.routes_judged} routes are judged by themselves.`, tone: 'dim' });
  return all;
}

/** @param {any} found */
function lately({ lately_seconds: seconds }) {
  return typeof seconds === 'number' && seconds >= 1 ? ` in the last ${duration(seconds)}` : '';
}

/**
 * What happened, in order, and between that how the judge's mind changed.
 */
export class Events {
  #rows = h('tbody');
  #minds = h('input', { type: 'checkbox', name: 'minds', onchange: () => this.#draw() });
  #check = h('label', { class: 'row check' }, this.#minds, 'Also how the judge\u2019s mind changed');
  element = h('section', { class: 'card', 'aria-label': 'What happened' }, h('h2', {}, 'What happened'), this.#check,
    h('div', { class: 'scroll' }, h('table', { class: 'events' }, h('thead', {}, h('tr', {}, ['When', 'Share', 'What', 'Revision'].map((name) => h('th', { scope: 'col' }, name)))), this.#rows)));
  /** @type {any} */
  #rollout = null;

  /** @param {any} rollout */
  refresh(rollout) {
    this.#rollout = rollout;
    this.#check.hidden = !(rollout.verdicts?.length > 0);
    this.#draw();
  }

  #draw() {
    const { events = [], verdicts = [], services } = this.#rollout ?? {};
    const several = services?.length > 1;
    const minds = this.#minds.checked ? verdicts.map((/** @type {any} */ one) => ({ ...one, mind: true, text: several ? `${one.service}: ${one.text}` : one.text })) : [];
    const all = [...events, ...minds].map((one, index) => ({ one, index })).sort((a, b) => a.one.at_ms - b.one.at_ms || a.index - b.index);
    keyed(this.#rows, all, ({ one, index }) => `${one.mind ? 'm' : 'e'}${one.at_ms} ${index}`, ({ one }) => {
      const revision = one.revision ? h('a', { class: 'revision', href: `#/history?revision=${one.revision}` }, String(one.revision)) : '';
      const date = new Date(one.at_ms);
      const time = h('time', { datetime: date.toISOString(), title: date.toISOString() }, date.toTimeString().slice(0, 8));
      return h('tr', { class: one.mind ? 'dim' : null }, h('td', {}, time), h('td', { class: 'number' }, `${Number(one.weight.toFixed(3))} %`), h('td', {}, one.mind ? `the judge: ${one.text}` : one.text), h('td', {}, revision));
    });
    if (all.length === 0) replace(this.#rows, h('tr', {}, h('td', { colspan: 4, class: 'dim' }, 'Nothing yet.')));
  }
}
