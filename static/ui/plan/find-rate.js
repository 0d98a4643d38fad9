// @ts-check
/** “Find” beside the learning rate: a search, its curve, and its suggestion taken over by a click. */

import { mark } from '../../messages/mark.js';
import { t } from '../../messages/messages.js';
import { isRunning, isSearching, state, update, watch } from '../../store.js';
import { fetchUPlot } from '../console/charts.js';
import { button, byId, element, make, setProgress, setText } from '../dom.js';
import { formatEta } from '../format.js';
import { RateChart, fillRateTable, rateText } from './find-rate-chart.js';
import { announce } from '../messages.js';
import { runRequest } from './plan.js';

/** @import {Studio} from '../../api.js' */
/** @import {RatePoint, RateResult, RateSearch} from '../../types.js' */

/** Steps of a search, and what reading the text before them costs, in steps. */
const STEPS = 40;
const READING = 13;

/** @type {Record<string, string>} */
const STAGES = { reading: mark('Reading the text'), compiling: mark('Compiling kernels'), 'timing ranks': mark('Timing ranks') };

let stopping = false;

/** What a curve was measured for; the learning rate itself does not matter to it. */
function subject() {
  const { learning_rate: _, ...edits } = state.edits;
  const { preset, keep_adapter: keep } = runRequest();
  return JSON.stringify([state.corpusVersion, edits, preset, keep]);
}

/** Why nothing can be searched now, '' where it can. */
function obstacle() {
  if (!state.supported) return t('A search needs a GPU.');
  if (!state.model) return t('The model has to load first.');
  if (!state.hasCorpus) return t('Add some text first.');
  if (isRunning()) return t('A run is on: wait for it, or stop it.');
  if (state.tuned && (state.edits['mode'] ?? state.plan?.settings['mode']) === 'full') return t('The trained model takes the room that a search needs: download it and let it go first.');
  if (isSearching()) return '';
  if (state.planProblem) return t('Mend the settings first.');
  return state.status === 'ready' || state.status === 'error' ? '' : t('The GPU is at work: wait a moment.');
}

/** @param {Partial<RateSearch>} patch */
function change(patch) {
  if (state.search) update({ search: { ...state.search, ...patch } });
}

/** @param {Studio} studio */
async function find(studio) {
  stopping = false;
  update({ search: { points: [], stage: '', fraction: null, result: null, problem: '', subject: subject() } });
  try {
    /** @type {RateResult} */
    const result = await studio.request('find-rate', runRequest());
    change({ result });
    announce(verdict(result));
  } catch (error) {
    change({ problem: error instanceof Error ? error.message : String(error) });
  }
}

/** @param {RateResult} result */
function verdict({ suggestion, range, reason }) {
  if (suggestion === null || !range) return t('Nothing to suggest: {reason}.', { reason: t(reason) });
  return t('The loss falls steepest at {rate}. It falls from {low} on and is least at {high}.', {
    rate: rateText(suggestion), low: rateText(range[0]), high: rateText(range[1]),
  });
}

/** @param {RateSearch} search */
function words({ points, stage, fraction, result, problem, subject: measured }) {
  if (problem) return t(problem);
  if (result) return measured === subject() ? verdict(result) : t('{verdict} That was with other settings or another text.', { verdict: verdict(result) });
  const last = points.at(-1);
  if (last) return t('Step {step} of {total}, learning rate {rate}', { step: last.step, total: last.num_steps, rate: rateText(last.learning_rate) });
  const doing = t(STAGES[stage] ?? mark('Getting ready'));
  return fraction === null ? doing : t('{stage} · {percent} %', { stage: doing, percent: Math.floor(fraction * 100) });
}

function cost() {
  const { plan } = state;
  if (!plan?.num_steps || plan.problem) return t('{steps} steps; nothing of them is kept.', { steps: STEPS });
  const seconds = (plan.seconds / plan.num_steps) * (STEPS + READING);
  return t('{steps} steps, about {time}; nothing of them is kept.', { steps: STEPS, time: formatEta(seconds) });
}

/** @param {RateChart} chart */
function render(chart) {
  const { search } = state;
  const why = obstacle();
  const finder = button('find-rate');
  finder.disabled = why !== '' || isSearching();
  setText(element('find-rate-hint'), why || (isSearching() ? '' : cost()));
  element('rate-search').hidden = !search;
  if (!search) return;
  setText(element('rate-words'), words(search));
  element('rate-words').classList.toggle('problem', search.problem !== '');
  const bar = byId('rate-progress', HTMLProgressElement);
  const last = search.points.at(-1);
  bar.hidden = !isSearching();
  setProgress(bar, last ? last.step / last.num_steps : search.fraction);
  const stop = button('rate-stop');
  stop.hidden = !isSearching();
  stop.disabled = stopping;
  setText(stop, stopping ? t('Stopping…') : t('Stop'));
  const suggestion = search.result?.suggestion ?? null;
  const use = button('rate-use');
  use.hidden = suggestion === null;
  if (suggestion !== null) {
    use.disabled = state.edits['learning_rate'] === suggestion;
    setText(use, use.disabled ? t('{rate} is in use', { rate: rateText(suggestion) }) : t('Use {rate}', { rate: rateText(suggestion) }));
  }
  element('rate-figure').hidden = search.points.length === 0;
  fillRateTable(byId('rate-table', HTMLTableElement), search);
  chart.draw();
}

/** Put button and curve to the learning rate, in the form that was built for it. @param {{tool: HTMLElement, hint: HTMLElement, panel: HTMLElement}} parts */
function place({ tool, hint, panel }) {
  const label = document.getElementById('setting-learning_rate')?.closest('label');
  if (!label || label.parentElement?.classList.contains('with-tool')) return;
  const row = make('div', { class: 'field with-tool' });
  label.replaceWith(row);
  row.append(label, tool, hint);
  row.after(panel);
}

/** @param {Studio} studio */
export function mountFindRate(studio) {
  const found = { tool: button('find-rate'), hint: element('find-rate-hint'), panel: element('rate-search') };
  const chart = new RateChart(element('rate-chart'), () => state.search);
  found.tool.addEventListener('click', () => void find(studio));
  button('rate-stop').addEventListener('click', () => {
    stopping = true;
    update({ search: state.search });
    studio.request('stop').catch(() => {});
  });
  button('rate-use').addEventListener('click', () => {
    const suggestion = state.search?.result?.suggestion;
    if (suggestion) update({ edits: { ...state.edits, learning_rate: suggestion } });
  });

  studio.on('rate-stage', ({ stage, fraction }) => change({ stage, fraction }));
  studio.on('rate-point', (/** @type {RatePoint} */ point) => {
    if (!state.search) return;
    state.search.points.push(point);
    update({ search: state.search });
  });
  watch(['fields', 'supported', 'search', 'run', 'model', 'status', 'hasCorpus', 'corpusVersion', 'edits', 'adapter', 'tuned', 'plan', 'planProblem'], () => {
    place(found);
    render(chart);
  });
  fetchUPlot().then((UPlot) => chart.use(UPlot)).catch(() => {}); // the table tells the same
}
