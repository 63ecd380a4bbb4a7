// @ts-check
/** One service: its split and what moves it, its versions over the last quarter of an hour, and why users get them. */

import { act } from '../action.js';
import { call } from '../api.js';
import { h, keyed, replace, setText } from '../dom.js';
import { tones } from '../facts.js';
import { when } from '../format.js';
import { canAct, live } from '../live.js';
import { to } from '../rooms.js';
import { BudgetLine } from './service_budget.js';
import { ComparedCard } from './service_compared.js';
import { ExplainCard } from './service_explain.js';
import { MirrorCard } from './service_mirror.js';
import { RolloutLine } from './service_rollout.js';
import { SplitCard } from './service_split.js';
import { VersionCards } from './service_versions.js';

/** Time between two looks at the history: as long as its points are apart. */
const LOOK_MS = 5_000;

class ServiceRoom extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #title = h('h1', {});
  #badges = h('span', { class: 'row' });
  #start = h('a', { class: 'button' }, 'Start a rollout');
  #changes = h('a', { class: 'button' }, 'Changes');
  #missing = h('p', { class: 'empty', hidden: true }, 'There is no such service any more. ', h('a', { href: to() }, 'All services'));
  #rollout = new RolloutLine();
  #budget = new BudgetLine();
  #holds = h('ul', { class: 'plain' });
  #split = new SplitCard();
  #versions = new VersionCards();
  #troubled = h('p', { class: 'warning', role: 'status' });
  #people = h('section', { class: 'card', 'aria-label': 'Rules and stickiness' });
  #explain = new ExplainCard();
  #compared = new ComparedCard();
  #mirror = new MirrorCard();
  #body = h('div', { class: 'stack' }, this.#rollout.element, this.#budget.element, this.#holds, this.#split.element, this.#troubled, this.#versions.element, this.#compared.element, this.#mirror.element,
    h('div', { class: 'columns' }, this.#people, this.#explain.element));
  /** @type {import('./service_versions.js').Curves | null} */
  #curves = null;
  /** What is shown of rules and stickiness, so that it is made anew only when it changes. */
  #told = '';
  /** @type {AbortController | null} */
  #looking = null;

  connectedCallback() {
    setText(this.#title, this.params.service ?? '');
    this.#start.href = `${to('start')}?service=${encodeURIComponent(this.params.service ?? '')}`;
    this.#changes.href = `${to('history')}?about=${encodeURIComponent(this.params.service ?? '')}`;
    this.classList.add('service');
    replace(this, h('div', { class: 'row title' }, this.#title, this.#badges, h('div', { class: 'row links' }, this.#changes, this.#start)), this.#missing, this.#body);
    this.#looking = new AbortController();
    void this.#look(this.#looking.signal);
  }

  disconnectedCallback() {
    this.#looking?.abort();
    this.#explain.leave();
  }

  /**
   * Looks at the history, again and again while the page is in sight.
   *
   * @param {AbortSignal} signal
   */
  async #look(signal) {
    while (!signal.aborted) {
      if (!document.hidden && live.connection !== 'lost' && live.connection !== 'denied') {
        try {
          const history = await call('GET', `v1/services/${encodeURIComponent(this.params.service ?? '')}/history`, { signal });
          this.#curves = history.versions;
          this.#compared.show(history, tones(live.state?.services?.[this.params.service ?? ''] ?? { versions: history.versions }));
          setText(this.#troubled, '');
          if (live.state) this.refresh(live.state);
        } catch (error) {
          if (signal.aborted) return;
          setText(this.#troubled, `The last 15 minutes could not be read: ${error instanceof Error ? error.message : error}`);
        }
      }
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }

  /** @param {any} state */
  refresh(state) {
    const service = state.services?.[this.params.service ?? ''];
    this.#missing.hidden = service !== undefined;
    this.#body.hidden = service === undefined;
    this.#start.hidden = service === undefined || !canAct() || service.rollout !== undefined;
    if (!service) return;
    const versions = Object.values(service.versions).sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    this.#state(service);
    this.#rollout.refresh(service, state);
    this.#budget.refresh(service);
    this.#held(state, service.name);
    this.#troubled.hidden = this.#troubled.textContent === '';
    this.#split.refresh(service, versions);
    this.#versions.refresh(service, versions, this.#curves);
    this.#explain.refresh(service);
    this.#mirror.refresh(service);
    this.#tell(service, state);
  }

  /** @param {any} service */
  #state(service) {
    const said = [];
    if (service.differs_from_file) said.push({ text: 'not as in the config file', kind: 'warn' });
    const gone = Object.values(service.versions).some((/** @type {any} */ version) => version.weight > 0 && version.effective_weight === 0);
    if (gone) said.push({ text: 'a version is out', kind: 'bad' });
    keyed(this.#badges, said, ({ text }) => text, ({ text, kind }) => h('span', { class: `badge ${kind}` }, text));
  }

  /**
   * @param {any} state
   * @param {string} service
   */
  #held(state, service) {
    const holds = Object.values(state.holds ?? {}).filter((/** @type {any} */ hold) => hold.services.includes(service));
    this.#holds.hidden = holds.length === 0;
    keyed(this.#holds, holds, (/** @type {any} */ hold) => String(hold.id), (/** @type {any} */ hold) => h('li', { class: 'card row' },
      h('span', { class: 'warning' }), canAct() ? h('button', { type: 'button', onclick: () => void release(hold.id) }, `Release hold ${hold.id}`) : null),
    (item, /** @type {any} */ hold) => {
      const text = item.firstElementChild;
      if (text) setText(text, `Hold ${hold.id}: ${hold.requests === 1 ? '1 request waits' : `${hold.requests} requests wait`} since ${when(hold.since)}, until ${when(hold.until)} at the latest.`);
    });
  }

  /**
   * What picks the version of a user.
   *
   * @param {any} service
   * @param {any} state
   */
  #tell(service, state) {
    const running = /** @type {any[]} */ (Object.values(state.experiments ?? {}));
    const experiments = running.filter((one) => one.service === service.name).map((one) => one.name);
    const flags = Object.values(service.flags ?? {}).map((/** @type {any} */ flag) => flag.name);
    const { rules, sticky, salt, hosts, paths, on_unhealthy: unhealthy } = service;
    const told = JSON.stringify([rules, service.rule_details, sticky, salt, hosts, paths, unhealthy, experiments, flags]);
    if (told === this.#told) return;
    this.#told = told;
    const picks = rules.map((/** @type {string} */ rule, /** @type {number} */ index) => {
      const detail = service.rule_details?.[index];
      return h('li', {}, detail ? [`${rule}: `, h('strong', {}, detail.use), ` where ${detail.when}`] : rule);
    });
    const keys = sticky.map((/** @type {string} */ source) => h('li', {}, keyInWords(source)));
    replace(this.#people, h('h2', {}, 'Rules and stickiness'),
      h('p', { class: 'dim' }, `${hosts.length > 0 ? hosts.join(', ') : 'Any host'} · ${paths.join(', ')}`),
      h('h3', {}, 'First, rules'),
      picks.length > 0 ? h('ol', {}, picks) : h('p', { class: 'dim' }, 'None: the split decides about every request.'),
      h('h3', {}, 'Then, the key of the user'),
      keys.length > 0 ? h('ol', {}, keys) : h('p', { class: 'dim' }, 'None: each request is drawn anew.'),
      keys.length > 0 ? h('p', { class: 'dim' }, 'The first that a request has. Keys are hashed with the salt ', h('code', {}, salt), '.') : null,
      h('h3', {}, 'Without a usable endpoint'),
      h('p', {}, unhealthy === 'refuse' ? 'Requests of a version that is out are refused.' : 'Requests of a version that is out go to the other versions.'),
      experiments.length > 0 ? h('p', { class: 'links-in' }, 'Experiments: ', links('experiment', experiments)) : null,
      flags.length > 0 ? h('p', { class: 'links-in' }, 'Endpoints are told flags: ', links('flag', flags)) : null);
  }
}

/**
 * @param {string} room
 * @param {string[]} names
 */
function links(room, names) {
  return names.flatMap((name, index) => [index > 0 ? ', ' : '', h('a', { href: to(room, name) }, name)]);
}

/** @param {string} source as the config writes it */
function keyInWords(source) {
  const [kind = '', name = ''] = source.split(/:(.*)/s);
  /** @type {Record<string, string>} */
  const words = { header: 'the header ', cookie: 'the cookie ', query: 'the query parameter ', jwt: 'of the token, the claim ' };
  if (source === 'ip') return 'the address of the client';
  if (source === 'cookie') return 'a cookie of the proxy\u2019s own, which it sets';
  return h('span', {}, words[kind] ?? '', h('code', {}, words[kind] ? name : source));
}

/** @param {number} id */
function release(id) {
  const path = `v1/hold/${id}`;
  return act({
    title: `Let the requests of hold ${id} go`,
    does: 'Release',
    method: 'DELETE',
    path,
    command: () => `curl -X DELETE ${new URL(path, document.baseURI)}`,
    dryRun: false,
    reasoned: false,
  });
}

customElements.define('pm-service', ServiceRoom);
