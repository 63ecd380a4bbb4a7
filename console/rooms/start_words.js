// @ts-check
/** From the form of a start to the call, the command and the plan. */

import { command } from '../command.js';
import { percent } from '../format.js';

/**
 * What is written in the form.
 *
 * @typedef {object} Draft
 * @property {string} kind `service`, `group` or `flag`
 * @property {string} name
 * @property {string} to
 * @property {string} strategy
 * @property {string} steps
 * @property {string} bake
 * @property {boolean} gate
 * @property {string[]} more lines of keys
 */

/**
 * What it may become: versions, or variants of a flag, with what they have now.
 *
 * @param {any} state
 * @param {string} kind
 * @param {string} name
 * @returns {{ name: string, text: string, likely: boolean }[]}
 */
export function choices(state, kind, name) {
  if (kind === 'service') {
    const versions = /** @type {any[]} */ (Object.values(state?.services?.[name]?.versions ?? {}));
    return versions.map((version) => ({ name: version.name, text: `${version.name} (${percent(version.weight)} now)`, likely: version.weight < 50 }));
  }
  if (kind === 'flag') {
    const flag = state?.flags?.[name];
    const serve = flag?.rules?.at(-1)?.serve ?? {};
    const variants = /** @type {any[]} */ (flag?.variants ?? []);
    return variants.map((variant) => ({ name: variant.name, text: `${variant.name} (${percent(serve[variant.name] ?? 0)} now)`, likely: (serve[variant.name] ?? 0) < 50 }));
  }
  return [];
}

/**
 * The plan that is written, and what is wrong with it.
 *
 * @param {Draft} draft
 * @returns {{ plan: Record<string, unknown>, trouble: string }}
 */
export function planOf(draft) {
  /** @type {Record<string, unknown>} */
  const plan = {};
  if (draft.strategy) plan.strategy = draft.strategy;
  const steps = draft.steps.split(/[\s,%]+/).filter(Boolean).map(Number);
  if (steps.some((step) => !(step > 0 && step <= 100))) {
    return { plan, trouble: `Steps: found “${draft.steps}”, want per cents above 0 up to 100, such as 1, 10, 50, 100.` };
  }
  if (draft.gate && steps.length === 0) return { plan, trouble: 'Steps: found none, want those that wait for an approval.' };
  if (steps.length > 0) plan.steps = draft.gate ? steps.map((weight, index) => (index === 0 ? weight : { weight, gate: 'manual' })) : steps;
  if (draft.bake) plan.bake = draft.bake;
  for (const line of draft.more) {
    const [, key = '', text = ''] = /^([\w.]+)\s*=\s*(.+)$/.exec(line) ?? [];
    const path = key.split('.');
    if (!key || path.length > 2 || path.some((part) => ['__proto__', 'constructor', 'prototype', ''].includes(part))) {
      return { plan, trouble: `Keys: found “${line}”, want a line such as judge.alpha = 0.01.` };
    }
    const [first = '', second] = path;
    if (second === undefined) plan[first] = valueOf(text);
    else plan[first] = { .../** @type {object} */ (plan[first] ?? {}), [second]: valueOf(text) };
  }
  return { plan, trouble: '' };
}

/** @param {string} text */
function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {Draft} draft
 * @param {Record<string, unknown>} plan
 * @param {string} reason
 */
export function bodyOf(draft, plan, reason) {
  return {
    [draft.kind]: draft.name,
    ...(draft.to ? { to: draft.to } : {}),
    ...(Object.keys(plan).length > 0 ? { plan } : {}),
    ...(reason ? { reason } : {}),
  };
}

/**
 * @param {Draft} draft
 * @param {string} reason
 */
export function commandOf(draft, reason) {
  const { plan } = planOf(draft);
  // Steps with gates are no list of numbers; the option of one key takes JSON.
  const gated = draft.gate ? [`steps=${JSON.stringify(plan.steps)}`] : [];
  const strategy = draft.strategy ? [`strategy=${draft.strategy}`] : [];
  const sets = [...strategy, ...gated, ...draft.more.map((line) => line.replace(/\s*=\s*/, '='))];
  const steps = draft.gate ? '' : /** @type {number[]} */ (plan.steps ?? []).join(',');
  const kind = draft.kind === 'service' ? {} : { [draft.kind]: true };
  return command('rollout', 'start', draft.name, kind, { to: draft.to, steps, bake: draft.bake }, ...sets.map((set) => ({ set })), { reason });
}
