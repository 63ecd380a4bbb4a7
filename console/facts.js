// @ts-check
/** What the state comes to: which services are in trouble, wait for a person or move, and what is wrong with the proxy. */

import { count, duration, milliseconds, percent, share } from './format.js';

/** Failures of the last seconds that are trouble: this share of the requests, and this many of them. */
const ERRORS_SHARE = 0.02;
const ERRORS_MIN = 5;

/** Trouble that comes and goes is shown for so long after it was last seen, so that rows do not jump. */
const LINGER_MS = 15_000;

/** A rollout that was turned back is told beside its service for so long. */
const BACK_MS = 24 * 3_600_000;

/** Two shares are the same for the eye. */
const SAME = 0.05;

/**
 * @typedef {object} Facts
 * @property {any} service
 * @property {string[]} bad what is wrong, in sentences
 * @property {string | null} waits for what a person is waited for
 * @property {string | null} back what is, or was lately, turned back
 * @property {string | null} moving what goes on by itself
 * @property {string[]} notes what is worth knowing
 * @property {number | null} rollout its number
 * @property {0 | 1 | 2 | 3 | 4} rank trouble first, then what waits, goes back, moves, and the rest
 * @property {number} requests a second
 * @property {number} errors share of them
 * @property {number | null} p99 of the slowest version, in milliseconds
 */

/** Trouble that was seen, by service. @type {WeakMap<object, { until: number, text: string }>} */
const lately = new WeakMap();

/**
 * @param {any} service
 * @param {any} state
 * @returns {Facts}
 */
export function factsOf(service, state) {
  const versions = /** @type {any[]} */ (Object.values(service.versions));
  const down = versions.filter((version) => version.weight > 0 && version.effective_weight < version.weight - SAME);
  const up = versions.filter((version) => !down.includes(version));
  // Why a version that has no endpoint fails is said already.
  const bad = [...cannot(down), ...failing(service, up)];
  const notes = up.flatMap(endpoints);
  for (const hold of /** @type {any[]} */ (Object.values(state.holds ?? {}))) {
    if (hold.services.includes(service.name)) notes.unshift(`${count(hold.requests)} requests are held`);
  }
  if (service.budget) notes.push(budgetInWords(service.budget));
  const { waits, back, moving, rollout } = release(service, state);
  const requests = versions.reduce((sum, version) => sum + version.recent.requests_per_second, 0);
  const errors = versions.reduce((sum, version) => sum + version.recent.errors, 0);
  const ended = versions.reduce((sum, version) => sum + version.recent.requests, 0);
  const p99 = versions.reduce((most, version) => Math.max(most, version.recent.p99_ms ?? -1), -1);
  const rank = bad.length > 0 ? 0 : waits ? 1 : back ? 2 : moving ? 3 : 4;
  return { service, bad, waits, back, moving, notes, rollout, rank, requests, errors: ended ? errors / ended : 0, p99: p99 < 0 ? null : p99 };
}

/**
 * @param {any} budget
 * @returns {string}
 */
export function budgetInWords({ left_percent: left, window }) {
  if (left < 0) return `the error budget of ${window} is overspent: ${count(Math.round(100 - left))} % of it is gone`;
  return `${percent(Math.round(left * 10) / 10)} of the error budget of ${window} left`;
}

/**
 * Of versions that do not get, or cannot answer, what the split gives them: why, once for all that have the same reason.
 *
 * @param {any[]} down
 */
function cannot(down) {
  /** @type {Map<string, string[]>} */
  const names = new Map();
  for (const { name, effective_weight, effective_reason } of down) {
    const why = effective_reason ?? `gets ${percent(effective_weight)}`;
    names.set(why, [...(names.get(why) ?? []), name]);
  }
  return [...names].map(([why, those]) => `${those.join(', ')}: ${why}`);
}

/**
 * Versions whose answers are failures, now or a moment ago.
 *
 * @param {any} service
 * @param {any[]} versions
 */
function failing(service, versions) {
  const now = Date.now();
  const texts = versions
    .filter(({ recent }) => recent.errors >= ERRORS_MIN && recent.error_ratio >= ERRORS_SHARE)
    .map(({ name, recent }) => `${name} fails ${share(recent.error_ratio)} of its requests`);
  if (texts.length > 0) lately.set(service, { until: now + LINGER_MS, text: texts.map((text) => text.replace(' fails ', ' failed ')).join('; ') });
  if (texts.length > 0) return texts;
  const seen = lately.get(service);
  return seen && seen.until > now ? [`${seen.text} a moment ago`] : [];
}

