// @ts-check
/** One run to compare the shown one with: chosen here, named in the legend. */

import { onLanguage, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { byId, element, make } from '../dom.js';
import { markLine } from './mark-line.js';
import { allRuns, comparedRun, shownRun, titleOf, whenOf } from './runs.js';

export function mountCompare() {
  const select = byId('compare-run', HTMLSelectElement);
  let drawn = '';
  let named = '';
  const render = () => {
    const others = allRuns().filter((run) => run !== shownRun()).toReversed();
    const chosen = comparedRun();
    const options = [{ value: '', text: t('none') }, ...others.map((run) => ({ value: String(run.number), text: `${titleOf(run)} · ${run.model} · ${whenOf(run)}` }))];
    element('compare').hidden = !others.length;
    if (drawn !== JSON.stringify(options)) {
      drawn = JSON.stringify(options);
      select.replaceChildren(...options.map(({ value, text }) => make('option', { value, text })));
    }
    select.value = chosen ? String(chosen.number) : '';
    const key = element('key-compared');
    key.hidden = !chosen;
    if (!chosen) return;
    const words = { run: titleOf(chosen) };
    const name = JSON.stringify([chosen.number, t('{run}, smoothed', words), chosen.evaluations.length > 0]);
    if (named === name) return;
    named = name;
    key.replaceChildren(
      make('span', {}, markLine(chosen.number), t('{run}, smoothed', words)),
      ...(chosen.evaluations.length ? [make('span', {}, markLine(chosen.number, true), t('{run}, held-out', words))] : []),
    );
  };
  select.addEventListener('change', () => update({ comparedRun: select.value ? Number(select.value) : null }));
  watch(['pastRuns', 'shownRun', 'comparedRun'], render);
  let seen = '';
  watch(['run'], () => {
    const { run } = state;
    const key = JSON.stringify([run?.number, run?.name, Boolean(run?.steps.length), Boolean(run?.evaluations.length)]);
    if (key !== seen) render();
    seen = key;
  });
  onLanguage(render);
}
