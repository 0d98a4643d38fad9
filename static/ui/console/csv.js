// @ts-check
/** A run as a file of comma-separated values (RFC 4180): every step, nothing rounded. */

import { COLUMNS, rowsOf } from './columns.js';

/** @import {Run} from '../../types.js' */

/**
 * A spreadsheet takes text that begins like a formula for one; a quote in front keeps it text.
 * @param {number|string|boolean|null} value
 */
function cell(value) {
  if (value === null) return '';
  if (typeof value !== 'string') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Columns of which the run reported nothing are left out.
 * @param {Run} run
 */
export function csvOf(run) {
  const rows = rowsOf(run);
  const columns = COLUMNS.filter(({ of }) => rows.some((row) => of(row) !== null));
  const lines = [columns.map(({ file }) => cell(file)), ...rows.map((row) => columns.map(({ of }) => cell(of(row))))];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

/**
 * What a run's files are called: model, date, which run of that visit.
 * @param {Run} run
 * @param {string} extension
 */
export function fileName({ model, startedAt, number }, extension) {
  const name = model.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '') || 'model';
  return `${name}-${dateOf(startedAt)}-run-${number}.${extension}`;
}

/** @param {number} time milliseconds @returns {string} the day where the person is, as ISO 8601 has it */
export function dateOf(time) {
  const date = new Date(time);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, '0')).join('-');
}