/**
 * @param {any} version
 * @returns {string[]}
 */
function endpoints(version) {
  const all = /** @type {any[]} */ (Object.values(version.endpoints));
  const out = all.filter(({ state }) => !['ready', 'untried'].includes(state));
  if (out.length === 0 || (version.weight === 0 && out.every(({ state }) => state !== 'drained'))) return [];
  const states = [...new Set(out.map(({ state }) => state))].join(', ');
  return [`${out.length} of ${all.length} endpoints of ${version.name}: ${states}`];
}

/**
 * What its rollout does, or did.
 *
 * @param {any} service
 * @param {any} state
 */
function release(service, state) {
  const none = { waits: null, back: null, moving: null, rollout: null };
  const now = service.rollout;
  if (!now) return turnedBack(service.name, state) ?? none;
  const what = now.flag ? `${now.flag} = ${now.to}` : now.to;
  const waits = now.waits_for ? waiting(now, what) : null;
  const back = now.phase === 'rolling_back' ? `${what} is turned back` : null;
  return { ...none, rollout: now.id, waits, back, moving: waits || back ? null : going(now, what) };
}

/**
 * @param {any} rollout
 * @param {string} what
 */
function waiting(rollout, what) {
  const why = rollout.paused_because ? ` (${rollout.paused_because})` : '';
  /** @type {Record<string, string>} */
  const words = {
    approval: `${what} at ${percent(rollout.weight)} waits for an approval`,
    acknowledgement: `${what} waits until an upgrade is acknowledged`,
    resume: `${what} is paused at ${percent(rollout.weight)}${why}`,
    repair: `${what} is stuck${why}`,
  };
  return words[rollout.waits_for] ?? `${what} waits for ${rollout.waits_for}${why}`;
}

/**
 * @param {any} rollout
 * @param {string} what
 */
function going(rollout, what) {
  const left = rollout.bake_left_seconds ?? 0;
  const time = left > 0 ? `, ${duration(left)} left` : rollout.hold_left_seconds ? ', not clear yet' : '';
  return `${what} at ${percent(rollout.weight)}, stage ${(rollout.stage ?? 0) + 1} of ${rollout.stages}${time}`;
}

/**
 * @param {string} name
 * @param {any} state
 */
function turnedBack(name, state) {
  const since = Date.now() - BACK_MS;
  const over = /** @type {any[]} */ (Object.values(state.rollouts ?? {}))
    .filter((rollout) => rollout.services.includes(name) && rollout.finished_at_ms > since)
    .sort((one, other) => other.id - one.id)[0];
  if (over?.ending !== 'rolled_back') return null;
  const ago = duration((Date.now() - over.finished_at_ms) / 1_000);
  return { waits: null, back: `${over.to} was turned back ${ago} ago`, moving: null, rollout: over.id };
}

/**
 * The number of its colour for each version: 0 is the one that everybody had, 1 the one that is new.
 *
 * @param {any} service
 * @returns {Map<string, number>}
 */
export function tones(service) {
  const names = Object.keys(service.versions);
  const { rollout } = service;
  if (rollout && !rollout.flag) {
    const first = [rollout.from, rollout.to].filter((name) => names.includes(name));
    names.sort((one, other) => place(first, one) - place(first, other));
  }
  return new Map(names.map((name, index) => [name, Math.min(index, 3)]));
}

/**
 * @param {string[]} first
 * @param {string} name
 */
function place(first, name) {
  const at = first.indexOf(name);
  return at < 0 ? first.length : at;
}

/** @type {{ edition: number, all: Facts[] }} */
let made = { edition: -1, all: [] };

/**
 * The facts of all services, made once for each edition of the state.
 *
 * @param {any} state
 * @param {number} edition
 */
export function allFacts(state, edition) {
  if (made.edition !== edition) {
    const services = Object.values(state?.services ?? {});
    made = { edition, all: services.map((service) => factsOf(service, state)) };
  }
  return made.all;
}

