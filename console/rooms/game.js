// @ts-check
/**
 * "You are the release engineer": v2 may have a bug. The player moves the users, decides, and then the proxy's judge
 * makes the same release once more. Nothing on this page is made up: it shows what real clients of the proxy saw.
 */

import { Problem, call, stream } from '../api.js';
import { h, replace, setText } from '../dom.js';
import { count, milliseconds, percent, rate, share } from '../format.js';
import { canAct, live } from '../live.js';
import { to } from '../rooms.js';
import { Dots } from './game_dots.js';

/** Time between two tries to follow the game, in milliseconds. */
const RETRY_MS = 1_000;

/** How often a screen reader is told how it stands, in milliseconds. */
const TELL_MS = 4_000;

/** @typedef {{ strategy: string, sentence: string, steps: number[] }} Strategy */
/** @typedef {{ users: number, requests_per_second: number, slow_ms: number, strategies: Strategy[], bugs: string[] }} Offer */

const NAMES = /** @type {Record<string, string>} */ ({
  hand: 'By hand', canary: 'Canary', blue_green: 'Blue/green', rolling: 'Rolling', flag: 'Flag',
});

const BUGS = /** @type {Record<string, string>} */ ({
  errors: 'errors', latency: 'latency', leak: 'a leak', 'wrong-page': 'wrong pages (404)', crash: 'a crash under full load', none: 'none',
});

const ENDINGS = /** @type {Record<string, string>} */ ({
  went_back: 'went back to v1', shipped: 'shipped v2', time_up: 'did not decide', rolled_back: 'turned back to v1',
  completed: 'let v2 through', undecided: 'did not decide',
});

