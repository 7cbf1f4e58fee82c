// SPDX-License-Identifier: Apache-2.0
/** The plots of docs/performance.md are readable on any page background. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { plot } from '../../../bench/plot.ts';

/** The part of the SVG before its title, without the size: the style and the background. */
const head = (svg: string) => svg.slice(svg.indexOf('<style>'), svg.indexOf('<text class="title"'));

/** Relative luminance (WCAG 2, section 1.4.3). */
function luminance(colour: string): number {
	const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
	const [red = 0, green = 0, blue = 0] = parts.map((part) =>
		part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
	);
	return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const contrast = (a: string, b: string) => {
	const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (light + 0.05) / (dark + 0.05);
};

test('has its own background, with enough contrast to text and lines in light and dark mode', () => {
	const svg = plot('Title', 'clients', [{ title: 'Panel', points: [{ x: 1000, y: 1 }] }]);
	expect(svg).toMatch(/<rect class="page" width="100%" height="100%"/);
	const [light = '', dark = ''] = svg.split('@media (prefers-color-scheme: dark)');
	for (const style of [light, dark]) {
		const fill = (of: string) => new RegExp(`${of} \\{[^}]*(?:fill|stroke): (#[0-9a-f]{6})`).exec(style)?.[1] ?? '';
		const page = fill('\\.page');
		expect(contrast(fill('text'), page)).toBeGreaterThan(4.5);
		expect(contrast(fill('\\.line'), page)).toBeGreaterThan(3);
	}
});

test('the plot in docs/ was drawn with this style', () => {
	const panels = [{ title: 'Panel', points: [{ x: 1000, y: 1 }] }];
	const drawn = readFileSync(new URL('../../../docs/growth.svg', import.meta.url), 'utf8');
	expect(head(drawn)).toBe(head(plot('Title', 'clients', panels)));
});