/** How many rollouts wait for a person; one of a group is one. @param {any} state */
export function waitingRollouts(state) {
  const all = /** @type {any[]} */ (Object.values(state?.rollouts ?? {}));
  return all.filter((rollout) => rollout.waits_for && rollout.phase !== 'finished').length;
}

/**
 * @typedef {object} Trouble
 * @property {string} what
 * @property {string[]} details
 * @property {boolean} bad whether it is wrong, or only worth knowing
 */

/**
 * What is wrong with the proxy as a whole.
 *
 * @param {any} state
 * @returns {Trouble[]}
 */
export function troubles(state) {
  /** @type {Trouble[]} */
  const found = [];
  /** @type {(what: string, details?: string[], bad?: boolean) => void} */
  const add = (what, details = [], bad = true) => found.push({ what, details, bad });
  if (state.ready === false) add('The proxy is not ready', [state.unready ?? '']);
  if (state.config?.good === false) add('The config file is not in force: it has problems', state.config.problems);
  if (state.config?.needs_restart?.length) add('Changes of the config file wait for a restart', state.config.needs_restart, false);
  if (state.state?.problem) add('Changes cannot be written', [state.state.problem]);
  const parts = /** @type {any[]} */ (Object.values(state.parts ?? {}));
  for (const part of parts.filter((one) => one.state !== 'running')) {
    add(`${part.name} is ${part.state}`, part.reason ? [part.reason] : []);
  }
  const ended = parts.filter((one) => one.ends > 0 && one.state === 'running');
  if (ended.length) add('Parts had ended and were begun again', ended.map((one) => `${one.name}: ${one.ends} times`), false);
  keys(state, add);
  for (const [name, log] of Object.entries(state.logs ?? {})) {
    if (log.problem) add(`The ${name} log cannot be written`, [log.problem]);
  }
  if (state.ledger?.problem) add('Experiments are not written down', [state.ledger.problem]);
  return found;
}

/**
 * Certificates, keys and tokens.
 *
 * @param {any} state
 * @param {(what: string, details?: string[], bad?: boolean) => void} add
 */
function keys(state, add) {
  for (const tls of /** @type {any[]} */ (Object.values(state.tls ?? {}))) {
    if (tls.problems?.length) add(`${tls.place}: the files as they are now are not in use`, tls.problems);
    const warned = /** @type {any[]} */ (Object.values(tls.certificates ?? {})).filter((one) => one.warning);
    for (const one of warned) add(`Certificate ${one.name}`, [one.warning]);
    if (tls.warnings?.length) add(`${tls.place}`, tls.warnings, false);
  }
  for (const [what, one] of [['Tokens of the admin API', state.tokens], ['Keys of users’ tokens', state.jwt]]) {
    if (one?.problems?.length) add(`${what}: the new ones are not in use`, one.problems);
    if (one?.warnings?.length) add(`${what}`, one.warnings, false);
  }
}

/** Requests that were turned away within the last minute, by reason. */
class Refusals {
  /** @type {{ at: number, counts: Record<string, number> }[]} */
  #looks = [];
  #process = '';

  /** @param {any} state */
  note(state) {
    const at = Date.now();
    if (state.started_at !== this.#process) this.#looks = [];
    this.#process = state.started_at;
    const last = this.#looks.at(-1);
    if (!last || at - last.at >= 1_000) this.#looks.push({ at, counts: { ...state.refusals } });
    while ((this.#looks[1]?.at ?? at) < at - 60_000) this.#looks.shift();
  }

  /**
   * @param {any} state
   * @returns {[string, number][]} most first
   */
  recent(state) {
    const before = this.#looks[0]?.counts ?? state.refusals ?? {};
    const grown = Object.entries(state.refusals ?? {}).map(([reason, now]) =>
      /** @type {[string, number]} */ ([reason, Number(now) - (before[reason] ?? 0)]));
    return grown.filter(([, more]) => more > 0).sort((one, other) => other[1] - one[1]);
  }
}

export const refusals = new Refusals();

/** A version's figures in one line, for those who listen. @param {any} version */
export function spoken(version) {
  const { recent } = version;
  return `${version.name}: ${percent(version.weight)}, ${recent.requests_per_second.toFixed(1)} requests a second, ${share(recent.error_ratio)} errors, p99 ${milliseconds(recent.p99_ms)}`;
}