class Game extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** @type {Offer | null} */
  #offer = null;
  /** What is told of the game. @type {any} */
  #told = null;
  /** @type {AbortController | null} */
  #here = null;
  #dots = new Dots();
  #spoken = 0;
  #busy = false;
  #shape = '';
  /** The share that the slider asks for, until it is in force. @type {number | null} */
  #asked = null;

  #trouble = h('p', { class: 'problem', role: 'alert', hidden: true });
  #start = h('section', { class: 'card', 'aria-label': 'A new game' });
  #score = h('section', { class: 'card stack', 'aria-label': 'How it went', hidden: true });
  #moves = h('section', { class: 'card', 'aria-label': 'Your moves', hidden: true });
  #sides = [side('v1'), side('v2')];
  #status = h('p', { class: 'number' });
  #aloud = h('p', { class: 'skip', 'aria-live': 'polite' });
  #time = h('div', { class: 'game-time', 'aria-hidden': 'true' }, h('div'));
  #board = h('section', { class: 'card game-board', 'aria-label': 'The users', hidden: true });

  #output = h('output', { for: 'game-share' });
  #slider = h('input', {
    type: 'range', id: 'game-share', min: 0, max: 100, step: 1, value: 0,
    oninput: () => this.#slid(), onchange: () => void this.#shift(),
  });
  #next = h('button', { type: 'button', onclick: () => void this.#ask('POST', 'v1/demo/game/next') });
  #back = h('button', { type: 'button', class: 'danger', onclick: () => void this.#ask('POST', 'v1/demo/game/back') }, 'Back to v1, and end');
  #ship = h('button', { type: 'button', class: 'primary', onclick: () => void this.#ask('POST', 'v1/demo/game/ship') }, 'Ship v2 to all, and end');
  #command = h('code');

  connectedCallback() {
    const [v1, v2] = this.#sides;
    this.#board.append(this.#status, h('div', { class: 'sides' }, v1.element, v2.element), this.#dots.element, legend(), this.#time);
    this.append(h('h1', {}, 'You are the release engineer'),
      h('p', {}, h('strong', {}, 'Deploy v2. It may have a bug. '), 'Move users to it, watch them, and decide: ship it, or go back. Then the proxy’s own judge makes the same release, and you see who hurt fewer.'),
      this.#trouble, h('div', { class: 'stack' }, this.#score, this.#start, this.#moves, this.#board), this.#aloud);
    this.#dots.start();
    const here = new AbortController();
    this.#here = here;
    void this.#follow(here.signal);
  }

  disconnectedCallback() {
    this.#here?.abort();
    this.#dots.stop();
  }

  /** @param {any} state */
  refresh(state) {
    const mine = state.services?.[this.#told?.service ?? 'game'];
    const weight = mine?.versions?.v2?.weight;
    if (typeof weight === 'number' && this.#told?.strategy === 'hand') {
      if (this.#asked === weight) this.#asked = null;
      if (this.#asked === null && document.activeElement !== this.#slider) this.#slider.value = String(weight);
      this.#slid();
    }
    this.#able();
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    while (!signal.aborted) {
      try {
        if (!this.#offer) {
          this.#offer = /** @type {Offer} */ ((await call('GET', 'v1/demo', { signal })).game);
          this.#offered(this.#offer);
        }
        for await (const heard of stream('GET', 'v1/demo/game/events', { signal })) {
          if (heard.event === 'game') this.#tell(JSON.parse(heard.data));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && error.status === 404) {
          replace(this, h('h1', {}, 'You are the release engineer'), h('p', { class: 'empty' }, 'The game is a part of ', h('code', {}, 'pointsman demo'), ', and this proxy is not the demo.'));
          return;
        }
      }
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }

  /** @param {Offer} offer */
  #offered(offer) {
    const choice = (/** @type {Strategy} */ strategy, /** @type {number} */ index) =>
      h('label', {}, h('input', { type: 'radio', name: 'strategy', value: strategy.strategy, checked: index === 0 }),
        h('span', {}, NAMES[strategy.strategy] ?? strategy.strategy), h('span', { class: 'dim' }, strategy.sentence));
    const bug = h('select', { name: 'bug' }, h('option', { value: '' }, 'a surprise'),
      offer.bugs.map((word) => h('option', { value: word }, BUGS[word] ?? word)));
    const form = h('form', { onsubmit: (/** @type {Event} */ event) => this.#begin(event) },
      h('fieldset', { class: 'game-choices' }, h('legend', {}, 'How do you release?'), offer.strategies.map(choice)),
      h('div', { class: 'game-start' }, h('button', { type: 'submit', class: 'primary' }, 'Deploy v2'),
        h('label', { class: 'field' }, 'The bug', bug)),
      h('p', { class: 'game-hint' }, `${count(offer.users)} simulated users send ${count(offer.requests_per_second)} requests a second through this proxy, each about every ${Math.round(offer.users / offer.requests_per_second)} s. A user is hurt by an error, by a page that is not found, and by an answer that takes more than ${milliseconds(offer.slow_ms)}. A game takes as long as you do (two minutes at the most), and the judge’s turn 10 to 40 s.`));
    replace(this.#start, form);
    this.#able();
  }

  /** @param {Event} event */
  #begin(event) {
    event.preventDefault();
    const chosen = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const bug = String(chosen.get('bug') ?? '');
    void this.#ask('POST', 'v1/demo/game', { strategy: chosen.get('strategy'), ...(bug ? { bug } : {}) });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async #ask(method, path, body) {
    if (this.#busy || !canAct()) return;
    this.#busy = true;
    this.#able();
    this.#say('');
    try {
      this.#tell(await call(method, path, { body }));
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    }
    this.#busy = false;
    this.#able();
  }

  /** The ordinary call of the API, as any operator makes it. */
  async #shift() {
    const to = Number(this.#slider.value);
    this.#asked = to;
    this.#say('');
    try {
      await call('PUT', `v1/services/${this.#told.service}/split`, { body: { v1: 100 - to, v2: to, reason: 'the release engineer' } });
    } catch (error) {
      this.#asked = null;
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  #slid() {
    const to = Number(this.#slider.value);
    setText(this.#output, `v1 ${100 - to} %, v2 ${to} %`);
    this.#slider.setAttribute('aria-valuetext', `v2 ${to} %`);
    if (this.#told?.strategy === 'hand') setText(this.#command, `pointsman shift ${this.#told.service} v1=${100 - to} v2=${to}`);
  }

  /** @param {string} text */
  #say(text) {
    setText(this.#trouble, text);
    this.#trouble.hidden = !text;
  }

  #able() {
    const able = canAct() && live.connection === 'live' && !this.#busy;
    for (const button of this.querySelectorAll('button')) button.disabled = !able;
    if (this.#told && !this.#told.next) this.#next.disabled = true;
    this.#slider.disabled = !able;
  }

  /** @param {any} told */
  #tell(told) {
    if (!told?.phase || (this.#told && told.game < this.#told.game)) return;
    if (this.#told?.game !== told.game) [this.#asked, this.#slider.value] = [null, '0'];
    this.#told = told;
    const { phase } = told;
    const atRest = phase === 'idle' || phase === 'over';
    this.#start.hidden = !atRest || !canAct();
    this.#moves.hidden = phase !== 'playing' || !canAct();
    this.#board.hidden = told.dots === '';
    this.#score.hidden = !told.bug && !told.hand;
    // While the judge releases, its users are what is looked at.
    this.#score.classList.toggle('later', phase !== 'over');
    if (told.trouble) this.#say(`The game ended early: ${told.trouble}`);
    this.#moved(told);
    this.#counted(told);
    this.#scored(told);
    this.#slid();
    this.#able();
  }

  /** @param {any} told */
  #moved(told) {
    const shape = `${told.game} ${told.strategy} ${told.phase}`;
    if (shape !== this.#shape) {
      this.#shape = shape;
      const slider = h('div', { class: 'game-slider' }, h('label', { class: 'name', for: 'game-share' }, 'Share of v2'), this.#slider, this.#output);
      const buttons = h('div', { class: 'game-moves' }, told.strategy === 'hand' ? null : this.#next, this.#back, this.#ship);
      replace(this.#moves, told.strategy === 'hand' ? slider : null, buttons, h('p', { class: 'game-hint' }, 'As a command: ', this.#command));
    }
    const { next } = told;
    setText(this.#next, next ? `Go on: v2 to ${next.share} %` : 'All users are on v2');
    if (told.strategy !== 'hand') setText(this.#command, next ? next.command : `pointsman rollback`);
  }

  /** @param {any} told */
  #counted(told) {
    const { counts, recent } = told;
    const on = [told.dots.length - counts.users_on_v2, counts.users_on_v2];
    const label = `${users(on[0] ?? 0)} on v1, ${users(on[1] ?? 0)} on v2; ${counts.users_hurt} have been hurt`;
    this.#dots.update(told.dots, label);
    this.#sides.forEach((side, index) => {
      const now = recent[index];
      setText(side.users, users(on[index] ?? 0));
      setText(side.now, now.p50_ms === null ? 'no answers' : `${rate(now.per_second)}, ${share(now.hurt_ratio)} of them hurt, median ${milliseconds(now.p50_ms)}`);
    });
    const status = words(told);
    setText(this.#status, `${status}${told.phase === 'idle' ? '' : ` ${count(counts.users_hurt)} of ${count(told.dots.length)} users have been hurt, by ${count(counts.hurt_answers)} answers.`}`);
    const part = told.seconds_left === null ? 0 : told.seconds / Math.max(0.1, told.seconds + told.seconds_left);
    this.#time.hidden = told.seconds_left === null;
    /** @type {HTMLElement} */ (this.#time.firstElementChild).style.width = percent(100 * part, 1).replace(/\s/g, '');
    if (Date.now() - this.#spoken > TELL_MS) {
      this.#spoken = Date.now();
      setText(this.#aloud, `${status} ${label}.`);
    }
  }

  /** @param {any} told */
  #scored(told) {
    if (this.#score.hidden) return;
    const { hand, judge, bug } = told;
    const rows = /** @type {[string, (score: any) => string, ((score: any) => number)?][]} */ ([
      ['Users hurt', (score) => `${count(score.users_hurt)} of ${count(told.dots.length)}`, (score) => score.users_hurt],
      ['Answers that hurt them', (score) => count(score.hurt_answers), (score) => score.hurt_answers],
      ['Seconds until all were back on v1', (score) => score.seconds_until_back === null ? (score.ending === 'completed' || bug?.bug === 'none' ? '–' : 'never') : score.seconds_until_back.toFixed(1)],
      ['Users that met v2', (score) => count(score.users_reached)],
      ['The decision', (score) => `${ENDINGS[score.ending] ?? score.ending}${right(score, bug) ? '' : ' (wrong)'}`],
    ]);
    const shown = JSON.stringify([hand, judge, bug, told.rollout, told.phase]);
    if (this.#score.dataset.shown === shown) return;
    this.#score.dataset.shown = shown;
    const cell = (/** @type {any} */ score, /** @type {any} */ other, /** @type {typeof rows[number]} */ row, /** @type {boolean} */ first) => {
      if (!score) return h('td', { class: 'dim' }, first ? '…' : '');
      const value = row[2];
      const tone = value && other ? (value(score) < value(other) ? 'better' : value(score) > value(other) ? 'worse' : '') : '';
      return h('td', { class: `${first ? 'big ' : ''}${tone}` }, row[1](score));
    };
    const table = h('table', { class: 'game-score' },
      h('thead', {}, h('tr', {}, h('td', {}), h('th', { scope: 'col' }, 'You'), h('th', { scope: 'col' }, 'The judge'))),
      h('tbody', {}, rows.map((row, index) => h('tr', {}, h('th', { scope: 'row' }, row[0]), cell(hand, judge, row, index === 0), cell(judge, hand, row, index === 0)))));
    const link = told.rollout ? h('p', {}, h('a', { class: 'button', href: to('rollout', told.rollout) }, 'How the judge saw it')) : null;
    replace(this.#score, h('h2', {}, bug ? `The bug: ${BUGS[bug.bug] ?? bug.bug}` : 'Your release is over'), bug ? h('p', {}, bug.sentence) : null, h('div', { class: 'scroll' }, table), link);
  }
}

/**
 * @param {any} score
 * @param {any} bug
 */
function right(score, bug) {
  const good = bug?.bug === 'none';
  return good ? score.ending === 'shipped' || score.ending === 'completed' : score.ending === 'went_back' || score.ending === 'rolled_back';
}

/**
 * How it stands, in a sentence.
 *
 * @param {any} told
 */
function words(told) {
  const seconds = `${Math.floor(told.seconds)} s`;
  const left = `${Math.ceil(told.seconds_left ?? 0)} s`;
  switch (told.phase) {
    case 'playing': return `Your release, for ${seconds}: ${left} left to decide.`;
    case 'aftermath': return `You have shipped v2. Users come for another ${left}.`;
    case 'going_back': return 'You went back. The last answers come in.';
    case 'warming_up': return `The judge’s turn: the same bug, the same users. It watches v1 for ${left}.`;
    case 'judged': return `The judge releases v2, for ${seconds}: ${told.says ?? 'it begins'}.`;
    case 'ending': return `The judge has decided: ${told.says ?? ''}.`;
    case 'over': return told.judge ? `Game ${told.game} is over (seed ${told.seed}).` : 'The game is over.';
    default: return '';
  }
}

/** @param {number} number */
function users(number) {
  return `${count(number)} ${number === 1 ? 'user' : 'users'}`;
}

/** @param {string} name */
function side(name) {
  const number = h('span', { class: 'number' });
  const now = h('p', { class: 'dim number' });
  return { users: number, now, element: h('div', {}, h('h2', {}, name, number), now) };
}

function legend() {
  const item = (/** @type {string} */ kind, /** @type {string} */ mark, /** @type {string} */ text) => h('li', {}, h('b', { class: kind, 'aria-hidden': 'true' }, mark), text);
  return h('ul', { class: 'game-legend' }, item('v1', '●', 'a user on v1'), item('v2', '●', 'a user on v2'), item('hurt', '×', 'hurt just now'), item('hurt', '◎', 'hurt before'));
}

customElements.define('pm-game', Game);
