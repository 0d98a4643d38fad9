// @ts-check
/** The self-check: how far it is, what differs and what to do, every operation's largest error. */

import { plural, t } from '../../messages/messages.js';
import { button, byId, element, input, make, setProgress, setText } from '../dom.js';
import { formatRough, formatSmall } from '../format.js';

/** @import {Studio} from '../../api.js' */
/**
 * `app/checks/selfcheck.py` says what each field is.
 * @typedef {{op: string, case: string, ok: boolean, result: string, error: number, allowed: number, used_for: string, problem: string, seconds: number}} CheckResult
 * @typedef {{num_done: number, num_cases: number, op: string, case: string, seconds_left?: number|null, last?: CheckResult|null}} CheckProgress
 */

/** @type {CheckResult[]} */
let results = [];
let isChecking = false;

/** A check is on. */
export const isSelfChecking = () => isChecking;

/** How much of its tolerance a result takes. @param {CheckResult} result */
const share = ({ error, allowed }) => (error === 0 ? 0 : error / allowed);

/** @param {CheckResult[]} list @returns {CheckResult} the one that takes most of its tolerance; wrong ones first */
const worst = (list) => list.reduce((most, each) => (Number(most.ok) - Number(each.ok) || share(each) - share(most)) > 0 ? each : most);

/** @param {CheckResult} result what went wrong, in a sentence */
function fault({ result, error, allowed, problem }) {
  if (problem) return t('It cannot be compiled or run here.');
  if (!Number.isFinite(error)) return t('{result} holds numbers that are not finite.', { result });
  if (!allowed) return t('{result} is off by {error} and has to be equal bit for bit.', { result, error: formatSmall(error) });
  return t('{result} is off by {error}, where {allowed} is allowed.', { result, error: formatSmall(error), allowed: formatSmall(allowed) });
}

/** @param {CheckResult} result */
function failure(result) {
  const item = make('li', {}, make('strong', { text: `${result.op}, ${result.case}`, translate: 'no' }), make('p', { text: fault(result) }),
    make('p', { text: t('It is needed for: {use}.', { use: t(result.used_for) }) }));
  if (result.problem) item.append(make('pre', { text: result.problem, translate: 'no', tabindex: '0' }));
  return item;
}

/** @param {CheckResult[]} wrong */
function advice(wrong) {
  const steps = [t('Update the graphics driver and the browser, restart the computer, and check again.'),
    t('Until it passes, do not trust what the operations named here are needed for.'),
    t('Copy the report below and send it along with a bug report: it names the kernel, the driver and the numbers.')];
  return make('div', { class: 'device-failures', id: 'device-failures' }, make('ul', {}, ...wrong.map(failure)),
    make('h4', { text: t('What to do') }), make('ol', {}, ...steps.map((text) => make('li', { text }))));
}

/** @param {CheckResult[]} cases of one operation */
function row(cases) {
  const { op, ok, error, allowed, problem, used_for: use } = worst(cases);
  const count = plural(cases.length, { one: '{count} case', other: '{count} cases' });
  const part = share(worst(cases));
  const figures = problem ? t('does not run') : allowed === 0 && error === 0 ? t('equal bit for bit') : t('{error} of {allowed}', { error: formatSmall(error), allowed: formatSmall(allowed) });
  const meter = make('progress', { max: '1', value: String(Math.min(1, Number.isNaN(part) ? 1 : part)), 'aria-hidden': 'true' });
  return make('tr', ok ? {} : { class: 'wrong' },
    make('th', { scope: 'row' }, make('code', { text: op, translate: 'no' }), make('small', { text: t('{use}; {cases}', { use: t(use), cases: count }) })),
    make('td', { class: ok ? 'good' : 'wrong', text: ok ? t('agrees') : t('differs') }),
    make('td', {}, figures, meter));
}

