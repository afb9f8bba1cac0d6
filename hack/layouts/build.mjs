// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Writes the HTML that MJML makes of each *.mjml here into the layout of the same name in
// config/presets/layouts, with a digest of the source. With --check, it writes nothing and
// fails if a layout is not up to date.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import mjml2html from 'mjml';

const here = new URL('.', import.meta.url);
const prefix = '{% load i18n %}{% get_current_language as lang %}{% get_current_language_bidi as rtl %}';
let stale = false;

for (const file of readdirSync(here).filter((name) => name.endsWith('.mjml'))) {
  const source = readFileSync(new URL(file, here));
  // Attributes hold template tags, which MJML's own validation doesn't know.
  const { html } = await mjml2html(source.toString(), { validationLevel: 'skip', beautify: true, fonts: {} });
  const text = html.trim().replace(/^(<!doctype html>)\n/, `<!DOCTYPE html>${prefix}\n`).replace(/\n\n+/g, '\n');
  const block = text.split('\n').map((line) => (line === '' ? '' : '    ' + line.trimEnd())).join('\n');
  const digest = createHash('sha256').update(source).digest('hex');

  const layout = new URL(`../../config/presets/layouts/${file.replace('.mjml', '.yaml')}`, here);
  const before = readFileSync(layout, 'utf8');
  const after = before
    .replace(/^# Source: .*$/m, `# Source: hack/layouts/${file}, sha256 ${digest}`)
    .replace(/^ {2}html: \|\n[^]*?(?=^ {2}\w)/m, () => `  html: |\n${block}\n`);
  if (after === before) continue;
  stale = true;
  if (process.argv.includes('--check')) console.error(`${file}: config/presets/layouts is not up to date: run make layouts`);
  else writeFileSync(layout, after);
}
if (stale && process.argv.includes('--check')) process.exit(1);
