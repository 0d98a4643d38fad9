/** Written by the build: see tools/precache.py. */
export const BUILD: string;
export const HEADERS: Record<string, string>;
export const OWN_HEADERS: Record<string, Record<string, string>>;
export const FILES: Record<string, { size: number; sha256: string }>;
