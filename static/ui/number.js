// @ts-check
/** Numbers as a person types them: with the decimal sign of the page's language, or the point. */

import { locale } from '../messages/messages.js';

const decimalSign = () => new Intl.NumberFormat(locale()).formatToParts(0.5).find(({ type }) => type === 'decimal')?.value ?? '.';

/**
 * The number that was typed; null where it is none, or where a sign in it may be a thousands
 * separator: whether 1.000 is one or a thousand is not for the page to guess.
 * @param {string} text
 * @returns {number|null}
 */
export function readNumber(text) {
  const typed = text.trim().replace('−', '-');
  const sign = decimalSign();
  if (!/^[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?$/i.test(typed)) return null;
  const foreign = sign === '.' ? ',' : '.';
  if (foreign === ',' && typed.includes(',')) return null;
  if (/^[+-]?[1-9]\d{0,2}\.\d{3}$/.test(typed) && foreign === '.') return null;
  return Number(typed.replace(',', '.'));
}

/** A setting as its field shows it: with the decimal sign of the language, nothing rounded. @param {number} value */
export const fieldNumber = (value) => String(value).replace('.', decimalSign());
