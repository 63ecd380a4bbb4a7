// @ts-check
/** What is said of rollouts, in one place: their names, where they are, and how they ended. */

import { duration, percent } from '../format.js';

/** @type {Record<string, string>} */
const PHASES = { going: 'under way', waiting: 'waiting', paused: 'paused', rolling_back: 'rolling back', finished: 'over' };

/** @type {Record<string, string>} */
const ENDINGS = {
  completed: 'completed',
  rolled_back: 'rolled back',
  held_too_long: 'rolled back, held for too long',
  task_failed: 'rolled back, a task failed',
  aborted: 'aborted',
};

/** @type {Record<string, string>} */
const NEEDS = {
  approval: 'It waits for an approval.',
  acknowledgement: 'It waits for someone to say that the upgrade by hand is done.',
  resume: 'It is paused until someone resumes it.',
  repair: 'It is stuck on the way back: mend what failed, then resume it.',
};

/** @type {Record<string, string>} */
const STRATEGIES = { canary: 'canary', blue_green: 'blue/green', rolling: 'rolling' };

/**
 * What is rolled out: `shop`, `group checkout`, `flag theme`.
 *
 * @param {any} rollout
 */
export function subject(rollout) {
  if (rollout.group) return `group ${rollout.group}`;
  if (rollout.flag) return `flag ${rollout.flag}`;
  return rollout.services[0] ?? '';
}

/** @param {any} rollout */
export function title(rollout) {
  return `${subject(rollout)}: ${rollout.from} → ${rollout.to}`;
}

/** @param {any} rollout */
export function phase(rollout) {
  if (rollout.phase === 'finished') return ENDINGS[rollout.ending] ?? rollout.ending ?? 'over';
  return PHASES[rollout.phase] ?? rollout.phase;
}

/**
 * The colour of that: red for what is wrong, amber for what waits for a person.
 *
 * @param {any} rollout
 */
export function tone(rollout) {
  if (rollout.phase === 'finished') return rollout.ending === 'completed' ? 'good' : rollout.ending === 'aborted' ? '' : 'bad';
  if (rollout.waits_for) return 'warn';
  return rollout.phase === 'rolling_back' ? 'bad' : 'accent';
}

/** @param {any} rollout */
export function isOver(rollout) {
  return rollout.phase === 'finished';
}

/**
 * What someone has to do, if anything.
 *
 * @param {any} rollout
 */
export function need(rollout) {
  if (!rollout.waits_for) return '';
  const why = rollout.paused_because ? ` It is paused because ${rollout.paused_because}.` : '';
  return `${NEEDS[rollout.waits_for] ?? `It waits for ${rollout.waits_for}.`}${why}`;
}

/** @param {any} rollout */
export function strategy(rollout) {
  return STRATEGIES[rollout.strategy] ?? rollout.strategy;
}

/**
 * A stage in a word or two: `10 %`, `approval`, `v1 kept`.
 *
 * @param {any} stage
 * @param {any} rollout
 */
export function stageName(stage, rollout) {
  if (stage.what === 'bake') return percent(stage.weight);
  if (stage.what === 'keep') return `${rollout.from} kept`;
  return stage.what;
}

/** @param {any} stage */
export function stageTime(stage) {
  return typeof stage.seconds === 'number' && stage.seconds > 0 ? duration(stage.seconds) : '';
}

/**
 * What it does at this moment.
 *
 * @param {any} rollout
 */
export function now(rollout) {
  const stage = rollout.stages?.[rollout.stage ?? -1];
  const at = `${rollout.to} has ${percent(rollout.weight)}`;
  if (isOver(rollout)) return `${at}.`;
  const parts = [at];
  if (typeof rollout.stage === 'number') parts.push(`stage ${rollout.stage + 1} of ${rollout.stages.length}`);
  if (rollout.task) parts.push(`doing: ${rollout.task}${rollout.endpoints?.length ? ` of ${rollout.endpoints.join(', ')}` : ''}`);
  if (rollout.bake_left_seconds > 0) parts.push(`${duration(rollout.bake_left_seconds)} of the ${stage?.what === 'keep' ? 'time' : 'bake'} left`);
  else if (rollout.hold_left_seconds > 0) {
    const then = rollout.on_hold === 'roll_back' ? 'it is rolled back' : 'it is paused';
    parts.push(`the bake is over and it is held; in ${duration(rollout.hold_left_seconds)} ${then}`);
  }
  if (rollout.task_left_seconds > 0) parts.push(`${duration(rollout.task_left_seconds)} left for that`);
  return `${parts.join(', ')}.`;
}

/**
 * How it ended, and what is so since then.
 *
 * @param {any} rollout
 * @param {any} stage the one that it had reached
 */
export function ended(rollout, stage) {
  const { ending, to, from } = rollout;
  if (ending === 'completed') return `${to} got everything.`;
  const back = `everything went back to ${from}`;
  const weights = (rollout.events ?? []).map((/** @type {any} */ event) => event.weight);
  const had = stage?.what === 'bake' ? stage.weight : Math.max(0, ...weights);
  const turned = ending === 'aborted' ? 'it was aborted' : 'it was turned back';
  return had > 0 ? `${to} had ${percent(had)} when ${turned}; ${back}.` : `It never got traffic; ${back}.`;
}

/**
 * E as people say it: `1,260`, `0.02`, `10^7`.
 *
 * @param {number} value
 */
export function evidence(value) {
  if (value >= 1e6) return `10^${Number(Math.log10(value).toFixed(1))}`;
  if (value >= 10) return new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
  return String(Number(value.toPrecision(2)));
}
