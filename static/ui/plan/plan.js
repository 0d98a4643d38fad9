// @ts-check
/** The plan of the next run: settings, exact memory, estimated time. */

import { StudioError } from '../../api.js';
import { keep, kept, onReread } from '../../kept/kept.js';
import { currentLanguage, onLanguage, t } from '../../messages/messages.js';
import { isRunning, isSearching, state, update, watch } from '../../store.js';
import { currentCorpus } from '../corpus/corpus.js';
import { button, byId, debounce, element, refill, setNumber, setText } from '../dom.js';
import { formatAbout, formatBytes, formatCount } from '../format.js';
import { buildFields, buildPresets, presetWords, showPlanIn } from './form.js';
import { renderAdvice, renderModes, renderNumbers, sentence } from './modes.js';
import { markFields, problemList } from './problems.js';

/** @import {Studio} from '../../api.js' */
/** @import {Plan, Setting} from '../../types.js' */

const DEFAULT_PRESET = 'balanced';
const WHOLE = 0.995; // passes: see app/plan/coverage.py

let keepAdapter = false;
let preset = String(kept('preset') ?? DEFAULT_PRESET);
let planning = 0;

/** What a run is asked for: the same words go to `plan`, `train` and `evaluate`. */
export const runRequest = () => ({ corpus: currentCorpus(), edits: state.edits, preset, keep_adapter: keepAdapter && state.adapter !== null });

/** @param {Studio} studio */
async function plan(studio) {
  if (isRunning() || isSearching() || !state.model) return;
  const turn = ++planning;
  if (!state.hasCorpus) {
    update({ plan: null, planProblem: '', planProblems: [] });
    return;
  }
  try {
    /** @type {Plan} */
    const result = await studio.request('plan', runRequest());
    if (turn === planning && !isRunning()) update({ plan: result, planProblem: result.problem, planProblems: result.problem ? [result.problem] : [] });
  } catch (error) {
    // Said quietly beside the buttons: while a person types, half a text is not a mistake.
    const superseded = error instanceof StudioError && error.kind === 'SupersededError';
    if (turn !== planning || superseded) return;
    const planProblem = String(error instanceof Error ? error.message : error);
    const several = error instanceof StudioError ? error.problems : [];
    update({ plan: null, planProblem, planProblems: several.length ? several : [planProblem] });
  }
}

/**
 * Lay the run out as it is wanted now, whatever is being laid out meanwhile.
 * @param {Studio} studio
 */
export async function planNow(studio) {
  let turn;
  do {
    const asked = plan(studio);
    turn = planning;
    await asked;
  } while (turn !== planning);
}

/** @param {Studio} studio */
export function mountPlan(studio) {
  const dialog = byId('plan-dialog', HTMLDialogElement);
  const replan = debounce(200, () => void plan(studio));

  /** @param {Record<string, Setting>} settings */
  const put = (settings) => update({ edits: { ...state.edits, ...settings } });
  /** @param {string} name */
  const choose = (name) => {
    preset = name;
    keep('preset', name === DEFAULT_PRESET ? undefined : name);
  };
  onReread('preset', (now) => {
    preset = String(now ?? DEFAULT_PRESET);
    showPresets();
  });
  const showPresets = () => buildPresets(element('plan-presets'), state.presets, preset, (name) => {
    choose(name);
    // A preset sets everything anew; what the device has does not change with it.
    const memory = state.edits['device_memory_gb'];
    update({ edits: memory === undefined ? {} : { device_memory_gb: memory } });
    replan();
  });

  watch(['presets'], () => {
    // Another version of the page may have had other ones.
    if (state.presets.length && !state.presets.some(({ name }) => name === preset)) choose(DEFAULT_PRESET);
    showPresets();
  });
  watch(['fields', 'supported'], () => {
    buildFields(element('plan-fields'), {
      /** @param {string} name @param {Setting|undefined} value */
      onEdit(name, value) {
        const edits = { ...state.edits };
        if (value === undefined) delete edits[name];
        else edits[name] = value;
        // Steps win over passes: who asks for passes does not want the suggested steps.
        if (name === 'epochs' && value !== undefined) edits['steps'] = null;
        update({ edits });
      },
      /** @param {boolean} isKept */
      onKeep(isKept) {
        keepAdapter = isKept;
        replan();
      },
    });
    showPlanIn(element('plan-fields'), state.plan, state.edits);
  });
  watch(['plan', 'planProblem', 'adapter', 'run', 'edits'], () => {
    const { plan: current } = state;
    const feasible = current && !current.problem ? current : null;
    setNumber(element('plan-eta'), feasible?.seconds, formatAbout);
    setNumber(element('plan-memory'), feasible?.total_bytes, formatBytes);
    setNumber(element('plan-steps'), feasible?.num_steps, formatCount);
    const isPart = feasible !== null && feasible.passes < WHOLE;
    // Where the device's memory is only assumed the run may be tried all the same.
    const isTight = feasible?.modes.some((mode) => mode.selected && !mode.feasible) ?? false;
    const words = [isTight ? t('It may not fit this device: see Plan & settings.') : '', sentence(t(feasible?.coverage ?? '')), isPart ? t('What stands in the rest is not learnt.') : ''];
    setText(element('plan-coverage'), words.filter(Boolean).join(' '));
    element('plan-coverage').toggleAttribute('data-warn', isPart || isTight);
    element('plan-eta').title = t(current?.modes.find((mode) => mode.selected)?.time_basis ?? '');
    setText(element('plan-note'), state.planProblems.length > 1 ? t('{count} settings need a look: see above.', { count: state.planProblems.length }) : t(state.planProblem));
    showPlanIn(element('plan-fields'), current, state.edits);
    markFields(element('plan-fields'), state.planProblems, state.fields, state.edits);
  });
  onLanguage(() => showPlanIn(element('plan-fields'), state.plan, state.edits));
  const renderPlan = () => {
    const help = document.getElementById('preset-help');
    if (help) setText(help, presetWords(state.presets, preset, state.plan));
    const { planProblems: problems, fields, edits } = state;
    if (state.plan || !problems.length) renderModes(element('plan-modes'), state.plan, state.planProblem, edits['mode'], (mode) => put({ mode }));
    else {
      refill(element('plan-modes'), [currentLanguage(), problems, fields.length, Object.keys(edits)], () => [problemList(problems, fields, edits, (name) => {
        const { [name]: _, ...others } = state.edits;
        update({ edits: others });
        element('plan-modes').querySelector('button')?.focus();
      })]);
    }
    renderAdvice(element('plan-advice'), state.plan, put);
    renderNumbers(element('plan-parts'), state.plan);
    element('plan-numbers').hidden = !state.plan;
  };
  watch(['plan', 'planProblem', 'hasCorpus', 'model', 'edits'], renderPlan);
  onLanguage(renderPlan);
  watch(['corpusVersion', 'model', 'adapter', 'status', 'edits'], replan);

  button('plan-open').addEventListener('click', () => {
    dialog.showModal();
    dialog.querySelector('.plan-body')?.scrollTo(0, 0);
  });
  button('plan-reset').addEventListener('click', () => {
    choose(DEFAULT_PRESET);
    showPresets();
    update({ edits: {} });
  });
  byId('plan-form', HTMLFormElement).addEventListener('keydown', (event) => {
    // Enter in a field means “use this”, not “close the dialog”.
    if (event.key === 'Enter' && event.target instanceof HTMLInputElement) event.preventDefault();
  });
}
