// @ts-check
/** The form, its buttons, and what can be taken away: JSON lines and the report. */

import { t } from '../../messages/messages.js';
import { button, byId, element, input, saveFile, setText } from '../dom.js';
import { showError } from '../messages.js';

/** What `all` stands for, smallest first. */
const SHAPES = ['smollm2-135m', 'smollm2-360m', 'tinyllama-1.1b'];
const COPIED_MS = 2_000;

/**
 * @param {string} text
 * @param {HTMLButtonElement} from
 */
async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    showError(t('The browser did not allow copying: save the file instead.'));
    return;
  }
  const label = from.textContent ?? '';
  if (label === t('Copied')) return;
  setText(from, t('Copied'));
  setTimeout(() => setText(from, label), COPIED_MS);
}

/**
 * @param {object} page
 * @param {(what: object) => void} page.run
 * @param {() => void} page.stop
 * @param {() => Record<string, any>[]} page.figures
 */
export function mountControls({ run, stop, figures }) {
  const model = byId('bench-model', HTMLSelectElement);
  const taken = ['bench-copy-json', 'bench-copy-report', 'bench-save'].map(button);
  const [copyJson, copyReport, save] = taken;
  let report = '';
  const lines = () => figures().map((figure) => `${JSON.stringify(figure)}\n`).join('');

  // bench.html#tiny chooses a model
  const wanted = location.hash.slice(1);
  if ([...model.options].some(({ value }) => value === wanted)) model.value = wanted;

  const begin = () => {
    report = '';
    for (const each of taken) each.disabled = true;
    const shapes = model.value === 'all' ? SHAPES : [model.value];
    const what = model.value === 'bundled' ? { source: { kind: 'bundled' } } : { shapes };
    run({ ...what, curves: input('bench-curves').checked, profile: input('bench-profile').checked });
  };
  button('bench-run').addEventListener('click', begin);
  button('bench-stop').addEventListener('click', stop);
  copyJson.addEventListener('click', () => void copy(lines(), copyJson));
  copyReport.addEventListener('click', () => void copy(report, copyReport));
  save.addEventListener('click', () => saveFile(new Blob([lines()], { type: 'application/jsonl' }), 'lora-lab-bench.jsonl'));

  return {
    /** Measure what is chosen once more. */
    again: begin,
    /** @param {{canRun: boolean, canStop: boolean, isBusy: boolean}} now */
    show({ canRun, canStop, isBusy }) {
      const hadFocus = document.activeElement?.id ?? '';
      button('bench-run').disabled = !canRun;
      button('bench-stop').disabled = !canStop;
      for (const each of [model, input('bench-curves'), input('bench-profile')]) each.disabled = isBusy;
      // A button that is switched off loses the focus: the other one takes it.
      if (hadFocus === 'bench-run' && canStop) element('bench-stop').focus();
      if (hadFocus === 'bench-stop' && canRun) element('bench-run').focus();
    },
    /** @param {string} text of the whole benchmark, '' where it failed */
    finish(text) {
      report = text;
      copyJson.disabled = save.disabled = !figures().length;
      copyReport.disabled = !text;
    },
  };
}
