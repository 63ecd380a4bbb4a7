// @ts-check
/**
 * The users of the game as dots: on the left those on v1, on the right those on v2. A user that is hurt just now is a
 * cross, one that was hurt before has a ring, so that neither is told by its colour alone.
 */

import { h } from '../dom.js';

/** How long a dot takes to go over, in milliseconds. */
const WAY_MS = 350;

/** Height of the picture for a width. */
const HEIGHTS = { narrow: 300, wide: 250 };

/** What a character of the stream means: the version, and how the user is. */
const SEEN = /** @type {Record<string, { version: number, now: boolean, before: boolean }>} */ ({
  '-': { version: 0, now: false, before: false },
  1: { version: 0, now: false, before: false },
  2: { version: 1, now: false, before: false },
  a: { version: 0, now: true, before: true },
  b: { version: 1, now: true, before: true },
  c: { version: 0, now: false, before: true },
  d: { version: 1, now: false, before: true },
});

/** @typedef {{ x: number, y: number, fromX: number, fromY: number, toX: number, toY: number, since: number, code: string }} Dot */

export class Dots {
  #canvas = h('canvas', { class: 'dots', role: 'img' });
  #still = matchMedia('(prefers-reduced-motion: reduce)');
  /** @type {Dot[]} */
  #dots = [];
  #frame = 0;
  #width = 0;
  #height = 0;
  #codes = '';
  #observer = new ResizeObserver(() => this.#resized());

  get element() {
    return this.#canvas;
  }

  start() {
    this.#observer.observe(this.#canvas);
  }

  stop() {
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /**
   * @param {string} codes a character for each user
   * @param {string} label the same in words
   */
  update(codes, label) {
    if (this.#canvas.getAttribute('aria-label') !== label) this.#canvas.setAttribute('aria-label', label);
    if (codes === this.#codes) return;
    const anew = codes.length !== this.#codes.length;
    this.#codes = codes;
    if (anew) this.#dots = Array.from(codes, (code) => ({ x: 0, y: 0, fromX: 0, fromY: 0, toX: 0, toY: 0, since: 0, code }));
    this.#place(anew);
  }

  #resized() {
    const { clientWidth } = this.#canvas;
    const height = clientWidth < 560 ? HEIGHTS.narrow : HEIGHTS.wide;
    if (clientWidth === this.#width && height === this.#height) return;
    [this.#width, this.#height] = [clientWidth, height];
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(clientWidth * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.style.height = `${height}px`;
    this.#place(true);
  }

  /**
   * Every user has a place of their own on each side.
   *
   * @param {boolean} atOnce without a way
   */
  #place(atOnce) {
    const side = this.#width / 2;
    const count = Math.max(this.#dots.length, 1);
    const columns = Math.max(1, Math.round(Math.sqrt((count * side) / Math.max(this.#height, 1))));
    const rows = Math.ceil(count / columns);
    const [stepX, stepY] = [(side - 16) / columns, (this.#height - 12) / rows];
    const now = performance.now();
    this.#dots.forEach((dot, index) => {
      dot.code = this.#codes[index] ?? '-';
      const version = SEEN[dot.code]?.version ?? 0;
      const toX = version * side + 8 + stepX * ((index % columns) + 0.5);
      const toY = 6 + stepY * (Math.floor(index / columns) + 0.5);
      if (atOnce || this.#still.matches) {
        Object.assign(dot, { x: toX, y: toY, toX, toY, since: 0 });
      } else if (toX !== dot.toX || toY !== dot.toY) {
        Object.assign(dot, { fromX: dot.x, fromY: dot.y, toX, toY, since: now });
      }
    });
    this.#size = Math.max(2, Math.min(5, Math.min(stepX, stepY) / 2 - 1));
    this.#soon();
  }

  #size = 4;

  #soon() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = 0;
      if (this.#draw(now)) this.#soon();
    });
  }

  /**
   * @param {number} now
   * @returns {boolean} whether a dot is on its way
   */
  #draw(now) {
    const context = this.#canvas.getContext('2d');
    if (!context) return false;
    const style = getComputedStyle(this.#canvas);
    // Colours of the style sheet as they are in this theme: a variable by itself is not worked out.
    const fills = [style.color, style.caretColor];
    const [bad, line] = [style.outlineColor, style.borderTopColor];
    const scale = devicePixelRatio || 1;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.#width, this.#height);
    context.strokeStyle = line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(Math.round(this.#width / 2) + 0.5, 0);
    context.lineTo(Math.round(this.#width / 2) + 0.5, this.#height);
    context.stroke();
    let moving = false;
    for (const dot of this.#dots) {
      if (dot.since) {
        const part = Math.min(1, (now - dot.since) / WAY_MS);
        const eased = 1 - (1 - part) ** 3;
        dot.x = dot.fromX + (dot.toX - dot.fromX) * eased;
        dot.y = dot.fromY + (dot.toY - dot.fromY) * eased;
        if (part < 1) moving = true;
        else dot.since = 0;
      }
      this.#dot(context, dot, fills, bad);
    }
    return moving;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Dot} dot
   * @param {string[]} fills
   * @param {string} bad
   */
  #dot(context, dot, fills, bad) {
    const seen = SEEN[dot.code];
    if (!seen) return;
    const size = this.#size;
    if (seen.now) {
      context.strokeStyle = bad;
      context.lineWidth = Math.max(2, size * 0.6);
      context.beginPath();
      context.moveTo(dot.x - size, dot.y - size);
      context.lineTo(dot.x + size, dot.y + size);
      context.moveTo(dot.x + size, dot.y - size);
      context.lineTo(dot.x - size, dot.y + size);
      context.stroke();
      return;
    }
    context.globalAlpha = dot.code === '-' ? 0.35 : 1;
    context.fillStyle = fills[seen.version] ?? bad;
    context.beginPath();
    context.arc(dot.x, dot.y, seen.before ? size * 0.55 : size * 0.85, 0, 2 * Math.PI);
    context.fill();
    context.globalAlpha = 1;
    if (seen.before) {
      context.strokeStyle = bad;
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(dot.x, dot.y, size, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
