// @ts-check
/** What the values of a setting are called: in words of the page's language, and as files have them. */

import { mark } from '../../messages/mark.js';
import { said, t } from '../../messages/messages.js';

/** By setting and value; a value that is not here is a name that is the same everywhere. @type {Record<string, Record<string, string>>} */
const WORDS = {
  schedule: { constant: mark('constant'), linear: mark('linear'), cosine: mark('cosine') },
  rank_schedule: { fixed: mark('fixed'), progressive: mark('progressive'), adaptive: mark('adaptive'), hardware: mark('by hardware') },
  optimizer: { adam8bit: mark('Adam in 8 bits') },
  packing: { none: mark('each by itself'), dual: mark('two together'), 'best-fit': mark('as many as fit') },
  curriculum: { none: mark('as they come'), tfidf: mark('common words first') },
  gradient_checkpointing: { auto: mark('automatic'), on: mark('on'), off: mark('off') },
  mode: { adapter: mark('an adapter'), full: mark('all weights') },
  full_weights: { f16: mark('16 bits'), f32: mark('32 bits'), int4: mark('4 bits') },
};

/**
 * @param {string} setting
 * @param {string} value as files and the command line have it
 * @returns {string} such as “konstant (constant)”
 */
export function choiceText(setting, value) {
  const english = WORDS[setting]?.[value];
  if (!english) return value;
  const words = t(english);
  return said(words === value ? value : `${words} (${value})`, () => choiceText(setting, value));
}
