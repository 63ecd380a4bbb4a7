// @ts-check
/** Commands of `pointsman` that do what a button does, to be copied into a shell. */

import { h } from './dom.js';

/** @param {string} text */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * `command('shift', 'shop', 'v2=10', { reason: 'half time' })`; options that are empty or `false` are left out, `true`
 * has no value.
 *
 * @param {...(string | Record<string, string | number | boolean | undefined>)} parts
 */
export function command(...parts) {
  const words = parts.flatMap((part) => {
    if (typeof part === 'string') return [quoted(part)];
    return Object.entries(part).flatMap(([name, value]) => {
      if (value === undefined || value === false || value === '') return [];
      return value === true ? [`--${name}`] : [`--${name}`, quoted(String(value))];
    });
  });
  const url = new URL('.', document.baseURI).href.replace(/\/$/, '');
  const admin = url === 'http://127.0.0.1:9900' ? [] : ['--admin', quoted(url)];
  return ['pointsman', ...words, ...admin].join(' ');
}

/**
 * The words of a command, none of which is broken in two lines at its hyphens.
 *
 * @param {string} text
 */
export function inWords(text) {
  return text.split(' ').flatMap((word, index) => [index > 0 ? ' ' : '', h('span', { class: 'word' }, word)]);
}
