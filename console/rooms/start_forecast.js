// @ts-check
/** What a rollout will come to, with the traffic of this moment: how long it takes, and what a bad version would do. */

import { problem } from '../action.js';
import { Problem, call, stream } from '../api.js';
import { h, replace, setText } from '../dom.js';
import { count, duration, rate, share } from '../format.js';
import { stageName, stageTime } from './rollout_words.js';

/** What is asked of the simulator: enough for whole per cents, and short. */
const TERMS = { runs: 300, budget: '4s' };

/** What a bad version is taken for, as a share of failures. */
const BAD = [0.005, 0.01, 0.02, 0.05, 0.1, 0.5];

export class Forecast {
  #plan = h('div', { class: 'stack', role: 'status' });
  #good = h('div', { role: 'status' });
  #bad = h('div', { role: 'status' });
  #errors = h('select', { name: 'candidate-errors', onchange: () => void this.#again() }, BAD.map((value) => h('option', { value, selected: value === 0.02 }, share(value))));
  #question = h('h3', {}, 'If it is as good as what there is');
  #what = h('label', { class: 'row check' }, h('strong', {}, 'If this share of its requests fails:'), this.#errors);
  element = h('section', { class: 'card stack forecast', 'aria-label': 'Forecast' }, h('h2', {}, 'Forecast'), this.#plan, this.#question, this.#good, this.#what, this.#bad);
  #asking = new AbortController();
  /** @type {any} */
  #body = null;

  leave() {
    this.#asking.abort();
  }

  /** Something is written: what is shown is of before. */
  wait() {
    this.element.classList.add('old');
  }

  /**
   * @param {any} body of the start
   * @param {import('./start_words.js').Draft} draft
   */
  async ask(body, draft) {
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#body = body;
    this.element.classList.remove('old');
    for (const part of [this.#question, this.#good, this.#what, this.#bad]) part.hidden = true;
    try {
      const answer = await call('POST', 'v1/rollouts', { body, dryRun: true, signal: asking.signal });
      replace(this.#plan, outlook(answer), (answer.warnings ?? []).map((/** @type {string} */ text) => h('p', { class: 'warning' }, text)));
    } catch (error) {
      if (asking.signal.aborted) return;
      replace(this.#plan, h('p', {}, `Rolling out ${draft.name} so would be refused:`), problem(error));
      return;
    }
    for (const part of [this.#question, this.#good, this.#what, this.#bad]) part.hidden = false;
    await this.#simulate(this.#good, {}, asking.signal);
    await this.#simulate(this.#bad, { candidate_errors: Number(this.#errors.value) }, asking.signal);
  }

  async #again() {
    if (!this.#body) return;
    this.#asking.abort();
    this.#asking = new AbortController();
    await this.#simulate(this.#bad, { candidate_errors: Number(this.#errors.value) }, this.#asking.signal);
  }

  /**
   * Plays it many times. If that is not possible it says why; the rollout can be started all the same.
   *
   * @param {HTMLElement} place
   * @param {Record<string, unknown>} more
   * @param {AbortSignal} signal
   */
  async #simulate(place, more, signal) {
    if (signal.aborted) return;
    const bar = h('progress', { max: 1, value: 0, 'aria-label': 'Simulated releases' });
    const text = h('span', { class: 'dim' }, 'Simulating …');
    replace(place, bar, text);
    const { service, group, flag, to, plan } = this.#body;
    try {
      for await (const { event, data } of stream('POST', 'v1/simulate', { body: { service, group, flag, to, plan, ...TERMS, ...more }, signal })) {
        if (event === 'progress') {
          const { runs, of } = JSON.parse(data);
          bar.value = of > 0 ? runs / of : 0;
          setText(text, `${count(runs)} of ${count(of)} releases simulated`);
        } else if (event === 'result') {
          return replace(place, result(JSON.parse(data), 'candidate_errors' in more));
        }
      }
      throw new Error('the proxy ended the connection before the result');
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Problem && error.status === 404 ? 'this version of the proxy does not simulate' : error instanceof Error ? error.message : String(error);
      replace(place, h('p', { class: 'dim' }, `No forecast: ${why}. The rollout can be started all the same.`));
    }
  }
}

/**
 * What a dry run of a start says.
 *
 * @param {any} answer
 */
export function outlook(answer) {
  const { rollout, forecast } = answer;
  const stages = (rollout.stages ?? []).slice(0, 24).map((/** @type {any} */ stage) => h('li', {}, h('strong', {}, stageName(stage, rollout)), ` ${stageTime(stage)}`));
  const more = (rollout.stages?.length ?? 0) - stages.length;
  return h('div', { class: 'stack' },
    h('p', {}, `${rollout.from} → ${rollout.to}, ${rollout.stages?.length ?? 0} stages; judged by the requests of ${rollout.services.join(', ')}, ${rate(forecast.requests_per_second)} now.`),
    h('ol', { class: 'stages' }, stages, more > 0 ? h('li', {}, `and ${more} more`) : null),
    h('p', {}, sentence(forecast.text)));
}

/** @param {string} text */
function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/**
 * What many simulated releases came to.
 *
 * @param {any} found
 * @param {boolean} bad whether the candidate is bad
 */
function result(found, bad) {
  if (!found.runs) return h('p', { class: 'dim' }, found.sentences?.at(-1) ?? 'No release was simulated in time.');
  const endings = /** @type {[string, number][]} */ (Object.entries(found.endings ?? {})).sort((a, b) => b[1] - a[1]);
  const facts = [];
  const back = found.seconds_to_roll_back?.median;
  const ends = found.seconds?.median;
  if (typeof ends === 'number') facts.push(['Over after', duration(ends)]);
  if (bad && typeof back === 'number') facts.push(['Turned back after', back < 10 ? `${back.toFixed(1)} s` : duration(back)]);
  const hurt = found.failed_requests?.median;
  if (bad && typeof hurt === 'number') facts.push(['Failed requests', count(hurt)]);
  return h('div', { class: 'stack' },
    h('ul', { class: 'plain endings' }, endings.map(([name, part]) => h('li', {}, h('span', { class: 'number' }, count(Math.round(part * found.runs))), ` of ${count(found.runs)} ${name}`))),
    h('dl', { class: 'facts' }, facts.flatMap(([name = '', value = '']) => [h('dt', {}, name), h('dd', { class: 'number' }, value)])),
    h('details', {}, h('summary', {}, `${count(found.runs)} simulated releases`), h('p', { class: 'dim' }, found.world ?? ''), (found.sentences ?? []).map((/** @type {string} */ text) => h('p', { class: 'dim' }, text))));
}