/** The table so far, failures on top. */
function show() {
  /** @type {Map<string, CheckResult[]>} */
  const byOperation = new Map();
  for (const result of results) byOperation.set(result.op, [...(byOperation.get(result.op) ?? []), result]);
  const groups = [...byOperation.values()].sort((a, b) => Number(worst(a).ok) - Number(worst(b).ok));
  const wrong = results.filter(({ ok }) => !ok);
  element('device-failed').replaceChildren(...(wrong.length ? [advice(wrong)] : []));
  element('device-results').hidden = !groups.length;
  element('device-rows').replaceChildren(...groups.map(row));
}

/** @param {boolean} stopped @param {number} numCases */
function verdict(stopped, numCases) {
  const wrong = new Set(results.filter(({ ok }) => !ok).map(({ op }) => op)).size;
  const count = new Set(results.map(({ op }) => op)).size;
  if (stopped) return t('Stopped after {done} of {total} cases; {wrong} differ.', { done: results.length, total: numCases, wrong: results.filter(({ ok }) => !ok).length });
  if (wrong) return plural(wrong, { one: '{count} operation of {total} differs from its reference: see what to do.', other: '{count} operations of {total} differ from their reference: see what to do.' }, { total: count });
  return plural(count, { one: 'The operation agrees with its reference.', other: 'All {count} operations agree with their reference: this device computes rightly.' });
}

/** @param {boolean} isBusy */
function setChecking(isBusy) {
  isChecking = isBusy;
  const hadFocus = document.activeElement?.id ?? '';
  const [run, stop] = [button('device-check'), button('device-stop')];
  run.hidden = isBusy;
  stop.hidden = !isBusy;
  element('device-progress').hidden = !isBusy;
  for (const each of ['device-quick', 'device-all']) input(each).disabled = isBusy;
  // A button that goes away loses the focus: the other one takes it.
  if (isBusy && hadFocus === 'device-check') stop.focus();
  if (!isBusy && hadFocus === 'device-stop') run.focus();
}

/**
 * @param {Studio} studio
 * @param {object} dialog
 * @param {(text: string) => void} dialog.tell
 * @param {(error: unknown) => void} dialog.fail
 * @param {() => void} dialog.onEnd
 */
export function mountCheck(studio, { tell, fail, onEnd }) {
  const bar = byId('device-bar', HTMLProgressElement);

  studio.on('self-check-progress', (/** @type {CheckProgress} */ progress) => {
    const { num_done: done, num_cases: total, op, case: name, seconds_left: left, last } = progress;
    if (last) results.push(last);
    if (last) show();
    setProgress(bar, done / total);
    if (!op) return;
    const values = { number: done + 1, total, operation: `${op}, ${name}` };
    const isKnown = typeof left === 'number'; // not before some cases are done
    setText(element('device-at'), isKnown ? t('{number} of {total}: {operation}. About {time} left.', { ...values, time: formatRough(left) })
      : t('{number} of {total}: {operation}', values));
  });

  button('device-check').addEventListener('click', async () => {
    results = [];
    show();
    setChecking(true);
    setProgress(bar, null);
    setText(element('device-at'), t('Preparing the cases…'));
    setText(element('device-verdict'), '');
    element('device-progress').scrollIntoView({ block: 'nearest' });
    tell('');
    try {
      const answer = await studio.request('self-check', { quick: input('device-quick').checked });
      results = answer.results;
      show();
      setText(element('device-verdict'), verdict(answer.stopped, answer.num_cases));
      element('device-verdict').dataset['ok'] = String(results.every(({ ok }) => ok));
      setChecking(false);
      element('device-verdict').scrollIntoView({ block: 'nearest' });
    } catch (error) {
      setChecking(false);
      fail(error);
    }
    onEnd();
  });
  button('device-stop').addEventListener('click', () => stopCheck(studio));
}

/** End the check after the operation it is at. @param {Studio} studio */
export function stopCheck(studio) {
  if (!isChecking) return;
  setText(element('device-at'), t('Stopping after this operation…'));
  studio.request('self-check-stop').catch(() => {}); // the check itself tells what went wrong
}
