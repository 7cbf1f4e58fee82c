// SPDX-License-Identifier: Apache-2.0
/**
 * Draws a few small plots side by side as one SVG that is readable on light and dark pages. It has
 * its own background, because in an <img> it follows the browser's colour scheme, which can differ
 * from that of the page around it.
 */

export interface Panel {
	readonly title: string;
	readonly points: readonly { readonly x: number; readonly y: number }[];
}

const size = { width: 260, height: 170, left: 52, top: 40, gap: 44, bottom: 44 } as const;

/**
 * Horizontal distance of the outermost points from the panel's edges; values are written to the
 * left of their points.
 */
const inset = { left: 44, right: 20 } as const;

const style = `
	.page { fill: #ffffff }
	text { font: 12px system-ui, sans-serif; fill: #424a53 }
	.title { font-weight: 600 }
	.grid { stroke: #8c959f; stroke-opacity: 0.35 }
	.line { stroke: #0969da; stroke-width: 2; fill: none }
	.point { fill: #0969da }
	@media (prefers-color-scheme: dark) {
		.page { fill: #0d1117 }
		text { fill: #c9d1d9 }
		.line { stroke: #58a6ff }
		.point { fill: #58a6ff }
	}
`;

/** The smallest of 1, 2, 5, 10, 20, ... that is at least `value`. */
function roundUp(value: number): number {
	const power = 10 ** Math.floor(Math.log10(value));
	return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

/** Formats as 1 k, 100 k, 1 M. */
function short(value: number): string {
	if (value >= 1e6) return `${value / 1e6} M`;
	return value >= 1000 ? `${value / 1000} k` : `${value}`;
}

function escaped(text: string): string {
	return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/** The label of a point. */
function exact(value: number): string {
	return value >= 100 ? value.toFixed(0) : value.toPrecision(2);
}

/** The scale of x is logarithmic, that of y begins at zero. All panels have the same x. */
export function plot(title: string, label: string, panels: readonly Panel[]): string {
	const { width, height, left, top, gap, bottom } = size;
	const all = left + panels.length * (width + gap);
	const drawn = panels.map((panel, index) => draw(panel, label, left + index * (width + gap)));
	const box = `0 0 ${all} ${top + height + bottom}`;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" role="img">
<title>${escaped(title)}</title>
<style>${style}</style>
<rect class="page" width="100%" height="100%" rx="6"/>
${drawn.join('\n')}
</svg>
`;
}

function draw({ title, points }: Panel, label: string, at: number): string {
	const { width, height, top } = size;
	const xs = points.map(({ x }) => Math.log10(x));
	const [first, last] = [Math.min(...xs), Math.max(...xs)];
	const most = roundUp(Math.max(...points.map(({ y }) => y)));
	const left = (x: number) =>
		at + inset.left + ((Math.log10(x) - first) / (last - first || 1)) * (width - inset.left - inset.right);
	const down = (y: number) => top + height * (1 - y / most);
	const lines = [`<text class="title" x="${at}" y="${top - 20}">${escaped(title)}</text>`];
	for (const y of [0, most / 2, most]) {
		lines.push(
			`<line class="grid" x1="${at}" x2="${at + width}" y1="${down(y)}" y2="${down(y)}"/>`,
			`<text x="${at - 6}" y="${down(y) + 4}" text-anchor="end">${y}</text>`,
		);
	}
	const coordinates = ({ x, y }: { x: number; y: number }) => `${left(x).toFixed(1)},${down(y).toFixed(1)}`;
	lines.push(`<polyline class="line" points="${points.map(coordinates).join(' ')}"/>`);
	for (const { x, y } of points) {
		const [cx, cy] = [left(x).toFixed(1), down(y)];
		lines.push(
			`<circle class="point" cx="${cx}" cy="${cy.toFixed(1)}" r="3.5"/>`,
			// above and to the left, where a rising line does not cross the label
			`<text x="${(left(x) - 5).toFixed(1)}" y="${(cy - 6).toFixed(1)}" text-anchor="end">${exact(y)}</text>`,
			`<text x="${cx}" y="${top + height + 18}" text-anchor="middle">${short(x)}</text>`,
		);
	}
	lines.push(`<text x="${at + width / 2}" y="${top + height + 36}" text-anchor="middle">${escaped(label)}</text>`);
	return lines.join('\n');
}
