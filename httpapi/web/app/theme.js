// Dark and light: the system's choice until the button says otherwise. The page's
// root has data-theme only where it was chosen.

const NAME = 'aitbc.theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set();

const chosen = localStorage.getItem(NAME);
if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;

export const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark';

export function attach(button) {
  const label = () => {
    const next = isDark() ? 'light' : 'dark';
    button.setAttribute('aria-label', `Change to the ${next} theme`);
    button.title = `Change to the ${next} theme`;
  };
  button.addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    localStorage.setItem(NAME, next);
    changed();
  });
  watch(label);
  label();
}

// watch calls listener after every change, the system's included.
export const watch = (listener) => { listeners.add(listener); };

const changed = () => listeners.forEach((listener) => listener());
system.addEventListener('change', changed);

const probe = document.createElement('span');
probe.hidden = true;

// colour returns what a variable of app.css comes to in the theme that is shown, for
// what is drawn without CSS.
export function colour(name) {
  document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const shown = getComputedStyle(probe).color;
  probe.remove();
  return shown;
}
