// A browser with tabs, by a real driver: `NODE_PATH=PACKAGES console.cjs PROGRAM` starts it, and then each line of its input
// is a command, `{"id":1,"tab":2,"do":"click","role":"button","name":"Shift"}`, for a tab that `open` made. Each is answered
// by a line, `{"id":1,"ok":...}` or `{"id":1,"failed":"..."}`; commands of other tabs go on meanwhile. It ends with its input.
//
// What is done to a page is done as a person does it: an element is found by its role and its name, as assistive technology
// knows them, and has to be visible, enabled and not covered by another.
//
// With CONSOLE_FILES=FOLDER the files of the page are those of a folder as they are now, in place of those in the binary: who
// changes the page need not compile anything to test it.
'use strict';

const { createInterface } = require('node:readline');
const { existsSync, readFileSync } = require('node:fs');
const { delimiter, extname, join } = require('node:path');
const { chromium } = require('playwright-core');

const [, , program] = process.argv;
/** How long a single command may take, and how long a page may take to load on a machine that does other things as well. */
const PATIENCE = 30_000;
const LOAD_PATIENCE = 40_000;

/** Where a program is that is called by its name; the driver wants to know. */
const located = (name) => process.env.PATH.split(delimiter).map((folder) => join(folder, name)).find(existsSync) ?? name;

/** What each page notes from its beginning: a policy that is violated, and tasks of more than 50 ms. */
const notes = () => {
  window.noted = { csp: [], tasks: [] };
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile }) =>
    window.noted.csp.push(`${violatedDirective}: ${blockedURI} in ${sourceFile}`));
  new PerformanceObserver((list) =>
    list.getEntries().forEach(({ startTime, duration }) => window.noted.tasks.push({ startTime, duration })),
  ).observe({ type: 'longtask', buffered: true });
};

const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Answers with the file of `folder` that is asked for, under the headers of the proxy. */
const fromFolder = (folder) => async (route) => {
  const { pathname } = new URL(route.request().url());
  const name = pathname.endsWith('/') ? 'index.html' : pathname.split('/console/')[1];
  const path = name && join(folder, name);
  if (!path || pathname.includes('/v1/') || !existsSync(path)) return route.continue();
  const response = await route.fetch();
  const headers = { ...response.headers(), 'content-type': `${KINDS[extname(path)]}; charset=utf-8` };
  delete headers['content-encoding'];
  await route.fulfill({ status: 200, headers, body: readFileSync(path) });
};

/** The browser says so on its console of each response that is no success; those are the API's, and are looked at there. */
const isOfNetwork = (text) => text.startsWith('Failed to load resource');

class Tab {
  static async open(browser, { url, width = 1280, height = 900, zoom = 1, ...media }) {
    // A zoom of 200 % is half as many pixels of CSS, each twice as large.
    const viewport = { width: Math.round(width / zoom), height: Math.round(height / zoom) };
    const context = await browser.newContext({ viewport, deviceScaleFactor: zoom, permissions: ['clipboard-read', 'clipboard-write'] });
    const tab = new Tab();
    tab.context = context;
    tab.requests = [];
    tab.complaints = [];
    // Of all that the page may ask with: documents, scripts, fetches, pictures, workers, and WebSockets.
    context.on('request', (request) => tab.requests.push({ method: request.method(), url: request.url() }));
    context.setDefaultTimeout(PATIENCE);
    context.setDefaultNavigationTimeout(LOAD_PATIENCE);
    await context.addInitScript(notes);
    if (process.env.CONSOLE_FILES) {
      const answer = fromFolder(process.env.CONSOLE_FILES);
      // The proxy may be away.
      await context.route('**', (route) => answer(route).catch(() => route.abort()));
    }
    tab.page = await context.newPage();
    tab.page.on('websocket', (socket) => tab.requests.push({ method: 'CONNECT', url: socket.url() }));
    tab.page.on('console', (message) => {
      const bad = ['error', 'warning', 'assert'].includes(message.type()) && !isOfNetwork(message.text());
      if (bad) tab.complaints.push(`${message.type()}: ${message.text()}`);
    });
    tab.page.on('pageerror', (error) => tab.complaints.push(`exception: ${error.stack ?? error}`));
    tab.tools = await context.newCDPSession(tab.page);
    await tab.media(media);
    await tab.page.goto(url);
    return tab;
  }

