// @ts-check
/** What an evaluation's numbers say, in plain words. */

import { mark } from '../../messages/mark.js';
import { plural, t } from '../../messages/messages.js';
import { formatFixed } from '../format.js';

/** @import {Evaluation} from '../../types.js' */

/** What was read. */
export const PLACES = { 'held-out': mark('text kept out of training'), learnt: mark('the text it learns from'), pasted: mark('the other text'), other: mark('a text that it was not trained on'), unknown: mark('this text') };
/** Of a text that it was not trained on, or may not have been, nothing can be said of what it learnt. */
const WHICH = { other: mark('This is not the text it was trained on.'), unknown: mark('Whether it was trained on this text is not known: it comes from a file.') };

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
  if (verdict === 'unclear') {
    return [t('Too little to tell.'), gain < 0
      ? t('The trained model finds {place} harder by {gain}, but {chance}. {passages} Keep more text for evaluation under Plan & settings, or paste more here.', values)
      : t('The trained model finds {place} easier by {gain}, but {chance}. {passages} Keep more text for evaluation under Plan & settings, or paste more here.', values)];
  }
  if (source === 'other' || source === 'unknown') {
    const which = { ...values, which: t(WHICH[source]) };
    if (verdict === 'learned') return [t('Easier.'), t('{which} The trained model finds it easier by {gain} ({chance}). {passages}', which)];
    if (verdict === 'worse') return [t('Harder.'), t('{which} The trained model finds it harder by {gain} ({chance}). {passages}', which)];
    return [t('Unchanged.'), t('{which} On it base and trained model differ by {gain} ({chance}). {passages}', which)];
  }
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
