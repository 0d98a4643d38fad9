// @ts-check
/** Perplexity of base and trained model on the text at hand or on other text, and what it says. */

import { mark } from '../../messages/mark.js';
import { plural, t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { other } from '../chat/voices.js';
import { button, element, make, setNumber, setText, textarea } from '../dom.js';
import { formatFixed, formatPerplexity } from '../format.js';
import { clearError, showFailure } from '../messages.js';
import { runRequest } from '../plan/plan.js';

/** @import {Studio} from '../../api.js' */
/** @import {Evaluation} from '../../types.js' */

const PLACES = { 'held-out': mark('text kept out of training'), learnt: mark('the text it learns from'), pasted: mark('the other text') };

/** @param {Studio} studio */
async function evaluate(studio) {
  if (state.evaluating) {
    studio.request('stop').catch(showFailure);
    return;
  }
  clearError();
  update({ evaluating: t('Starting…') });
  try {
    const text = textarea('evaluate-text').value.trim();
    const wanted = { ...runRequest(), use_tuned: other()?.isTuned ?? false };
    const result = await studio.request('evaluate', text ? { ...wanted, text } : wanted);
    if (!result.stopped) update({ evaluation: result });
  } catch (error) {
    showFailure(error);
  }
  update({ evaluating: '' });
}

function describe() {
  const { evaluation, evaluating } = state;
  if (evaluating) return evaluating;
  if (!evaluation) return t('How surprised the model is by your text; lower is better.');
  const values = { number: evaluation.base.num_predicted, place: t(PLACES[evaluation.source]) };
  return evaluation.shortened
    ? t('On {number} tokens of {place}, as many as this GPU reads in half a minute; lower is better.', values)
    : t('On {number} tokens of {place}; lower is better.', values);
}

/** @param {number} nats a token */
const nats = (nats) => t('{number} nats a token', { number: formatFixed(Math.abs(nats), 3) });

/**
 * What the numbers say, in plain words.
 * @param {Evaluation} evaluation
 * @returns {[string, string]} the verdict, and why
 */
export function verdictOf({ judgement, source }) {
  if (!judgement) return ['', ''];
  const { verdict, gain, margin, train_gain, num_better, num_passages } = judgement;
  const values = {
    place: t(PLACES[source]), gain: nats(gain), trained: nats(train_gain ?? 0),
    chance: t('differences below {margin} may be chance', { margin: formatFixed(margin, 3) }),
    passages: plural(num_passages, { one: '{better} of {count} passage got easier.', other: '{better} of {count} passages got easier.' }, { better: num_better }),
  };
  if (verdict === 'learned') {
    const why = t('The trained model finds {place} easier by {gain} ({chance}). {passages}', values);
    return [t('Learned.'), source !== 'learnt' ? why : t('{sentence} Whether it only knows this text by heart cannot be told: keep some aside under Plan & settings.', { sentence: why })];
  }
  if (verdict === 'overfit' && train_gain !== null) {
    return [t('Overfit.'), gain < 0
      ? t('The text that it learnt from became easier by {trained}, but {place} did not: harder by {gain} ({chance}). {passages} Train with more text, or for fewer steps.', values)
      : t('The text that it learnt from became easier by {trained}, but {place} did not: easier by {gain} ({chance}). {passages} Train with more text, or for fewer steps.', values)];
  }
  if (verdict === 'worse') {
    return [t('Worse.'), t('The trained model finds {place} harder by {gain} ({chance}). {passages} Lower the learning rate, or an adapter’s strength.', values)];
  }
  return [t('Unchanged.'), t('On {place} base and trained model differ by {gain} ({chance}). {passages} Train longer, or with a higher learning rate.', values)];
}

/** @param {Evaluation|null} evaluation */
function renderVerdict(evaluation) {
  const [word, why] = evaluation ? verdictOf(evaluation) : ['', ''];
  element('verdict').hidden = !word;
  setText(element('verdict-word'), word);
  setText(element('verdict-why'), why);
  element('passages').hidden = !evaluation?.passages.length;
  element('passage-rows').replaceChildren(...(evaluation?.passages ?? []).map(({ text, is_cut, base, lora }) => make('tr', {},
    make('th', { scope: 'row', translate: 'no', text: is_cut ? `${text}…` : text }), make('td', { text: formatFixed(base, 3) }), make('td', { text: formatFixed(lora, 3) }),
    make('td', { class: lora < base ? 'better' : 'worse', text: `${lora < base ? '−' : '+'}${formatFixed(Math.abs(lora - base), 3)}` }))));
}

/** @param {Studio} studio */
export function mountEvaluate(studio) {
  studio.on('evaluate-progress', ({ which, fraction }) => {
    const values = { percent: Math.floor(fraction * 100) };
    if (state.evaluating) update({ evaluating: which === 'base' ? t('Reading with the base model: {percent} %', values) : t('Reading with the trained model: {percent} %', values) });
  });
  button('evaluate').addEventListener('click', () => void evaluate(studio));
  watch(['corpusVersion'], () => update({ evaluation: null }));
  watch(['tuned', 'useTuned', 'adapter'], () => setText(element('ppl-who'), other()?.isTuned ? t('Tuned') : 'LoRA'));
  watch(['evaluation'], () => {
    setNumber(element('ppl-base'), state.evaluation?.base.perplexity, formatPerplexity);
    setNumber(element('ppl-lora'), state.evaluation?.lora?.perplexity, formatPerplexity);
    renderVerdict(state.evaluation);
  });
  watch(['evaluation', 'evaluating', 'status', 'model', 'run'], () => {
    setText(element('ppl-hint'), describe());
    setText(button('evaluate'), state.evaluating ? t('Stop') : t('Evaluate'));
    button('evaluate').disabled = !state.evaluating && (state.model === null || isRunning() || state.status !== 'ready');
  });
}
