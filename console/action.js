// @ts-check
/** The one way to change something: first what it would do, then why, and then it is done. */

import { Problem, call } from './api.js';
import { inWords } from './command.js';
import { h, replace, setText } from './dom.js';
import { when } from './format.js';
import { canAct, live } from './live.js';
import { notice } from './notice.js';

/**
 * @typedef {object} Action
 * @property {string} title a question or a sentence: `Shift shop to v1 80 %, v2 20 %`
 * @property {string} does the word of the button: `Shift`
 * @property {string} method
 * @property {string} path
 * @property {(reason: string) => unknown} [body]
 * @property {(reason: string) => string} command the same as a command of `pointsman`
 * @property {(answer: any) => any} [seen] what of the answer to the dry run is the change; all of it unless this says otherwise
 * @property {(answer: any) => Node | string} [describe] what the dry run says, in words
 * @property {boolean} [danger] whether the button warns
 * @property {boolean} [dryRun] whether the call knows `?dry_run`; it does unless this says no
 * @property {string} [words] what is said of it where there is no dry run
 * @property {boolean} [reasoned] whether the call takes a reason; it does unless this says no
 */

/**
 * Asks, and does it. The answer is what the API says; none: the person thought better of it.
 *
 * @param {Action} action
 * @returns {Promise<any>}
 */
export function act(action) {
  if (!canAct()) return Promise.resolve(null);
  return new Promise((resolve) => new ActionDialog(action, resolve).open());
}

class ActionDialog {
  /** The revision that the dry run looked at. @type {number | undefined} */
  #revision;
  #answer = null;
  /** Whether what would happen is known, and is something. */
  #looked = false;
  #busy = false;
  /** What was said of the connection last, so that it is said once. */
  #told = 'false true';
  /** Ends what is asked when the dialog is closed. */
  #closed = new AbortController();
  #preview = h('div', { class: 'preview', 'aria-live': 'polite' });
  #trouble = h('div', { role: 'alert' });
  #reason = h('input', { type: 'text', name: 'reason', autocomplete: 'off', maxlength: 300, placeholder: 'for the history' });
  #force = h('input', { type: 'checkbox', name: 'force' });
  #forced = h('label', { class: 'check', hidden: true }, this.#force, 'Do it all the same');
  #command = h('code');
  #copy = h('button', { type: 'button', class: 'quiet', onclick: () => void this.#copied() }, 'Copy');
  #confirm;
  #dialog;
  #connection = () => this.#connected();