  /** Runs text in the page by the browser's tools, which no policy of the page forbids. */
  async evaluate(expression) {
    const call = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.tools.send('Runtime.evaluate', call);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** The element of a command: by its role and name, or by a selector; below another one if that is given. */
  find({ role, name, like, css, within, nth }) {
    const below = within ? this.page.locator(within) : this.page;
    const wanted = like === undefined ? { name, exact: true } : { name: new RegExp(like) };
    const found = css ? below.locator(css) : below.getByRole(role, wanted);
    return nth === undefined ? found : found.nth(nth);
  }

  async click(command) {
    await this.find(command).click();
  }

  /** Also a slider, a number and a list to choose from. */
  async fill({ value, ...command }) {
    const field = this.find(command);
    const tag = await field.evaluate((element) => element.tagName);
    await (tag === 'SELECT' ? field.selectOption(value) : field.fill(value));
  }

  async press({ keys }) {
    for (const key of [].concat(keys)) await this.page.keyboard.press(key);
  }

  async type({ text }) {
    await this.page.keyboard.type(text);
  }

  /** Waits until an element is there and can be seen, or is gone. */
  async await({ state = 'visible', ...command }) {
    await this.find(command).first().waitFor({ state });
  }

  /** Waits until the text of an element is `like`, and hands it back. */
  async text({ css = 'body', like = '', not }) {
    const deadline = Date.now() + PATIENCE;
    const [wanted, unwanted] = [new RegExp(like, 's'), not === undefined ? undefined : new RegExp(not, 's')];
    for (;;) {
      const texts = await this.page.locator(css).allInnerTexts().catch(() => []);
      const text = texts.join('\n');
      if (wanted.test(text) && !unwanted?.test(text)) return text;
      if (Date.now() > deadline) throw new Error(`${css} is not like /${like}/ without /${not}/ after ${PATIENCE} ms: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Waits until no element comes or goes: what a room asks for when it is entered has been answered. */
  async settled() {
    const elements = () => this.page.evaluate(() => document.querySelectorAll('main *').length);
    for (let [last, same, looks] = [-1, 0, 0]; same < 4 && looks < 50; looks += 1) {
      const now = await elements();
      [last, same] = [now, now === last ? same + 1 : 0];
      await new Promise((resolve) => setTimeout(resolve, 80));
    }
  }

  async count(command) {
    return this.find(command).count();
  }

  async value(command) {
    return this.find(command).inputValue();
  }

  /** The page as assistive technology has it. */
  async tree({ css = 'body' }) {
    return this.page.locator(css).first().ariaSnapshot();
  }

  async go({ url }) {
    await this.page.goto(url);
  }

  async reload() {
    await this.page.reload();
  }

  async js({ text }) {
    return this.evaluate(text);
  }

  /** How the person has set the machine: `light` or `dark`, `reduced` motion, forced colours. */
  async media({ scheme = 'light', motion, colors }) {
    await this.page.emulateMedia({ colorScheme: scheme, reducedMotion: motion ?? null, forcedColors: colors ?? null });
  }

  async size({ width, height }) {
    await this.page.setViewportSize({ width, height });
  }

  async offline({ is }) {
    await this.context.setOffline(is);
  }

  async shot({ path, full = false }) {
    await this.page.screenshot({ path, fullPage: full, animations: 'disabled', caret: 'hide' });
  }

  /** What is violated of the rules for accessible pages, each with the elements that do. */
  async axe() {
    if (!(await this.evaluate('"axe" in window'))) {
      await this.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
    }
    const run = "axe.run({ resultTypes: ['violations'] }).then((found) => found.violations)";
    const violations = await this.evaluate(run);
    return violations.map(({ id, impact, help, nodes }) => ({
      id, impact, help, nodes: nodes.map(({ html, failureSummary }) => `${html.slice(0, 300)}: ${failureSummary}`),
    }));
  }

  /** The element with the focus: its role and name, and whether a person sees it and that it has the focus. */
  async focus() {
    return this.page.evaluate(() => {
      let element = document.activeElement;
      while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
      if (!element || element === document.body) return null;
      const box = element.getBoundingClientRect();
      const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.innerText ?? element.innerText ?? '';
      const isOutlined = (one) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
        return outlineStyle !== 'none' && parseFloat(outlineWidth) > 0 || boxShadow !== 'none';
      };
      // Also a whole row that has the element in it.
      const outlined = isOutlined(element) || isOutlined(element.closest('li, tr, label') ?? element);
      const seen = box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
      const tag = element.tagName.toLowerCase();
      return { tag, type: element.type ?? null, text: label.trim(), outlined, seen, html: element.outerHTML.slice(0, 200) };
    });
  }

  /** What makes the page wider than the window: elements that end right of it and are not scrolled by themselves. */
  async wide() {
    return this.page.evaluate(() => {
      const root = document.documentElement;
      if (root.scrollWidth <= root.clientWidth) return [];
      const scrolls = (element) => element && element !== root && element !== document.body &&
        (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement));
      const sticks = (element) => element.getBoundingClientRect().right > root.clientWidth + 0.5 && !scrolls(element.parentElement);
      const found = [...document.querySelectorAll('body *')].filter(sticks).map((element) => element.outerHTML.slice(0, 160));
      return [`${root.scrollWidth} > ${root.clientWidth}`, ...found.slice(-5)];
    });
  }

  /**
   * Targets of less than 24 by 24 pixels that have another one within that size around their middle, which is what WCAG 2.5.8
   * asks for. Those in a sentence are as high as its line.
   */
  async small() {
    return this.page.evaluate(() => {
      const all = [...document.querySelectorAll('button, a[href], input, select, textarea, summary, [role=button], [tabindex="0"]')];
      const boxed = all.filter((one) => one.checkVisibility()).map((one) => ({ one, box: (one.closest('label') ?? one).getBoundingClientRect() }));
      const targets = boxed.filter(({ box }) => box.width > 0 && box.right > 0);
      const isSmall = ({ one, box }) => getComputedStyle(one).display !== 'inline' && (box.width < 24 || box.height < 24);
      const meets = ({ one, box }, other) => {
        if (other.one === one || other.one.contains(one) || one.contains(other.one)) return false;
        const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
        return other.box.left < x + 12 && other.box.right > x - 12 && other.box.top < y + 12 && other.box.bottom > y - 12;
      };
      const bad = targets.filter((target) => isSmall(target) && targets.some((other) => meets(target, other)));
      return bad.map(({ one }) => one.outerHTML.slice(0, 160));
    });
  }

  /** How the page loaded: bytes as they came, and when a person saw something first. */
  async load() {
    return this.page.evaluate(() => {
      const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
      const files = entries.filter(({ name }) => !new URL(name).pathname.includes('/v1/'));
      const paint = performance.getEntriesByName('first-contentful-paint')[0];
      const bytes = files.map(({ name, encodedBodySize, decodedBodySize }) => ({ name, encodedBodySize, decodedBodySize }));
      return { files: bytes, painted: paint?.startTime ?? null };
    });
  }

  /** The tasks of more than 50 ms since it was asked last, and the page's memory after what is not referred to is gone. */
  async burden() {
    const taken = () => this.page.evaluate(() => window.noted.tasks.splice(0));
    const tasks = await taken();
    // Time on the CPU: what other programs take is not the page's.
    await this.tools.send('Performance.enable', { timeDomain: 'threadTicks' });
    await this.tools.send('HeapProfiler.collectGarbage');
    const { metrics } = await this.tools.send('Performance.getMetrics');
    const by = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    // To collect takes a while itself.
    await taken();
    const longest = Math.max(0, ...tasks.map(({ duration }) => duration));
    return { heap: by.JSHeapUsedSize, nodes: by.Nodes, listeners: by.JSEventListeners, busy: by.TaskDuration, longest, tasks };
  }

  /** What must be none: complaints of the browser, and violations of the policy. And what was asked for, ever. */
  async facts() {
    const csp = await this.page.evaluate(() => window.noted.csp).catch(() => []);
    return { complaints: this.complaints, csp, requests: this.requests };
  }

  async close() {
    const facts = await this.facts();
    await this.context.close();
    return facts;
  }
}

/** What needs no tab. */
const tools = {
  /** What is weak in a policy, beside hints. */
  csp({ policy }) {
    const { CspEvaluator } = require('csp_evaluator/dist/evaluator.js');
    const { CspParser } = require('csp_evaluator/dist/parser.js');
    const { Severity } = require('csp_evaluator/dist/finding.js');
    const findings = new CspEvaluator(new CspParser(policy).csp).evaluate();
    const serious = findings.filter(({ severity }) => severity !== Severity.NONE && severity !== Severity.INFO);
    return serious.map(({ directive, description, severity }) => `${directive}: ${description} (${Severity[severity]})`);
  },

  /** What is wrong in a document. */
  async html({ text, rules = {} }) {
    const { HtmlValidate } = require('html-validate');
    const validator = new HtmlValidate({ extends: ['html-validate:recommended', 'html-validate:document'], rules });
    const { results } = await validator.validateString(text);
    return results.flatMap(({ messages }) => messages.map(({ ruleId, message, line, column }) => `${line}:${column}: ${message} (${ruleId})`));
  },
};

async function main() {
  const browser = await chromium.launch({
    executablePath: located(program),
    // The sandbox of a browser does not work for root, as whom tests run in containers; what is opened is our own page.
    // Nothing but the proxy is asked for, whatever a browser would like to know.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-background-networking',
      '--disable-field-trial-config', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
  const tabs = new Map();
  const obey = async ({ tab: number, do: what, ...command }) => {
    if (what in tools) return tools[what](command);
    if (what === 'open') {
      tabs.set(number, await Tab.open(browser, command));
      return null;
    }
    const tab = tabs.get(number);
    if (!tab) throw new Error(`there is no tab ${number} to ${what}`);
    return tab[what](command);
  };
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, ...command } = JSON.parse(line);
    obey(command).then((ok) => say({ id, ok: ok ?? null }), (error) => say({ id, failed: String(error?.message ?? error) }));
  }
  await browser.close();
}

main().then(() => process.exit(0), (error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exit(1);
});
