// @ts-check
/** Light or dark: as the system has it, until the switch says otherwise. */

const KEY = 'pointsman-theme';

/** A browser may keep no storage for us; then the choice lasts as long as the page. */
function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function prepareTheme() {
  const theme = stored();
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}

/** The other one. */
export function switchTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const next = (document.documentElement.dataset.theme || system) === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // See `stored`.
  }
}