  /**
   * @param {Action} action
   * @param {(answer: any) => void} resolve
   */
  constructor(action, resolve) {
    this.action = action;
    this.#confirm = h('button', { type: 'submit', class: action.danger ? 'danger' : 'primary', disabled: true }, action.does);
    const reason = action.reasoned === false ? null : h('label', { class: 'field' }, 'Reason', this.#reason);
    const cancel = h('button', { type: 'button', onclick: () => this.#dialog.close() }, 'Cancel');
    const form = h('form', { method: 'dialog', onsubmit: (/** @type {Event} */ event) => void this.#submit(event) },
      h('h2', { id: 'action-title' }, action.title), this.#preview, this.#trouble, this.#forced, reason,
      h('div', { class: 'same' }, h('span', { class: 'dim small' }, 'The same in a shell'), h('div', { class: 'command' }, this.#command, this.#copy)),
      h('div', { class: 'buttons' }, cancel, this.#confirm));
    this.#dialog = h('dialog', { class: 'action', 'aria-labelledby': 'action-title' }, form);
    this.#dialog.addEventListener('close', () => {
      this.#closed.abort();
      live.removeEventListener('connection', this.#connection);
      this.#dialog.remove();
      // What had the focus may be gone with the state before.
      if (document.activeElement === document.body) document.querySelector('main')?.focus({ preventScroll: true });
      resolve(this.#answer);
    });
    this.#reason.addEventListener('input', () => this.#show());
    this.#force.addEventListener('change', () => {
      this.#show();
      void this.#look();
    });
    live.addEventListener('connection', this.#connection);
  }

  open() {
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    if (this.action.words) setText(this.#preview, this.action.words);
    this.#show();
    void this.#look();
  }

  #show() {
    const command = this.action.command(this.#reason.value.trim());
    replace(this.#command, inWords(this.#force.checked ? `${command} --force` : command));
    setText(this.#copy, 'Copy');
  }

  /** The body, which may say that it is to be done although a version has no endpoint. @param {string} reason */
  #body(reason) {
    const body = this.action.body?.(reason);
    return this.#force.checked ? { .../** @type {object} */ (body ?? {}), force: true } : body;
  }

  /** Without HTTPS a page has no clipboard but on this machine; then the text is selected, and the browser copies that. */
  async #copied() {
    const text = this.#command.textContent ?? '';
    try {
      await navigator.clipboard.writeText(text);
      setText(this.#copy, 'Copied');
    } catch {
      getSelection()?.selectAllChildren(this.#command);
      setText(this.#copy, document.execCommand('copy') ? 'Copied' : 'Press Ctrl+C');
    }
  }

  #connected() {
    if (live.connection === 'live' && canAct()) void this.#look();
    else this.#ready();
  }

  /** Whether it can be done now. */
  #ready() {
    const lost = live.connection !== 'live';
    this.#confirm.disabled = this.#busy || lost || !canAct() || !(this.#looked || this.action.dryRun === false);
    if (this.#told === `${lost} ${canAct()}`) return;
    this.#told = `${lost} ${canAct()}`;
    if (lost) replace(this.#trouble, h('p', { class: 'problem' }, 'The connection to the proxy is lost. Nothing can be changed until it is back.'));
    else if (!canAct()) replace(this.#trouble, h('p', { class: 'problem' }, 'You may only look now.'));
  }

  /** Makes the dry run. */
  async #look() {
    if (this.#busy) return;
    replace(this.#trouble);
    this.#looked = false;
    this.#ready();
    if (this.action.dryRun === false || live.connection !== 'live') return;
    if (!this.#preview.hasChildNodes()) setText(this.#preview, 'Asking what it would do …');
    const { method, path } = this.action;
    try {
      const whole = await call(method, path, { body: this.#body(''), dryRun: true, signal: this.#closed.signal });
      const answer = this.action.seen?.(whole) ?? whole;
      this.#revision = answer.revision;
      replace(this.#preview, answer.changed === false ? 'Nothing would change.' : this.action.describe?.(answer) ?? '', warnings(answer));
      this.#looked = answer.changed !== false;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      replace(this.#preview);
      this.#refused(error);
    }
    this.#ready();
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    if (this.#confirm.disabled) return;
    this.#busy = true;
    replace(this.#trouble);
    this.#ready();
    const { method, path } = this.action;
    try {
      const answer = await call(method, path, { body: this.#body(this.#reason.value.trim()), ifMatch: this.#revision });
      this.#answer = answer ?? {};
      notice(answer?.revision ? `Done: revision ${answer.revision}.` : 'Done.');
      this.#dialog.close();
    } catch (error) {
      this.#busy = false;
      this.#ready();
      if (error instanceof Problem && error.status === 412) await this.#outdated();
      else this.#refused(error);
    }
  }

  /** Another change was faster: says whose it was, and offers to look again. */
  async #outdated() {
    this.#looked = false;
    this.#ready();
    const others = h('ul', { hidden: true });
    replace(this.#trouble, h('div', { class: 'problem' },
      h('p', {}, 'The traffic was changed while you were looking, so nothing was done.'), others, this.#again()));
    /** @type {any[]} */
    let newer = [];
    try {
      const { revisions } = await call('GET', 'v1/revisions', { signal: this.#closed.signal });
      newer = revisions.filter((/** @type {any} */ one) => one.revision > (this.#revision ?? 0));
    } catch {
      // What is said without it is enough.
    }
    replace(others, newer.map((one) =>
      h('li', {}, `Revision ${one.revision} by ${one.author} at ${when(one.at)}: ${one.action}${one.reason ? `, “${one.reason}”` : ''}`)));
    others.hidden = newer.length === 0;
  }

  #again() {
    const look = () => {
      // The button goes away with what it is about.
      (this.#reason.isConnected ? this.#reason : this.#copy).focus();
      void this.#look();
    };
    return h('button', { type: 'button', onclick: look }, 'Look again');
  }

  /** @param {unknown} error */
  #refused(error) {
    const told = error instanceof Problem ? error : null;
    if (told?.kind === 'no_endpoint') this.#forced.hidden = false;
    const unsure = told?.status === 0 && this.#looked
      ? h('p', { class: 'problem' }, 'It may have been done or not: look again, or into the history.')
      : null;
    replace(this.#trouble, problem(error), unsure, this.#again());
  }
}

/**
 * What the answer to a change warns of.
 *
 * @param {any} answer
 */
function warnings(answer) {
  const texts = /** @type {string[]} */ (answer.warnings ?? []);
  return texts.map((text) => h('p', { class: 'warning' }, text));
}

/**
 * A refusal, with each single problem of it.
 *
 * @param {unknown} error
 */
export function problem(error) {
  const told = error instanceof Problem ? error : null;
  const items = told?.body.problems ?? [];
  const list = items.length > 1
    ? h('ul', {}, items.map((item) => h('li', {}, `${item.where}: found ${item.found}, want ${item.wanted} (${item.remedy})`)))
    : null;
  return h('div', { class: 'problem' }, h('p', {}, error instanceof Error ? error.message : String(error)), list);
}
