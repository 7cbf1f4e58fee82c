// SPDX-License-Identifier: Apache-2.0
/** Parses the Prometheus text format. Values are kept exactly as printed. */

export interface Sample {
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
	/** As printed: a float would lose digits. */
	readonly value: string;
	/** Only OpenMetrics has some. */
	readonly exemplar?: ParsedExemplar;
}

interface ParsedExemplar {
	readonly labels: Readonly<Record<string, string>>;
	readonly value: string;
	/** Unix seconds. */
	readonly time: string;
}

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*?)\})? (\S+)(?: # \{(.*)\} (\S+) (\S+))?$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function parseLabels(text: string): Record<string, string> {
	const pairs = [...text.matchAll(label)].map(([, key = '', quoted = '']) => [
		key,
		quoted.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter)),
	]);
	return Object.fromEntries(pairs);
}

export function parseMetrics(text: string): Sample[] {
	return text
		.split('\n')
		.filter((each) => each !== '' && !each.startsWith('#'))
		.map((each) => {
			const [, name = '', labels = '', value = '', ofExemplar, exemplarValue = '', time = ''] = line.exec(each) ?? [];
			const sample = { name, labels: parseLabels(labels), value };
			if (ofExemplar === undefined) return sample;
			return { ...sample, exemplar: { labels: parseLabels(ofExemplar), value: exemplarValue, time } };
		});
}

/** The exact sum of all samples with this name whose labels include these. */
export function total(samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}): bigint {
	return samples
		.filter(
			(sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
		)
		.reduce((sum, sample) => sum + BigInt(sample.value), 0n);
}
