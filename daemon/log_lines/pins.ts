// SPDX-License-Identifier: Apache-2.0
/** The directory of pins, and what a start finds pinned there. */
import type { LogLine } from '../log_line.ts';

export const pinLines = {
	otherSizes: {
		level: 'info',
		text: 'the sizes of the pinned maps differ from the configuration',
		meaning:
			'A size was changed (`clients.capacity`, `connections.max`, `listeners.max`, `bpf.ring_bytes`) since the maps were pinned. The next line says whether their counters fit into the new maps.',
		fields: ['pins'],
	},
	otherScope: {
		level: 'warn',
		text: 'the pinned counters belong to another cgroup path; counters start from zero',
		meaning:
			'The key `cgroup` was changed since the maps were pinned: they count the connections of the previous cgroup.',
		fields: ['pins'],
	},
	pinsMissing: {
		level: 'warn',
		text: 'some of the pins are missing: counters start from zero',
		meaning:
			'Another process removed pins, or a start or stop was killed before it was complete: what happened since then was not counted.',
		fields: ['pins'],
	},
	migrated: {
		level: 'info',
		text: 'counters of another layout are migrated',
		meaning:
			'Another version of toascope had pinned them, or this one with maps of other sizes (`-before`). `open` connections were open at that time: they count as closed.',
		fields: ['layout', 'open'],
	},
	migratedInPart: {
		level: 'warn',
		text: 'counters of another layout are migrated in part',
		meaning:
			'Another version of toascope had pinned them, or this one with maps of other sizes (`-before`). `open` connections were open at that time: they count as closed. This version has no counterpart for `lost`.',
		fields: ['layout', 'open', 'lost'],
	},
	otherLayout: {
		level: 'warn',
		text: 'counters of another layout could not be migrated: they start from zero',
		meaning: 'Another version of toascope had pinned them; `why` says what does not fit.',
		fields: ['layout', 'why'],
	},
	pinsMovedAside: {
		level: 'warn',
		text: 'a directory of another user occupied the path of the pins and was moved aside',
		meaning:
			'Every user can write to the bpffs, and user `uid` had created `path`. `to` is its new name; without `to` it was empty and was removed. Let only root write to the mount: `chmod 0700 /sys/fs/bpf`, and mount it with `-o mode=0700`.',
		fields: ['path', 'uid', 'to'],
	},
	bpffsOpen: {
		level: 'warn',
		text: 'other users can write to the bpffs with the pins',
		meaning:
			'It was mounted without `mode=`, or for a group. Others can occupy names there, and without the sticky bit a group can rename the directory of pins (where every user could, the start is refused). Run `chmod 0700` on the mount point, and use `mount -t bpf -o mode=0700 bpf /sys/fs/bpf` from now on.',
		fields: ['mount', 'mode'],
	},
	pinsRestored: {
		level: 'warn',
		text: 'pins were missing or replaced, and are restored',
		meaning:
			'Another process removed or replaced `names` in the directory of pins. The next start adopts the counters as usual.',
		fields: ['pins', 'names', 'left_out'],
	},
	pinsHidden: {
		level: 'error',
		text: 'the directory of pins cannot be reached by its path',
		meaning:
			'`why`: another bpffs was mounted over the one with the pins, or the directory was moved. This daemon continues, and detaches when it stops; the next one would not find the counters. Unmount what hides it (`umount`), or move the directory back.',
		fields: ['pins', 'why', 'left_out'],
	},
	pinsReachable: {
		level: 'info',
		text: 'the directory of pins can be reached again',
		meaning: 'What hid it is gone.',
		fields: ['pins'],
	},
} as const satisfies Record<string, LogLine>;
