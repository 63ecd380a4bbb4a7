// @ts-check
/**
 * The rooms of the console. A room is one file that defines one custom element; it is loaded when it is first entered.
 *
 * @typedef {HTMLElement & { params: Record<string, string>, refresh(state: any): void }} RoomElement
 *
 * @typedef {object} Room
 * @property {string} path of the hash; `:name` is a parameter
 * @property {string} tag its element
 * @property {(params: Record<string, string>) => string} title
 * @property {string} [nav] its name in the navigation
 * @property {(state: any) => boolean} [shown] whether it is in the navigation
 * @property {boolean} [css] whether `rooms/FILE.css` belongs to it
 * @property {string} file
 */

import { isDemo } from './demo.js';

/** @type {Room[]} */
export const ROOMS = [
  { path: '', tag: 'pm-overview', file: 'overview', css: true, title: () => 'Services', nav: 'Services' },
  { path: 'service/:service', tag: 'pm-service', file: 'service', css: true, title: ({ service }) => `${service}` },
  { path: 'rollouts', tag: 'pm-rollouts', file: 'rollouts', css: true, title: () => 'Rollouts', nav: 'Rollouts' },
  { path: 'rollout/:id', tag: 'pm-rollout', file: 'rollout', css: true, title: ({ id }) => `Rollout ${id}` },
  { path: 'start', tag: 'pm-start', file: 'start', css: true, title: () => 'Start a rollout' },
  { path: 'history', tag: 'pm-history', file: 'history', css: true, title: () => 'History', nav: 'History' },
  { path: 'flags', tag: 'pm-flags', file: 'flags', css: true, title: () => 'Flags', nav: 'Flags', shown: (state) => some(state.flags) },
  { path: 'flag/:flag', tag: 'pm-flag', file: 'flag', css: true, title: ({ flag }) => `${flag}` },
  {
    path: 'experiments',
    tag: 'pm-experiments',
    file: 'experiments',
    css: true,
    title: () => 'Experiments',
    nav: 'Experiments',
    shown: (state) => some(state.experiments),
  },
  { path: 'experiment/:experiment', tag: 'pm-experiment', file: 'experiment', css: true, title: ({ experiment }) => `${experiment}` },
  { path: 'chaos', tag: 'pm-chaos', file: 'chaos', css: true, title: () => 'Chaos experiments', nav: 'Chaos', shown: (state) => state.chaos !== undefined && state.chaos !== null },
  { path: 'chaos/:run', tag: 'pm-chaos-run', file: 'chaos_run', css: true, title: ({ run }) => `Chaos run ${run}` },
  { path: 'repository', tag: 'pm-repository', file: 'repository', css: true, title: () => 'Repository', nav: 'Repository', shown: (state) => state.gitops !== undefined },
  { path: 'fleet', tag: 'pm-fleet', file: 'fleet', css: true, title: () => 'Fleet', nav: 'Fleet', shown: (state) => state.fleet !== undefined },
  { path: 'game', tag: 'pm-game', file: 'game', css: true, title: () => 'The release engineer', nav: 'Play', shown: isDemo },
];

/**
 * The room of a hash, and its parameters.
 *
 * @param {string} hash
 * @returns {{ room: Room, params: Record<string, string> } | null}
 */
export function roomOf(hash) {
  const path = hash.replace(/^#?\/?/, '').split('?')[0] ?? '';
  const parts = path.split('/');
  for (const room of ROOMS) {
    const wanted = room.path.split('/');
    if (wanted.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = Object.create(null);
    const fits = wanted.every((part, index) => {
      const found = decoded(parts[index] ?? '');
      if (!part.startsWith(':')) return part === found;
      params[part.slice(1)] = found;
      return found !== '';
    });
    if (fits) return { room, params };
  }
  return null;
}

/** @param {Record<string, unknown> | undefined} things */
function some(things) {
  return Object.keys(things ?? {}).length > 0;
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The address of a room: `to('service', 'shop')`.
 *
 * @param {...string} parts
 */
export function to(...parts) {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}
